"""Manifests that the API server must refuse, one table a kind.

Separate from the test that sends them, so that the tables read as tables.
"""

from __future__ import annotations

from tests.integration.refused.case import GOOD, Refused
from tests.integration.refused.datasets import DATASETS
from tests.integration.refused.experiments import EXPERIMENTS
from tests.integration.refused.mlmodels import MODELS
from tests.integration.refused.trainingjobs import TRAINING_JOBS

REFUSED: dict[str, tuple[Refused, ...]] = {
    "TrainingJob": TRAINING_JOBS,
    "Dataset": DATASETS,
    "Experiment": EXPERIMENTS,
    "MLModel": MODELS,
}

__all__ = ["GOOD", "REFUSED", "Refused"]
