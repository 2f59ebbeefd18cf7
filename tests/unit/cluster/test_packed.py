"""What the cache keeps of an object, whatever is in it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from trainyard.cluster.packed import Packed

Json = dict[str, Any]


def a_job(*, spec: Any = None, annotations: Any = None, **status: Any) -> Json:
    metadata = {"namespace": "team", "name": "resnet", "uid": "job-uid", "resourceVersion": "7"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"kind": "TrainingJob", "metadata": metadata, "spec": spec or {}, "status": status}


def nested(levels: int) -> Json:
    value: Json = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


@pytest.fixture
def deep_stack() -> Any:
    """As in the operator."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(12_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep_stack")
@pytest.mark.parametrize(
    "status", [{}, {"completionTime": "2026-11-21T10:00:00Z"}], ids=["alive", "finished"]
)
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"parameters": {"text": "größer", "number": 0.1, "none": None}}, id="of the usual sort"),
        pytest.param({"parameters": nested(1_500)}, id="nested deeper than orjson goes"),
        pytest.param({"parameters": {"half": "\ud800"}}, id="with half a character"),
    ],
)
def test_an_object_comes_back_as_it_was(spec: Json, status: Json) -> None:
    packed = Packed(a_job(spec=spec, **status), version=7)
    # NB: as text, since comparing what is nested so deeply needs more stack than there is.
    assert json.dumps(packed.raw()) == json.dumps(a_job(spec=spec, **status))
    assert (packed.uid, packed.version) == ("job-uid", 7)
    assert packed.finished is bool(status)


def test_each_reader_has_its_own() -> None:
    packed = Packed(a_job(), version=7)
    packed.raw()["metadata"]["name"] = "another"
    assert packed.raw()["metadata"]["name"] == "resnet"


def test_who_set_what_and_what_kubectl_sent_are_not_kept() -> None:
    sent = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "trainyard.dev/store-uids": "resnet/a"}
    job = a_job(annotations=sent)
    job["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert Packed(job, version=7).raw() == a_job(annotations={"trainyard.dev/store-uids": "resnet/a"})


def test_a_finished_job_takes_less_than_a_kilobyte() -> None:
    message, stamp = "The training container exited with code 0.", "2026-11-21T10:00:00Z"
    condition = {
        "lastTransitionTime": stamp,
        "message": message,
        "observedGeneration": 1,
        "reason": "Completed",
    }
    job = a_job(
        spec={"image": "registry.example.com/trainer:1", "parameters": {f"p-{n}": n / 7 for n in range(10)}},
        attempts=[{"number": 0, "message": message, "node": "node-17", "startTime": stamp}],
        conditions=[
            {**condition, "type": kind, "status": "True"} for kind in ("Ready", "Stalled", "Finished")
        ],
        message=message,
        completionTime=stamp,
    )
    packed = Packed(job, version=7)
    kept = sum(sys.getsizeof(getattr(packed, slot)) for slot in Packed.__slots__)
    assert sys.getsizeof(packed) + kept < 1024
