"""Experiments that must be refused."""

from __future__ import annotations

from typing import Any

from tests.integration.refused.case import DECIMAL, Json, Refused


def _space(**entry: Any) -> Json:
    return {"automl": {"space": [{"name": "p", **entry}]}}


def _steps(*steps: Json) -> Json:
    return {"actions": [{"action": "train", **step} for step in steps], "automl": None}


EXPERIMENTS = (
    Refused(
        what="an unknown action",
        change=_steps({"name": "a", "action": "retry"}),
        field="spec.actions[0].action",
        right='"retrain"',
    ),
    Refused(
        what="a step of a long name",
        change=_steps({"name": "a-name-that-is-long"}),
        field="spec.actions[0].name",
        right="may not be more than 14",
    ),
    Refused(
        what="two steps of one name",
        change=_steps({"name": "train"}, {"name": "train"}),
        field="spec.actions[1]",
        right="Duplicate value",
    ),
    Refused(
        what="a step that depends on none of them",
        change=_steps({"name": "train"}, {"name": "eval", "dependsOn": ["trian"]}),
        field="spec.actions",
        right="takes names of other actions",
    ),
    Refused(
        what="a step that depends on itself",
        change=_steps({"name": "train", "dependsOn": ["train"]}),
        field="spec.actions",
        right="takes names of other actions",
    ),
    Refused(
        what="a cycle of two",
        change=_steps({"name": "a", "dependsOn": ["b"]}, {"name": "b", "dependsOn": ["a"]}),
        field="spec.actions",
        right="cannot depend on each other",
    ),
    Refused(
        what="two things to train",
        change={"architecture": "segformer"},
        field="spec",
        right="spec: at most one of runtime, architecture and type",
    ),
    Refused(
        what="an architecture with a blank",
        change={"type": None, "architecture": "seg former"},
        field="spec.architecture",
        right="lower-case",
    ),
    Refused(
        what="an experiment type of the wrong kind",
        change={"experimentType": "neural_network"},
        field="spec.experimentType",
        right='"vision", "medical"',
    ),
    Refused(
        what="an unknown algorithm",
        change={"automl": {"algorithm": "genetic"}},
        field="spec.automl.algorithm",
        right='"hyperband"',
    ),
    Refused(
        what="a tuned step that is none",
        change={"automl": {"action": "tune"}},
        field="spec.automl.action",
        right="name of one of spec.actions",
    ),
    Refused(
        what="a float without an end",
        change=_space(type="float", min="0"),
        field="spec.automl.space[0]",
        right="needs min and max",
    ),
    Refused(
        what="a float where a decimal string belongs",
        change=_space(type="float", min=0.1, max="1"),
        field="spec.automl.space[0].min",
        right="string",
    ),
    Refused(
        what="a decimal with a comma",
        change=_space(type="float", min="0,1", max="1"),
        field="spec.automl.space[0].min",
        right=DECIMAL,
    ),
    Refused(
        what="NaN",
        change=_space(type="float", min="NaN", max="1"),
        field="spec.automl.space[0].min",
        right=DECIMAL,
    ),
    Refused(
        what="bounds the wrong way round",
        change=_space(type="float", min="1e-1", max="1e-4"),
        field="spec.automl.space[0]",
        right="min must be less than max",
    ),
    Refused(
        what="an int of a half",
        change=_space(type="int", min="0.5", max="4"),
        field="spec.automl.space[0]",
        right="whole numbers",
    ),
    Refused(
        what="a log scale from zero",
        change=_space(type="float", min="0", max="1", log=True),
        field="spec.automl.space[0]",
        right="min of more than 0",
    ),
    Refused(
        what="no values to choose from",
        change=_space(type="categorical", values=[]),
        field="spec.automl.space[0]",
        right="needs values, at least one",
    ),
    Refused(
        what="a bool from 0 to 1",
        change=_space(type="bool", min="0", max="1"),
        field="spec.automl.space[0]",
        right="a bool needs nothing",
    ),
    Refused(
        what="a grid without steps",
        change={"automl": {"algorithm": "grid"}},
        field="spec.automl",
        right="grid search needs a step",
    ),
    Refused(
        what="a variant of another algorithm",
        change={"automl": {"variant": "tao"}},
        field="spec.automl",
        right="set algorithm: hyperband",
    ),
    Refused(
        what="a negative seed",
        change={"automl": {"seed": -1}},
        field="spec.automl.seed",
        right="greater than or equal to 0",
    ),
    Refused(
        what="no trial at a time",
        change={"automl": {"parallelism": 0}},
        field="spec.automl.parallelism",
        right="greater than or equal to 1",
    ),
    Refused(
        what="an empty metric",
        change={"objective": {"metric": ""}},
        field="spec.objective.metric",
        right="at least 1 char",
    ),
    Refused(
        what="an unknown goal",
        change={"objective": {"goal": "minimize"}},
        field="spec.objective.goal",
        right='"Minimize"',
    ),
    Refused(
        what="parameters of an unknown action",
        change={"actionParameters": {"trian": {}}},
        field="spec.actionParameters",
        right="kubectl explain trainingjob.spec.action lists them",
    ),
    Refused(
        what="an epoch before the first",
        change={"checkpoint": {"method": "from_epoch_number", "epochs": {"train": -1}}},
        field="spec.checkpoint.epochs.train",
        right="greater than or equal to 0",
    ),
    Refused(
        what="a job template with a slip",
        change={"jobTemplate": {"sepc": {}}},
        field="spec.jobTemplate.sepc",
        right="unknown field",
    ),
    Refused(
        what="a flow whose tolerations are no lists",
        change={"flow": {"tolerations": {"gpu": "a100"}}},
        field="spec.flow.tolerations.gpu",
        right="array",
    ),
    Refused(
        what="a number that is too great for a double",
        change=_space(type="float", min="1", max="1e400"),
        field="spec.automl.space[0].max",
        right=DECIMAL,
    ),
    Refused(
        what="a categorical on a logarithmic scale",
        change=_space(type="categorical", values=["a"], log=True),
        field="spec.automl.space[0]",
        right="log are for float and int",
    ),
    Refused(
        what="a name that no job's Service can have",
        name="3d-unet",
        change={},
        field="metadata.name",
        right="beginning with a letter",
    ),
    Refused(what="36 characters", name="n" * 36, change={}, field="metadata.name", right="at most 35"),
    Refused(
        what="a part of itself",
        change={"parentExperiment": "bad"},
        field="spec.parentExperiment",
        right="cannot be a part of itself",
    ),
)
