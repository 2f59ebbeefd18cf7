"""MLModels that must be refused."""

from __future__ import annotations

from typing import Any

from tests.integration.refused.case import DECIMAL, SECRET, Json, Refused


def _target(**target: Any) -> Json:
    return {"publish": [{"name": "hub", "uri": "hf://example/model", **target}]}


def _monitor(**monitor: Any) -> Json:
    return {"monitor": {"schedule": "@daily", "dataset": "fresh", "threshold": "0.9", **monitor}}


MODELS = (
    Refused(
        what="an unknown type", change={"type": "perceptron"}, field="spec.type", right='"neural_network"'
    ),
    Refused(
        what="a type and an architecture",
        change={"architecture": "segformer"},
        field="spec",
        right="spec: at most one of type and architecture",
    ),
    Refused(
        what="two ways to train",
        change={"training": {"experimentTemplate": {"spec": {}}}},
        field="spec.training",
        right="at most one of jobTemplate and experimentTemplate",
    ),
    Refused(
        what="an unknown stage", change={"stage": "production"}, field="spec.stage", right='"deprecated"'
    ),
    Refused(
        what="no schedule",
        change=_monitor(schedule=""),
        field="spec.monitor.schedule",
        right="five fields such as",
    ),
    Refused(
        what="a schedule of four fields",
        change=_monitor(schedule="0 3 * *"),
        field="spec.monitor.schedule",
        right="five fields such as",
    ),
    Refused(
        what="a time zone in the schedule",
        change=_monitor(schedule="TZ=Europe/Berlin 0 3 * * 1"),
        field="spec.monitor.schedule",
        right="the time zone goes to timeZone",
    ),
    Refused(
        what="a threshold that is a float",
        change=_monitor(threshold=0.9),
        field="spec.monitor.threshold",
        right="string",
    ),
    Refused(
        what="an infinite threshold",
        change=_monitor(threshold="inf"),
        field="spec.monitor.threshold",
        right=DECIMAL,
    ),
    Refused(
        what="a monitor without data",
        change={"monitor": {"dataset": None}},
        field="spec.monitor.dataset",
        right="Required value",
    ),
    Refused(
        what="a target by mail",
        change=_target(uri="mailto:me@example.com"),
        field="spec.publish[0]",
        right="must begin with s3://",
    ),
    Refused(
        what="a registry without its server",
        change=_target(uri="mlflow://digits"),
        field="spec.publish[0]",
        right="needs endpoint",
    ),
    Refused(
        what="two versions for one target",
        change=_target(alias="champion", version=3),
        field="spec.publish[0]",
        right="alias or version, not both",
    ),
    Refused(
        what="version zero",
        change={"aliases": [{"name": "champion", "version": 0}]},
        field="spec.aliases[0].version",
        right="greater than or equal to 1",
    ),
    Refused(
        what="an alias that is a number",
        change={"aliases": [{"name": "3", "version": 3}]},
        field="spec.aliases[0].name",
        right="such as champion",
    ),
    Refused(
        what="no versions kept",
        change={"versionsRetained": 0},
        field="spec.versionsRetained",
        right="greater than or equal to 1",
    ),
    Refused(
        what="no candidates",
        change={"recommendation": {"candidates": []}},
        field="spec.recommendation.candidates",
        right="at least 1 items",
    ),
    Refused(
        what="a model made from itself",
        change={"baseModels": [{"model": "bad"}]},
        field="spec.baseModels",
        right="only by version or alias",
    ),
    Refused(what="29 characters", name="n" * 29, change={}, field="metadata.name", right="at most 28"),
    Refused(
        what="a name that no job's Service can have",
        name="3d-unet",
        change={},
        field="metadata.name",
        right="beginning with a letter",
    ),
    Refused(
        what="a password for a registry",
        change=_target(uri="oci://me:secret@registry.example.com/models"),
        field="spec.publish[0]",
        right=SECRET,
    ),
    Refused(
        what="a description without end",
        change={"description": "x" * 1001},
        field="spec.description",
        right="may not be more than 1000",
    ),
)
