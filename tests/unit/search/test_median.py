"""The median rule: which trials are hopeless."""

from __future__ import annotations

import math

import pytest

from trainyard.search.median import Median, hopeless
from trainyard.search.runs import Run, RunState

EPOCHS = 4


def ended(number: int, level: float, state: RunState = "success", epochs: int = EPOCHS) -> Run:
    """A trial whose value grows evenly to `level`, or to its part of it where it ended earlier."""
    curve = tuple((float(epoch), level * epoch / EPOCHS) for epoch in range(1, epochs + 1))
    return Run(number, 0, state, curve[-1][1], curve)


def going_on(*values: float, number: int = 9, value: float | None = None) -> Run:
    curve = tuple((float(epoch), found) for epoch, found in enumerate(values, start=1))
    return Run(number, 0, "running", value, curve)


#: Their median is 0.15 at epoch 1, 0.3 at epoch 2, 0.45 at epoch 3.
FIVE = [ended(number, level) for number, level in enumerate((0.2, 0.4, 0.6, 0.8, 1.0))]


@pytest.mark.parametrize(
    ("run", "stopped"),
    [
        pytest.param(going_on(0.1, 0.2), True, id="worse than the median is stopped"),
        pytest.param(going_on(0.1, 0.35), False, id="better than the median goes on"),
        pytest.param(going_on(0.1, 0.3), False, id="as good as the median goes on"),
        pytest.param(going_on(0.4, 0.1), False, id="its best counts, not its last"),
        pytest.param(
            going_on(0.1, 0.2, value=0.31), False, id="a best that is not on the thinned curve counts"
        ),
        pytest.param(going_on(0.01), False, id="nothing is compared in the first epoch"),
        pytest.param(going_on(), False, id="without a curve there is nothing to compare"),
        pytest.param(going_on(math.nan, 0.2), True, id="a NaN is no best"),
        pytest.param(going_on(math.nan, math.nan), False, id="NaN alone is compared with nothing"),
        pytest.param(going_on(0, 0, 0, 0, 0), False, id="an epoch that no other came to"),
    ],
)
def test_a_running_trial_is_compared_with_the_others_at_its_epoch(run: Run, stopped: bool) -> None:
    assert hopeless(Median(), [*FIVE, run], minimize=False) == ((run,) if stopped else ())


def test_less_is_better_where_it_is_minimised() -> None:
    assert hopeless(Median(), [*FIVE, going_on(0.1, 0.2)], minimize=True) == ()
    worse = going_on(0.5, 0.4)
    assert hopeless(Median(), [*FIVE, worse], minimize=True) == (worse,)


def test_none_is_stopped_before_enough_have_ended() -> None:
    run = going_on(0.1, 0.2)
    assert hopeless(Median(), [*FIVE[:4], run], minimize=False) == ()
    assert hopeless(Median(startup_trials=4), [*FIVE[1:], run], minimize=False) == (run,)


def test_failures_and_cancelled_trials_do_not_count_as_others() -> None:
    others = [*FIVE[:3], ended(5, 0, "failure"), ended(6, 0, "canceled"), ended(7, math.nan)]
    assert hopeless(Median(), [*others, going_on(0.0, 0.0)], minimize=False) == ()


def test_stopped_ones_count_up_to_where_they_came() -> None:
    others = [*FIVE[:4], ended(5, 0.4, "stopped", epochs=2)]
    run = going_on(0.1, 0.15)
    assert hopeless(Median(), [*others, run], minimize=False) == (run,)
    assert hopeless(Median(), [*others, going_on(0.1, 0.1, 0.1)], minimize=False) == ()


def test_the_warm_up_may_be_longer_or_none() -> None:
    run = going_on(0.01, 0.02, 0.03)
    assert hopeless(Median(warmup_epochs=3), [*FIVE, run], minimize=False) == ()
    assert hopeless(Median(warmup_epochs=2), [*FIVE, run], minimize=False) == (run,)
    assert hopeless(Median(warmup_epochs=0), [*FIVE, going_on(0.01)], minimize=False) == (going_on(0.01),)


def test_a_thinned_curve_has_between_its_points_what_it_had_before() -> None:
    thinned = [
        Run(number, 0, "success", 1.0, ((1.0, 0.5), (4.0, 1.0 if number else 0.6))) for number in range(5)
    ]
    assert hopeless(Median(), [*thinned, going_on(0.4, 0.55)], minimize=False) == ()
    worse = going_on(0.4, 0.45)
    assert hopeless(Median(), [*thinned, worse], minimize=False) == (worse,)
