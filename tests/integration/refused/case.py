"""What a bad manifest is, and the good one of each kind that it is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

GOOD: dict[str, Json] = {
    "TrainingJob": {"image": "example.com/trainer:1"},
    "Dataset": {"type": "tabular", "format": "csv", "source": {"uri": "pvc://data/numbers"}},
    "Experiment": {
        "type": "neural_network",
        "actions": [{"name": "train", "action": "train"}],
        "automl": {"space": [{"name": "lr", "type": "float", "min": "0.001", "max": "0.1"}]},
    },
    "MLModel": {
        "type": "random_forest",
        "training": {"jobTemplate": {"spec": {"backoffLimit": 1}}},
        "monitor": {"schedule": "0 3 * * 1", "dataset": "fresh", "threshold": "0.9"},
        "publish": [{"name": "hub", "uri": "hf://example/model"}],
    },
}


@dataclass(frozen=True, kw_only=True)
class Refused:
    """One bad manifest: `change` is merged over the good one of its kind (None takes a field out).

    The refusal must name `field`, at the beginning of one of its sentences, and say `right`, what would be right.
    """

    what: str
    change: Json
    field: str
    right: str
    name: str = "bad"


HEX = "64 lower-case hexadecimal digits"
DECIMAL = "decimal number as a string, such as '0.05'"
NAME = "lower-case letters, digits and '-'"
SECRET = "user and password (those belong into a Secret)"
