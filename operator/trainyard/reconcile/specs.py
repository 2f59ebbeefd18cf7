"""Reading a spec by its model.

Separate because every kind does it: an object may have been stored under another schema, and must then be told what
is wrong with it, in the same words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.support import not_yet_supported

Json = Mapping[str, Any]

_Spec = TypeVar("_Spec", bound=BaseModel)

#: One of a job, with what it was read from, takes 8 kB; most jobs are looked at a few times within seconds.
_KEPT = 1024


def read(model: type[_Spec], raw: Json) -> tuple[_Spec | None, str]:
    """The spec of the object `raw`, or None and why it cannot be read."""
    try:
        return model.model_validate(raw.get("spec") or {}), ""
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"


@dataclass(frozen=True, kw_only=True)
class JobReading:
    """The spec of a job, or None and the `problem` with it; `unsupported` is what in it nothing acts on yet."""

    spec: TrainingJobSpec | None
    problem: str
    unsupported: str | None


class JobSpecs:
    """The specs of jobs that were looked at last, so that each is read once and not at every look."""

    def __init__(self) -> None:
        self._read: OrderedDict[str, tuple[int, Json, JobReading]] = OrderedDict()

    def read(self, raw: Json) -> JobReading:
        """The spec of the job `raw`."""
        metadata, spec = raw["metadata"], raw.get("spec") or {}
        uid, generation = metadata["uid"], metadata.get("generation", 0)
        known = self._read.get(uid)
        # NB: both, as a default of a new CRD comes without a new generation, and 1 is equal to true.
        if known is not None and known[0] == generation and known[1] == spec:
            self._read.move_to_end(uid)
            return known[2]
        found, problem = read(TrainingJobSpec, raw)
        reading = JobReading(spec=found, problem=problem, unsupported=not_yet_supported("TrainingJob", spec))
        self._read[uid] = (generation, spec, reading)
        self._read.move_to_end(uid)
        if len(self._read) > _KEPT:
            self._read.popitem(last=False)
        return reading

    def forget(self, uid: str) -> None:
        """The job has ended, or is gone."""
        self._read.pop(uid, None)
