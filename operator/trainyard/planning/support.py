"""Which fields nothing acts on yet, so that none is silently accepted.

Separate because it is the one list of them: plans of every kind ask it before they do anything, and a test compares it
with docs/support.md. Whoever makes a field act takes its line out here and there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from trainyard.api.dataset import DatasetSpec
from trainyard.api.experiment import ExperimentSpec
from trainyard.api.mlmodel import MLModelSpec
from trainyard.api.trainingjob import TrainingJobSpec

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A field without effect, and all below it; `[]` after a name stands for each of a list.

    Values that begin with one of `prefixes` have the effect that they say; `partly` tells users which they are.
    """

    path: str
    what: str
    prefixes: tuple[str, ...]
    partly: str


_MODELS_ELSEWHERE = Gap(
    path="baseModels[].uri",
    what="fetching a model into the cluster",
    prefixes=("pvc://", "s3://", "gs://", "abfs://", "hf://", "https://"),
    partly="all but ngc:",
)

GAPS: Mapping[str, tuple[Gap, ...]] = {
    "TrainingJob": (_MODELS_ELSEWHERE,),
    "Dataset": (
        Gap(
            path="source.uri",
            what="fetching data into the cluster",
            prefixes=("pvc://", "s3://", "gs://", "abfs://", "hf://", "https://"),
            partly="all but ngc:",
        ),
    ),
    "Experiment": (_MODELS_ELSEWHERE,),
    "MLModel": (_MODELS_ELSEWHERE,),
}


_SPECS: Mapping[str, type[BaseModel]] = {
    "TrainingJob": TrainingJobSpec,
    "Dataset": DatasetSpec,
    "Experiment": ExperimentSpec,
    "MLModel": MLModelSpec,
}

#: The fields of each spec in which there are gaps, as on the wire and as their model calls them.
_ON_THE_WIRE = {
    kind: frozenset(gap.path.split(".")[0].removesuffix("[]") for gap in gaps) for kind, gaps in GAPS.items()
}
_IN_THE_MODEL = {
    kind: {name for name, field in model.model_fields.items() if field.alias in _ON_THE_WIRE[kind]}
    for kind, model in _SPECS.items()
}


def not_yet_supported(kind: str, spec: Json) -> str | None:
    """A sentence that names every field of `spec` (as on the wire) that asks for what nothing does; None without one.

    What is empty or as the API server fills it in counts as not set.
    """
    if _ON_THE_WIRE[kind].isdisjoint(spec):
        return None
    said = _without_defaults(kind, spec)
    found = dict.fromkeys(
        # NB: of an address the scheme alone, as it may carry a password.
        f"spec.{gap.path}: {str(value).partition(':')[0]}: ({gap.what})"
        for gap in GAPS[kind]
        for value in _at(said, gap.path)
        if _has_no_effect(value, gap)
    )
    if not found:
        return None
    *others, last = found
    named = f"{', '.join(others)} and {last}" if others else last
    them = "them" if others else "it"
    return f"This version does not act on {named} yet. Take {them} out, or install a newer version of the operator."


def _without_defaults(kind: str, spec: Json) -> Json:
    """What users said. A spec that cannot be read, or is nested too deeply to be written, stays as it is."""
    try:
        read = _SPECS[kind].model_validate(spec)
        return read.model_dump(by_alias=True, include=_IN_THE_MODEL[kind], exclude_defaults=True)
    except (ValueError, RecursionError):
        return spec


def _has_no_effect(value: Any, gap: Gap) -> bool:
    return bool(value) and not str(value).startswith(gap.prefixes)


def _at(spec: Json, path: str) -> Iterator[Any]:
    """What stands at a path of field names: one thing or nothing, or several where it leads through a list."""
    found: list[Any] = [spec]
    for name in path.split("."):
        found = [node.get(name.removesuffix("[]")) for node in found if isinstance(node, Mapping)]
        if name.endswith("[]"):
            found = [one for node in found if isinstance(node, list) for one in node]
    yield from found
