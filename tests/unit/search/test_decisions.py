"""What a search does next, case by case."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainyard.search.decisions import Start, decide, is_final
from trainyard.search.median import Median
from trainyard.search.rules import Rules
from trainyard.search.runs import Run

RANDOM = Rules("random", max_recommendations=6, parallelism=2)
#: 9@1, 3@3, 1@9; 5@3, 1@9; 3@9.
HYPERBAND = Rules("hyperband", max_resource=9, parallelism=20)
ASHA = Rules("asha", max_resource=9, max_recommendations=20, parallelism=1)


def done(number: int, value: float | None, rung: int = 0) -> Run:
    return Run(number, rung, "success", value)


def failed(number: int, rung: int = 0) -> Run:
    return Run(number, rung, "failure")


def canceled(number: int, value: float | None = None) -> Run:
    return Run(number, 0, "canceled", value)


def stopped(number: int, value: float, rung: int = 0) -> Run:
    return Run(number, rung, "stopped", value)


def running(number: int, value: float | None = None, rung: int = 0) -> Run:
    return Run(number, rung, "running", value)


def keys(starts: tuple[Start, ...]) -> list[tuple[int, int]]:
    return [(start.number, start.rung) for start in starts]


@pytest.mark.parametrize("algorithm", ["random", "grid", "bayesian"])
@pytest.mark.parametrize(
    ("runs", "started"),
    [
        pytest.param([], [0, 1], id="the first as many as may run"),
        pytest.param([running(0)], [1], id="as many as are free"),
        pytest.param([running(0), running(1)], [], id="none where none is free"),
        pytest.param([done(0, 0.5), running(1)], [2], id="the next when one has ended"),
        pytest.param(
            [done(0, 0.5), done(2, 0.4), running(3)], [1], id="one that is missing before a new one"
        ),
        pytest.param([done(n, 0.5) for n in range(5)], [5], id="the last"),
        pytest.param([running(n) for n in range(4)], [], id="none where more run than may by now"),
    ],
)
def test_plain_searches_start_their_trials_in_order(
    algorithm: Any, runs: list[Run], started: list[int]
) -> None:
    decision = decide(Rules(algorithm, max_recommendations=6, parallelism=2, grid=9), runs)
    assert decision.start == tuple(Start(number) for number in started)
    assert not decision.ended
    assert decision.rungs == ()
    assert decision.total == 6


def test_a_plain_search_ends_with_its_last_trial() -> None:
    runs = [done(n, n / 10) for n in range(6)]
    decision = decide(RANDOM, runs)
    assert (decision.start, decision.stop, decision.ended, decision.failed) == ((), (), True, "")
    assert decision.best == runs[5]
    assert not decide(RANDOM, [*runs[:5], running(5)]).ended


def test_a_grid_ends_with_its_last_point_or_at_max_recommendations() -> None:
    small = Rules("grid", max_recommendations=20, grid=2)
    assert decide(small, [done(0, 1.0), done(1, 1.0)]).ended
    assert decide(small, []).total == 2
    assert decide(Rules("grid", max_recommendations=20, grid=100), []).total == 20


def test_fewer_recommendations_than_there_are_trials_start_no_more_and_let_the_others_end() -> None:
    decision = decide(Rules("random", max_recommendations=2, parallelism=9), [running(n) for n in range(5)])
    assert (decision.start, decision.stop, decision.ended) == ((), (), False)


def test_the_best_are_ranked_with_the_lower_number_first_of_equal_ones() -> None:
    runs = [done(0, 0.5), done(1, 0.9), done(2, 0.9), stopped(3, 0.7), failed(4), running(5, 1.0)]
    decision = decide(RANDOM, runs)
    assert [run.number for run in decision.top] == [1, 2, 0, 3]
    assert decision.best == runs[1]


def test_one_that_was_stopped_is_never_better_than_one_that_came_to_its_end() -> None:
    decision = decide(RANDOM, [stopped(0, 0.95), done(1, 0.7), done(2, 0.8), stopped(3, 0.9)])
    assert [run.number for run in decision.top] == [2, 1, 0, 3]
    assert decision.best == done(2, 0.8), "a stopped one has left no artifacts that a step could go on with"


def test_what_is_minimised_is_really_minimised() -> None:
    runs = [done(0, 0.5), done(1, 0.9), done(2, -3.0), failed(3)]
    decision = decide(Rules("random", max_recommendations=6, minimize=True), runs)
    assert [run.number for run in decision.top] == [2, 0, 1]
    assert decision.best is not None
    assert decision.best.value == -3.0


def test_at_most_ten_are_at_the_top_and_each_trial_once_by_its_best_run() -> None:
    runs = [done(n, n / 100) for n in range(9)] + [
        done(8, 0.5, rung=1),
        done(7, 0.01, rung=1),
        done(6, 0.06, 1),
    ]
    top = decide(HYPERBAND, runs).top
    assert [(run.number, run.rung) for run in top[:3]] == [(8, 1), (7, 0), (6, 1)]
    assert len(top) == 9
    assert len(decide(Rules("random", max_recommendations=50), [done(n, 0.1) for n in range(50)]).top) == 10


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("minimize", [False, True])
def test_a_trial_without_a_number_is_a_failure_and_never_the_best(
    value: float | None, minimize: bool
) -> None:
    decision = decide(
        Rules("random", max_recommendations=6, minimize=minimize, max_failed=0), [done(0, value)]
    )
    assert (decision.best, decision.top) == (None, ())
    assert decision.failed == "1 trial has failed, and spec.automl.maxFailed allows none."


def test_more_failures_than_are_allowed_end_the_search_and_stop_what_runs() -> None:
    rules = Rules("random", max_recommendations=20, parallelism=4, max_failed=2)
    two = [failed(0), failed(1), running(2), running(3)]
    assert decide(rules, two).failed == ""
    assert keys(decide(rules, two).start) == [(4, 0), (5, 0)]
    decision = decide(rules, [*two, failed(4)])
    assert decision.failed == "3 trials have failed, and spec.automl.maxFailed allows at most 2."
    assert (decision.start, decision.stop, decision.ended) == ((), ((2, 0), (3, 0)), False)
    assert decision.total == 5
    over = decide(rules, [failed(0), failed(1), canceled(2), canceled(3), failed(4)])
    assert (over.stop, over.ended, over.failed) == ((), True, decision.failed)


def test_cancelled_and_stopped_trials_are_no_failures() -> None:
    rules = Rules("random", max_recommendations=6, max_failed=0)
    assert decide(rules, [canceled(0), stopped(1, 0.1)]).failed == ""
    assert decide(rules, [canceled(0, 0.9), stopped(1, 0.1)]).best == stopped(1, 0.1)


def test_a_trial_that_fails_on_a_later_rung_is_one_failed_trial() -> None:
    runs = [done(n, n / 10) for n in range(9)] + [failed(8, rung=1), failed(7, rung=1), failed(7, rung=0)]
    assert decide(Rules("hyperband", max_resource=9, max_failed=2), runs).failed == ""
    said = decide(Rules("hyperband", max_resource=9, max_failed=1), runs).failed
    assert said.startswith("2 trials have failed")


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        pytest.param([failed(n) for n in range(6)], "All 6 trials have failed.", id="all failed"),
        pytest.param([canceled(n) for n in range(6)], "All 6 trials were cancelled.", id="all cancelled"),
        pytest.param(
            [failed(n) for n in range(4)] + [canceled(4), canceled(5)],
            "No trial has a value: 4 failed, 2 cancelled.",
            id="some of each",
        ),
        pytest.param([failed(n) for n in range(5)] + [done(5, 0.1)], "", id="one has a value"),
        pytest.param(
            [failed(n) for n in range(5)] + [stopped(5, 0.1)], "", id="one that was stopped has a value"
        ),
        pytest.param([failed(n) for n in range(5)], "", id="one is still to come"),
        pytest.param([*(failed(n) for n in range(5)), running(5)], "", id="one still runs"),
    ],
)
@pytest.mark.parametrize("max_failed", [None, 100])
def test_a_search_without_any_value_has_failed(runs: list[Run], said: str, max_failed: int | None) -> None:
    assert decide(Rules("random", max_recommendations=6, max_failed=max_failed), runs).failed == said


def test_the_only_trial_is_told_as_one() -> None:
    one = Rules("random", max_recommendations=1)
    assert decide(one, [failed(0)]).failed == "The only trial has failed."
    assert decide(one, [canceled(0)]).failed == "The only trial was cancelled."


@pytest.mark.parametrize(
    ("minimize", "threshold", "runs", "reached"),
    [
        pytest.param(False, 0.9, [done(0, 0.91), running(1, 0.2)], True, id="one has reached it"),
        pytest.param(False, 0.9, [done(0, 0.9), running(1)], True, id="just so"),
        pytest.param(False, 0.9, [done(0, 0.89), running(1, 0.2)], False, id="nearly"),
        pytest.param(
            False, 0.9, [done(0, 0.5), running(1, 0.95)], True, id="the best of one that still runs"
        ),
        pytest.param(True, 0.1, [done(0, 0.05), running(1)], True, id="as a loss"),
        pytest.param(True, 0.1, [done(0, 0.5), running(1, 0.2)], False, id="a loss that is too great"),
        pytest.param(True, 0.1, [canceled(0, 0.01), running(1)], False, id="a cancelled one does not count"),
        pytest.param(
            True, 0.1, [done(0, math.nan), running(1, math.nan)], False, id="NaN is not good enough"
        ),
    ],
)
def test_good_enough_is_when_no_more_trials_start(
    minimize: bool, threshold: float, runs: list[Run], reached: bool
) -> None:
    rules = Rules("random", max_recommendations=9, parallelism=3, minimize=minimize, threshold=threshold)
    decision = decide(rules, runs)
    assert bool(decision.start) != reached
    assert (decision.ended, decision.stop, decision.failed) == (False, (), "")
    assert decision.total == (2 if reached else 9)


def test_a_search_that_was_good_enough_ends_with_what_still_ran() -> None:
    rules = Rules("random", max_recommendations=9, parallelism=3, threshold=0.9)
    decision = decide(rules, [done(0, 0.95), failed(1)])
    assert (decision.ended, decision.failed, decision.best) == (True, "", done(0, 0.95))


def test_failures_after_one_was_good_enough_do_not_take_the_result_away() -> None:
    rules = Rules("random", max_recommendations=9, parallelism=3, threshold=0.9, max_failed=1)
    decision = decide(rules, [done(0, 0.95), failed(1), failed(2)])
    assert (decision.ended, decision.failed, decision.best) == (True, "", done(0, 0.95))
    assert decide(rules, [done(0, 0.5), failed(1), failed(2)]).failed, "while none is"


def test_the_last_value_counts_on_rungs_from_which_trials_go_on() -> None:
    assert [is_final(HYPERBAND, 0, rung) for rung in (0, 1, 2)] == [False, False, True]
    assert [is_final(HYPERBAND, 9, rung) for rung in (0, 1)] == [False, True]
    assert [is_final(HYPERBAND, 13, 0), is_final(HYPERBAND, 14, 0), is_final(HYPERBAND, 16, 0)] == [
        False,
        True,
        True,
    ]
    assert [is_final(ASHA, 5, rung) for rung in (0, 1, 2)] == [False, False, True]
    assert is_final(RANDOM, 3, 0)


def test_the_best_so_far_of_a_run_whose_last_value_counts_is_not_good_enough_yet() -> None:
    rules = Rules("hyperband", max_resource=9, parallelism=2, threshold=0.9)
    assert decide(rules, [running(0, 0.95)]).start
    assert not decide(rules, [done(0, 0.95)]).start


def test_hyperband_fills_free_slots_from_the_next_bracket() -> None:
    start = decide(HYPERBAND, []).start
    assert keys(start) == [(number, 0) for number in range(17)]
    assert [start.bracket for start in start] == [2] * 9 + [1] * 5 + [0] * 3
    assert start[0] == Start(0, 0, 2, units=1, epochs=1)
    assert start[9] == Start(9, 0, 1, units=3, epochs=3)
    assert start[16] == Start(16, 0, 0, units=9, epochs=9)


def test_epochs_are_units_times_the_multiplier() -> None:
    assert decide(Rules("hyperband", max_resource=9, epoch_multiplier=4), []).start == (Start(0, 0, 2, 1, 4),)
    assert decide(Rules("asha", max_resource=9, epoch_multiplier=4), []).start == (Start(0, 0, 2, 1, 4),)


def test_a_rung_is_decided_when_all_of_its_runs_have_ended() -> None:
    eight = [done(number, number / 10) for number in range(8)]
    rules = Rules("hyperband", max_resource=9, parallelism=3)
    assert keys(decide(rules, [*eight, running(8)]).start) == [(9, 0), (10, 0)]
    decision = decide(rules, [*eight, done(8, 0.8)])
    assert decision.start == (Start(8, 1, 2, 3, 3), Start(7, 1, 2, 3, 3), Start(6, 1, 2, 3, 3))
    first, second, third = decision.rungs[:3]
    assert (first.bracket, first.rung, first.configurations, first.finished, first.promoted) == (
        2,
        0,
        9,
        9,
        3,
    )
    assert (first.best, second.configurations, second.running, second.best) == (0.8, 3, 0, None)
    assert (third.configurations, third.units, third.epochs) == (1, 9, 9)


def test_fewer_successes_than_places_promote_fewer_and_failures_never() -> None:
    rules = Rules("hyperband", max_resource=9, parallelism=2)
    runs = [done(4, 0.1), done(2, math.nan), stopped(0, 0.99), canceled(1, 0.9)]
    runs += [failed(n) for n in (3, 5, 6, 7, 8)]
    decision = decide(rules, runs)
    assert keys(decision.start) == [(4, 1), (9, 0)]
    assert decision.rungs[0].promoted == 1
    alone = decide(rules, [*runs, done(4, 0.2, rung=1)])
    assert keys(alone.start) == [(4, 2), (9, 0)]


def test_a_bracket_in_which_all_fail_is_over_and_the_next_one_goes_on() -> None:
    decision = decide(Rules("hyperband", max_resource=9, parallelism=3), [failed(n) for n in range(9)])
    assert keys(decision.start) == [(9, 0), (10, 0), (11, 0)]
    assert [rung.promoted for rung in decision.rungs[:3]] == [0, 0, 0]


def test_equal_ones_are_promoted_by_their_number() -> None:
    decision = decide(HYPERBAND, [done(number, 0.5) for number in reversed(range(9))])
    assert keys(decision.start)[:3] == [(0, 1), (1, 1), (2, 1)]


def test_a_loss_promotes_the_least() -> None:
    rules = Rules("hyperband", max_resource=9, parallelism=3, minimize=True)
    assert keys(decide(rules, [done(n, n / 10) for n in range(9)]).start) == [(0, 1), (1, 1), (2, 1)]


def test_a_run_that_was_lost_is_started_again_and_its_rung_waits() -> None:
    runs = [done(n, n / 10) for n in range(9)] + [done(8, 0.9, rung=1), done(6, 0.7, rung=1)]
    assert keys(decide(HYPERBAND, runs).start)[0] == (7, 1)
    without = [run for run in runs if (run.number, run.rung) != (3, 0)]
    assert keys(decide(HYPERBAND, without).start)[0] == (3, 0)


def test_of_two_records_of_a_run_the_one_that_ended_counts() -> None:
    for runs in ([running(0), done(0, 0.4)], [done(0, 0.4), running(0)]):
        decision = decide(RANDOM, runs)
        assert decision.best == done(0, 0.4)
        assert keys(decision.start) == [(1, 0), (2, 0)]


def test_asha_promotes_as_soon_as_a_rungs_best_third_has_one_that_has_not_gone_on() -> None:
    assert keys(decide(ASHA, [done(0, 0.1), done(1, 0.9)]).start) == [(2, 0)]
    three = [done(0, 0.1), done(1, 0.9), done(2, 0.5)]
    assert decide(ASHA, three).start == (Start(1, 1, 2, 3, 3),)
    assert keys(decide(ASHA, [*three, done(1, 0.95, rung=1)]).start) == [(3, 0)]


def test_asha_promotes_from_the_highest_rung_first() -> None:
    runs = [done(n, n / 100) for n in range(12)] + [done(n, n / 100, rung=1) for n in (11, 10, 9)]
    decision = decide(Rules("asha", max_resource=9, max_recommendations=20, parallelism=3), runs)
    assert keys(decision.start) == [(11, 2), (8, 1), (12, 0)]


def test_asha_counts_failures_as_ended_and_never_promotes_them() -> None:
    assert keys(decide(ASHA, [failed(0), failed(1), done(2, 0.1)]).start) == [(2, 1)]
    assert keys(decide(ASHA, [failed(0), failed(1), failed(2)]).start) == [(3, 0)]


def test_asha_ends_when_all_trials_were_made_and_none_can_go_on() -> None:
    rules = Rules("asha", max_resource=9, max_recommendations=3, parallelism=4)
    three = [done(0, 0.1), done(1, 0.9), done(2, 0.5)]
    assert not decide(rules, [*three, running(1, rung=1)]).ended
    decision = decide(rules, [*three, done(1, 0.8, rung=1)])
    assert decision.ended
    assert decision.best == done(1, 0.9)
    assert [(rung.finished, rung.promoted, rung.configurations) for rung in decision.rungs] == [
        (3, 1, 3),
        (1, 0, 1),
        (0, 0, 0),
    ]


def test_asha_ends_where_status_has_no_room_for_more_runs() -> None:
    """Where each trial is better than all before it, each is promoted, and there may be more runs than was foreseen."""
    rules = Rules("asha", max_resource=27, max_recommendations=1200, parallelism=4)
    assert rules.problem() is None
    runs = [done(number, number / 1000, rung) for number in range(1000) for rung in (0, 1)]
    assert len(decide(rules, runs[:-1]).start) == 1
    decision = decide(rules, runs)
    assert (decision.start, decision.ended, decision.failed) == ((), True, "")


MEDIAN = Median(startup_trials=1, warmup_epochs=0)
GOOD = Run(0, 0, "success", 0.9, ((1.0, 0.8), (2.0, 0.9)))
BAD = Run(1, 0, "running", 0.1, ((1.0, 0.1),))


def test_hopeless_trials_are_stopped_and_count_as_running_until_they_have_ended() -> None:
    decision = decide(Rules("random", max_recommendations=9, parallelism=2, median=MEDIAN), [GOOD, BAD])
    assert decision.stop == ((1, 0),)
    assert keys(decision.start) == [(2, 0)]


@pytest.mark.parametrize("algorithm", ["hyperband", "asha"])
def test_the_median_rule_is_not_for_searches_by_rungs(algorithm: Any) -> None:
    assert decide(Rules(algorithm, parallelism=2, median=MEDIAN), [GOOD, BAD]).stop == ()
