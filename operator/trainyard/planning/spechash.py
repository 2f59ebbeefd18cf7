"""Whether a job's spec is still what its attempts were started with.

Separate because three places must agree: the pod that carries the digests, the status that keeps them, and the
check before another attempt. The API server refuses edits of typed fields; this guards the opaque ones too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from weakref import ref

import orjson

from trainyard.api.jobedits import RUN_POLICY
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import attempts
from trainyard.planning.observed import ObservedJob

#: May change while no pod lives, beside the run policy. Whatever is not named is what, where or with what.
_EDITABLE = RUN_POLICY | {"parameters", "parentJob"}
_FIELDS = {name for name, field in TrainingJobSpec.model_fields.items() if field.alias not in _EDITABLE}
_DIGITS = 16
#: What is nested too deeply to be written as JSON; no pod is ever made with it.
_UNREADABLE = "unreadable"


class _Remembered:
    """A digest of specs, made once for each for as long as it is in memory: a look at a job asks for it several times.
    Specs are frozen.
    """

    def __init__(self, digest: Callable[[TrainingJobSpec], str]) -> None:
        self._digest = digest
        self._known: dict[int, tuple[ref[TrainingJobSpec], str]] = {}

    def __call__(self, spec: TrainingJobSpec) -> str:
        number = id(spec)
        known = self._known.get(number)
        if known is not None and known[0]() is spec:
            return known[1]
        digest = self._digest(spec)
        # NB: the number is another spec's only after this one is gone from here.
        self._known[number] = ref(spec, lambda _: self._known.pop(number, None)), digest
        return digest


def spec_hash(spec: TrainingJobSpec) -> str:
    """Digest of what, where and with what. A field with its default counts as absent: a new field changes nothing."""
    return _spec_hash(spec)


def parameters_digest(spec: TrainingJobSpec) -> str:
    """Digest of the parameters, as `status.attempts[].parametersDigest` has it."""
    return _parameters_digest(spec)


@_Remembered
def _parameters_digest(spec: TrainingJobSpec) -> str:
    return _digest(spec.parameters)


@_Remembered
def _spec_hash(spec: TrainingJobSpec) -> str:
    try:
        said = spec.model_dump(by_alias=True, mode="json", include=_FIELDS, exclude_defaults=True)
    except (ValueError, RecursionError):
        return _UNREADABLE
    # NB: as the rules of the CRD compare: an empty list or map is none (an empty accelerator is one device), and the
    # order of claims says nothing. That of env does, as a variable is expanded in those after it.
    said = {name: value for name, value in said.items() if value not in ([], {}) or name == "accelerator"}
    if "resourceClaims" in said:
        said["resourceClaims"] = sorted(said["resourceClaims"], key=lambda claim: str(claim["name"]))
    return _digest(said)


def changed(observed: ObservedJob, status: Mapping[str, Any]) -> str | None:
    """What to tell the user when the spec is no longer that of the attempts that `status` tells of; None when it is."""
    spec = observed.spec
    if spec is None:
        return None
    # NB: what has never run binds nobody once its pod has ended, or another attempt is recorded.
    newest = attempts.newest(status, observed.pods)
    pods = [p for p in observed.pods if begun(status) or (p.attempt == newest and not p.over)]
    began_with = next((pod.spec_hash for pod in pods if pod.spec_hash), None)
    if begun(status):
        began_with = status.get("specHash") or began_with
    if began_with and began_with != spec_hash(spec):
        return (
            "What the job runs, where or with what was changed after its pod was made (spec.template and spec.affinity "
            "belong to it). An attempt that runs goes on as it was; no other is started. Change it back, or delete the "
            "job and create it anew; for an attempt that has not started yet it is enough to delete its pod."
        )
    if (status.get("stop") or {}).get("endTime"):
        return None  # nothing runs: the attempt that it goes on with takes them as they are then
    recorded = [e["parametersDigest"] for e in status.get("attempts") or [] if e.get("parametersDigest")]
    given = [p.parameters_digest for p in observed.pods if p.parameters_digest]
    last = next(iter([*reversed(recorded), *given]), None)
    if last and last != parameters_digest(spec):
        return (
            "spec.parameters was changed after an attempt had begun with other ones. A running attempt goes on with "
            "those it was given; no other is started. Change them back, or pause the job and resume it: the next "
            "attempt takes them then."
        )
    return None


def begun(status: Mapping[str, Any]) -> bool:
    """Whether any attempt has ever started, so that another one must be an attempt at the same."""
    if status.get("startTime"):
        return True
    return any(entry.get("startTime") for entry in status.get("attempts") or [])


def _digest(value: Any) -> str:
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return _UNREADABLE
    return hashlib.sha256(text).hexdigest()[:_DIGITS]
