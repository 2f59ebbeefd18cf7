"""TrainingJobs that must be refused."""

from __future__ import annotations

from typing import Any

from tests.integration.refused.case import HEX, NAME, SECRET, Json, Refused


def _callback(**callback: Any) -> Json:
    return {"callbacks": [{"name": "chat", "url": "https://example.com/hook", **callback}]}


TRAINING_JOBS = (
    Refused(
        what="nothing to run",
        change={"image": None},
        field="spec",
        right="spec: say what to run: exactly one of runtime",
    ),
    Refused(
        what="two things to run",
        change={"type": "neural_network", "runtime": "reference"},
        field="spec",
        right="spec: at most one of runtime, architecture and type",
    ),
    Refused(what="an unknown action", change={"action": "dance"}, field="spec.action", right='"evaluate"'),
    Refused(
        what="negative GPUs",
        change={"accelerator": {"count": -1}},
        field="spec.accelerator.count",
        right="greater than or equal to 1",
    ),
    Refused(
        what="half a GPU",
        change={"accelerator": {"count": 0.5}},
        field="spec.accelerator.count",
        right="integer",
    ),
    Refused(what="an unknown field", change={"colour": "red"}, field="spec.colour", right="unknown field"),
    Refused(
        what="a variable of ours",
        change={"env": [{"name": "TRAINYARD_ACTION", "value": "x"}]},
        field="spec.env[0]",
        right="operator's own",
    ),
    Refused(
        what="a variable with two values",
        change={"env": [{"name": "A", "value": "x", "valueFrom": {}}]},
        field="spec.env[0]",
        right="either a value or a valueFrom",
    ),
    Refused(
        what="a variable twice",
        change={"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]},
        field="spec.env[1]",
        right="Duplicate value",
    ),
    Refused(what="51 characters", name="n" * 51, change={}, field="metadata.name", right="at most 50"),
    Refused(
        what="a name that no Service can have",
        name="3d-unet",
        change={},
        field="metadata.name",
        right="beginning with a letter",
    ),
    Refused(what="a dot in the name", name="a.b", change={}, field="metadata.name", right="no dots"),
    Refused(
        what="no quantity",
        change={"resources": {"limits": {"cpu": "lots"}}},
        field="spec.resources.limits.cpu",
        right="such as 2, 500m or 16Gi",
    ),
    Refused(
        what="a negative quantity",
        change={"resources": {"limits": {"memory": -1}}},
        field="spec.resources.limits[memory]",
        right="a quantity that is not negative, such as 2, 500m or 16Gi",
    ),
    Refused(
        what="no time to start",
        change={"startupTimeoutSeconds": 0},
        field="spec.startupTimeoutSeconds",
        right="greater than or equal to 1",
    ),
    Refused(
        what="a dataset of another namespace",
        change={"datasets": {"train": ["other/data"]}},
        field="spec.datasets.train[0]",
        right=NAME,
    ),
    Refused(
        what="a dataset twice",
        change={"datasets": {"train": ["digits", "more", "digits"]}},
        field="datasets.train",
        right="name each dataset once",
    ),
    Refused(
        what="a Secret of another namespace",
        change={"output": {"uri": "s3://bucket/x", "secretRef": {"name": "other/key"}}},
        field="spec.output.secretRef.name",
        right="of this namespace",
    ),
    Refused(
        what="a namespace in a reference",
        change={"output": {"uri": "s3://bucket/x", "secretRef": {"name": "key", "namespace": "other"}}},
        field="spec.output.secretRef.namespace",
        right="unknown field",
    ),
    Refused(
        what="an output without a place", change={"output": {}}, field="spec.output", right="exactly one of"
    ),
    Refused(
        what="two outputs",
        change={"output": {"claimName": "out", "uri": "s3://bucket/x"}},
        field="spec.output",
        right="exactly one of claimName and uri",
    ),
    Refused(
        what="an output on a web page",
        change={"output": {"uri": "https://example.com/x"}},
        field="spec.output.uri",
        right="s3://, gs:// or abfs://",
    ),
    Refused(
        what="a password for the output",
        change={"output": {"uri": "s3://AKIAEXAMPLE:secret@bucket/x"}},
        field="spec.output.uri",
        right=SECRET,
    ),
    Refused(
        what="a token for a base model",
        change={"baseModels": [{"uri": "https://token@example.com/m.bin"}]},
        field="spec.baseModels[0].uri",
        right=SECRET,
    ),
    Refused(
        what="the newest version of a model twice",
        change={"baseModels": [{"model": "a"}, {"model": "a", "isPtmBackbone": False}]},
        field="spec.baseModels",
        right="the two are the same",
    ),
    Refused(
        what="a version of a model twice",
        change={"baseModels": [{"model": "a", "version": 2}, {"model": "a", "version": 2}]},
        field="spec.baseModels",
        right="the two are the same",
    ),
    Refused(
        what="a model of a name that no MLModel can have",
        change={"model": "n" * 29},
        field="spec.model",
        right="may not be more than 28",
    ),
    Refused(
        what="a base model that is nothing",
        change={"baseModels": [{"isPtmBackbone": True}]},
        field="spec.baseModels[0]",
        right="exactly one of model",
    ),
    Refused(
        what="three base models",
        change={"baseModels": [{"model": "a"}, {"model": "b"}, {"model": "c"}]},
        field="spec.baseModels",
        right="at most 2 items",
    ),
    Refused(
        what="a short digest",
        change={"baseModels": [{"uri": "https://example.com/m.bin", "sha256": "abc"}]},
        field="spec.baseModels[0].sha256",
        right=HEX,
    ),
    Refused(
        what="an alias and a version",
        change={"baseModels": [{"model": "a", "alias": "champion", "version": 2}]},
        field="spec.baseModels[0]",
        right="alias or version, not both",
    ),
    Refused(
        what="an epoch without its method",
        change={"checkpoint": {"epoch": 3}},
        field="spec.checkpoint",
        right="goes with method from_epoch_number",
    ),
    Refused(
        what="an unknown method",
        change={"checkpoint": {"method": "newest"}},
        field="spec.checkpoint.method",
        right='"latest_model"',
    ),
    Refused(
        what="a callback by ftp",
        change=_callback(url="ftp://example.com/hook"),
        field="spec.callbacks[0].url",
        right="http:// or https:// address",
    ),
    Refused(
        what="a password in a URL",
        change=_callback(url="https://me:secret@example.com/"),
        field="spec.callbacks[0].url",
        right="without user and password",
    ),
    Refused(
        what="two callbacks of one name",
        change={
            "callbacks": [
                {"name": "chat", "url": "https://example.com/a"},
                {"name": "chat", "url": "https://example.com/b"},
            ]
        },
        field="spec.callbacks[1]",
        right="Duplicate value",
    ),
    Refused(
        what="an unknown event",
        change=_callback(events=["Finished"]),
        field="spec.callbacks[0].events[0]",
        right='"Completed"',
    ),
    Refused(
        what="a job that waits for itself",
        change={"parentJob": "bad"},
        field="spec.parentJob",
        right="cannot wait for itself",
    ),
    Refused(
        what="a dataset made from itself",
        change={
            "datasets": {"input": "raw"},
            "output": {"claimName": "data"},
            "outputDataset": {"name": "raw", "type": "tabular", "format": "csv"},
        },
        field="spec.outputDataset.name",
        right="give the new one another name",
    ),
    Refused(
        what="a dataset that is kept nowhere",
        change={"outputDataset": {"name": "new", "type": "tabular", "format": "csv"}},
        field="spec.output",
        right="say where the data of outputDataset is kept",
    ),
    Refused(
        what="an exit code that is none",
        change={"restartOn": {"exitCodes": {"operator": "In", "values": [256]}}},
        field="spec.restartOn.exitCodes.values[0]",
        right="less than or equal to 255",
    ),
    Refused(what="no spec at all", change={"spec": None}, field="spec", right="Required value"),
)
