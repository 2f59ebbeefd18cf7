"""What the bench of tuning trains: its tables, and its network, which is the reference trainer's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench import tuningdata
from tests.bench.tuningtasks import TASKS, prepared
from trainyard.search import draws
from trainyard_trainer import parameters
from trainyard_trainer.learners.neural_network import NeuralNetwork

NEEDS_THE_EXTRA = {"image_segments", "phishing", "bananas", "shuttle", "fair", "randhie"}
TABLES = sorted({task.data for task in TASKS.values()})


@pytest.mark.parametrize("data", ["iris", "diabetes", "digits"])
def test_its_epochs_are_the_trainers_to_the_last_bit(data: str) -> None:
    """With the small batches of each draw: several in an epoch, of which the last one is smaller."""
    space = TASKS[f"network on {data}"].space
    for number in range(3):
        given = {**space.parameters(draws.random_point(space, 1, number)), "epochs": 3}
        values = parameters.for_training(given, type_name="neural_network")
        classify = tuningdata.table(data).classify
        ours, theirs = (NeuralNetwork(prepared(data), values, classify=classify) for _ in range(2))
        for epoch in (1, 2, 3):
            ours.whole_epoch(epoch)
            for index in range(theirs.steps_in(epoch)):
                theirs.step(epoch=epoch, index=index)
            assert ours.measure() == theirs.measure()
        for one, other in zip(
            ours.estimator(best=False).coefs_, theirs.estimator(best=False).coefs_, strict=True
        ):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.soak if n in NEEDS_THE_EXTRA else ()) for n in TABLES]
)
def test_a_table_is_whole_and_always_the_same(name: str) -> None:
    table = tuningdata.table(name)
    assert len(table.features) == len(table.targets) <= tuningdata.MOST_ROWS
    assert np.isfinite(table.features).all()
    assert len(np.unique(table.targets)) > 1
    assert table.is_large == (name in NEEDS_THE_EXTRA | {"digits"})
    tuningdata.table.cache_clear()
    again = tuningdata.table(name)
    assert np.array_equal(again.features, table.features)
    assert np.array_equal(again.targets, table.targets)


def test_of_many_rows_a_sample_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {tuple(row) for row in tuningdata.table("digits").features}
    monkeypatch.setattr(tuningdata, "MOST_ROWS", 500)
    tuningdata.table.cache_clear()
    try:
        sample = tuningdata.table("digits")
    finally:
        tuningdata.table.cache_clear()
    assert len(sample.targets) == 500
    assert {tuple(row) for row in sample.features} < whole
    assert len(np.unique(sample.targets)) == 10
