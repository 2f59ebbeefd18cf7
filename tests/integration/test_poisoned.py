"""A poisoned object ends in its own state and neither stops nor slows the others."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.harness.client import Json
from tests.harness.operator import Operator
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(240)

HEALTHY = 20
#: Control characters, right-to-left and zero-width ones, astral planes, combining marks, a byte order mark.
ODD = "\u202etxet\u202c \u200b\u200d\ufeff \U0001f9ea\U000e0041 e\u0301\u0301\u0301 \u0001\u0007\u001b[31m"
TEMPLATES = (
    "$(HOME) $$(HOME) ${HOME} `id` $(id) {{ .Values }} {% raw %} %s %(name)s {0} <%= 1 %> '; DROP TABLE"
)
KOPF = {
    "kopf.zalando.org/last-handled-configuration": "{not json",
    "kopf.zalando.org/touch-dummy": "yesterday",
    "kopf.zalando.org/trainingjob-doorbell": '{"started": 17, "retries": "many", "success": "perhaps"}',
    "kopf.zalando.org/KopfFinalizerMarker": ODD,
}


def poisoned() -> dict[str, Json]:
    """Objects that the API server takes and that are trouble all the same, by name."""
    image = {"image": "example.com/trainer:1", "backoffLimit": 0}
    strings = {
        "displayName": TEMPLATES,
        "description": ODD,
        "args": [TEMPLATES, ODD],
        "parameters": {TEMPLATES: TEMPLATES, ODD: [ODD, {"deep": TEMPLATES}]},
        "env": [{"name": "A", "value": TEMPLATES}, {"name": "B", "value": ODD}],
        "template": {"metadata": {"annotations": {**KOPF, "fake.trainyard.dev/run-for": "500ms"}}},
    }
    deep: Any = "end"
    for _ in range(500):
        deep = [deep]
    jobs: dict[str, Json] = {
        "megabyte": {**image, "parameters": {"table": "x" * 1_000_000}},
        "strings": {**image, **strings},
        "deep": {**image, "parameters": {"deep": deep}},
        "wide": {**image, "parameters": {str(n): n for n in range(20_000)}},
        "odd-template": {**image, "template": {"spec": {"containers": "none", "volumes": {"a": [1]}}}},
        "odd-affinity": {**image, "affinity": {"nodeAffinity": {"requiredDuringScheduling": 7}}},
    }
    return {name: manifest("TrainingJob", name, spec) for name, spec in jobs.items()}


def seconds_for_healthy(jobs: Jobs, prefix: str) -> float:
    """How long twenty jobs of half a second take from the first POST to the last Done."""
    begun = time.monotonic()
    for number in range(HEALTHY):
        jobs.create(f"{prefix}-{number}", run_for="500ms")
    for number in range(HEALTHY):
        jobs.reaches(f"{prefix}-{number}", "Done", timeout=60)
    return time.monotonic() - begun


def test_poisoned_objects_neither_stop_nor_slow_the_others(jobs: Jobs, operator: Operator) -> None:
    alone = seconds_for_healthy(jobs, "before")
    for name, body in poisoned().items():
        body["metadata"] |= {"namespace": jobs.namespace, "annotations": KOPF}
        jobs.client.apply(body)
        assert jobs.get(name)["metadata"]["annotations"] == KOPF
    beside = seconds_for_healthy(jobs, "beside")
    assert beside < 2 * alone + 2, f"{beside:.1f} s beside poisoned objects, {alone:.1f} s without"
    for name in ("megabyte", "wide"):
        status = jobs.reaches(name, "Error", "InvalidSpec")
        assert "at most 98304" in status["message"]
    jobs.reaches("odd-template", "Error", "InvalidSpec")
    status = jobs.reaches("odd-affinity", "Error", "InvalidSpec")
    assert "requiredDuringScheduling" in status["message"]
    jobs.reaches("strings", "Done")
    found(lambda: jobs.status("deep").get("observedGeneration") == 1 or jobs.pods("deep"), what="deep")
    for name in poisoned():
        assert jobs.get(name)["metadata"]["annotations"] == KOPF, "nothing of ours is written there"


def test_strings_arrive_in_the_container_as_they_were_written(jobs: Jobs, operator: Operator) -> None:
    body = poisoned()["strings"]
    body["metadata"] |= {"namespace": jobs.namespace}
    jobs.client.apply(body)
    found(lambda: jobs.pods("strings"), what="the pod")
    (pod,) = jobs.pods("strings")
    env = {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}
    expanded = env["TRAINYARD_PARAMETERS"].replace("$$", "$")  # what the kubelet makes of it
    assert json.loads(expanded) == body["spec"]["parameters"]
    assert env["A"] == TEMPLATES, "a user's own variable is the user's to write"
