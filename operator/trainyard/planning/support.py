"""Which fields nothing acts on yet, so that none is silently accepted.

Separate because it is the one list of them: plans of every kind ask it before they do anything, and a test compares it
with docs/support.md. Whoever makes a field act takes its line out here and there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from trainyard.api.dataset import DatasetSpec
from trainyard.api.experiment import ExperimentSpec
from trainyard.api.mlmodel import MLModelSpec, ModelType
from trainyard.api.trainingjob import TrainingJobSpec

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A field without effect, and all below it.

    Values in `acts`, or that begin with one of `prefixes`, have the effect that they say, or say nothing. `partly`
    tells users which they are. An empty object counts as absent unless `even_empty`; one that has the field and value
    of `off` asks for nothing. Without `asks` the field only says how: a draft may have it, it is kept for later.
    """

    path: str
    what: str
    acts: tuple[Any, ...] = ()
    prefixes: tuple[str, ...] = ()
    partly: str = ""
    even_empty: bool = False
    off: tuple[str, Any] | None = None
    asks: bool = True


GAPS: Mapping[str, tuple[Gap, ...]] = {
    "TrainingJob": (
        Gap(path="baseModels", what="starting from another model"),
        Gap(path="model", what="registering a version of an MLModel"),
    ),
    "Dataset": (
        Gap(
            path="source.uri",
            what="fetching data into the cluster",
            prefixes=("pvc://", "s3://", "gs://", "abfs://", "hf://", "https://"),
            partly="all but ngc:",
        ),
    ),
    "Experiment": (
        Gap(path="baseModels", what="starting from other models"),
        Gap(path="model", what="registering a version of an MLModel"),
    ),
    "MLModel": (
        Gap(
            path="type",
            what="recommending a type",
            acts=tuple(name for name in get_args(ModelType) if name != "auto"),
            partly="every type but auto",
        ),
        Gap(path="training", what="training", even_empty=True, off=("enabled", False)),
        Gap(path="aliases", what="versions"),
        Gap(path="stage", what="deprecating and archiving", acts=("active",)),
        Gap(path="monitor", what="scheduled evaluation", off=("suspend", True)),
        Gap(path="publish", what="publishing versions"),
        Gap(path="trainingConfig", what="training", asks=False),
        Gap(path="datasets", what="training", asks=False),
        Gap(path="baseModels", what="starting from other models", asks=False),
        Gap(path="objective", what="measuring versions", asks=False),
        Gap(path="output", what="training", asks=False),
        Gap(path="recommendation", what="recommending a type", asks=False),
        Gap(path="versionsRetained", what="versions", asks=False),
    ),
}


_SPECS: Mapping[str, type[BaseModel]] = {
    "TrainingJob": TrainingJobSpec,
    "Dataset": DatasetSpec,
    "Experiment": ExperimentSpec,
    "MLModel": MLModelSpec,
}

#: The fields of each spec in which there are gaps, as on the wire and as their model calls them.
_ON_THE_WIRE = {kind: frozenset(gap.path.split(".")[0] for gap in gaps) for kind, gaps in GAPS.items()}
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
        f"spec.{gap.path}{_shown(value, gap)} ({gap.what})"
        for gap in GAPS[kind]
        if gap.asks and _has_no_effect(value := _at(said, gap.path), gap)
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
    if value is None or value is False or value in ("", []) or (value == {} and not gap.even_empty):
        return False
    if gap.off is not None and isinstance(value, Mapping) and value.get(gap.off[0]) == gap.off[1]:
        return False
    if gap.prefixes and isinstance(value, str) and value.startswith(gap.prefixes):
        return False
    return value not in gap.acts


def _at(spec: Json, path: str) -> Any:
    """What stands at a path of field names; None for nothing."""
    node: Any = spec
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _shown(value: Any, gap: Gap) -> str:
    """The value where others act; of an address the scheme alone, as it may carry a password."""
    if gap.prefixes:
        return f": {str(value).partition(':')[0]}:"
    return f": {value}" if gap.acts else ""
