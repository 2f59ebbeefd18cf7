"""Epochs as MLflow's steps: whole ones as they are, and no two points of a curve on one step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.cli.mlflowsteps import step_of, steps_per_epoch


@pytest.mark.parametrize(
    ("epochs", "steps"),
    [
        ([], []),
        ([0.0], [0]),
        ([1.0, 2.0, 40.0], [1, 2, 40]),
        ([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], [500, 1000, 1500, 2000, 2500, 3000]),
        ([0.25], [250]),
        ([0.0001, 0.0002], [100, 200]),
        ([1 / 3, 2 / 3, 1.0], [333, 667, 1000]),
    ],
)
def test_steps_of_epochs(epochs: list[float], steps: list[int]) -> None:
    each = steps_per_epoch(epochs)
    assert [step_of(epoch, each) for epoch in epochs] == steps


def test_a_point_stays_where_it_was_when_the_curve_is_thinned() -> None:
    curve = [epoch / 2 for epoch in range(1, 40)]
    assert steps_per_epoch(curve) == steps_per_epoch(curve[::2]) == 1000


@given(st.lists(st.integers(0, 10**7), max_size=30, unique=True))
def test_no_two_epochs_come_to_one_step(ticks: list[int]) -> None:
    epochs = [tick / 10_000 for tick in ticks]
    each = steps_per_epoch(epochs)
    steps = [step_of(epoch, each) for epoch in sorted(epochs)]
    assert sorted(set(steps)) == steps
