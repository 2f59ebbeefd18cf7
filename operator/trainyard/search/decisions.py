"""What a search does next, decided from its runs alone.

Separate because it is the one question that the operator asks of a search: after a restart, or when children were
deleted, the same runs give the same answer. Nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.search import halving, median
from trainyard.search.halving import bracket_of
from trainyard.search.outcome import Decision, Plan, RungState, Start
from trainyard.search.record import Record
from trainyard.search.rules import Rules
from trainyard.search.runs import Run

__all__ = ["Decision", "Plan", "RungState", "Start", "bracket_of", "decide", "epochs_of", "is_final"]


def decide(rules: Rules, runs: Sequence[Run]) -> Decision:
    """What to start and to stop, whether the search is over, and who is best.

    `runs` are all that there are, also those that have ended; one that should be there and is not is started (again).
    The rules must be such that `Rules.problem` has nothing to say.
    """
    record = Record.of(runs, minimize=rules.minimize)
    free = max(0, rules.parallelism - len(record.running))
    plan = _plan(rules, record, free)
    top = record.top()
    satisfied = _threshold_reached(rules, record, top)
    # NB: those that still ran when one was good enough may fail as they like: the search has its result.
    failed = "" if satisfied else _too_many_failed(rules, record)
    start = () if failed or satisfied else plan.start
    ended = not record.running and not start
    if ended and not top and not failed:
        failed = _none_has_a_value(record)
    return Decision(
        start=start,
        stop=_stop(rules, record, failed),
        ended=ended,
        failed=failed,
        total=len(record.trials) if failed or satisfied else rules.trials,
        rungs=plan.rungs,
        best=top[0] if top else None,
        top=top,
    )


def is_final(rules: Rules, number: int, rung: int) -> bool:
    """Whether the best value of a run counts; on a rung from which trials go on, it is the last one that counts."""
    return not rules.by_rungs or halving.is_last_rung(rules, number, rung)


def epochs_of(rules: Rules, number: int, rung: int) -> int | None:
    """The epochs, from its first start, that a trial comes to on a rung; None where there are no rungs."""
    return halving.units_of(rules, number, rung) * rules.epoch_multiplier if rules.by_rungs else None


def _plan(rules: Rules, record: Record, free: int) -> Plan:
    if rules.algorithm == "hyperband":
        return halving.hyperband(rules, record, free)
    if rules.algorithm == "asha":
        return halving.asha(rules, record, free)
    start: list[Start] = []
    for number in range(rules.trials):
        if len(start) >= free:
            break
        if (number, 0) not in record.runs:
            start.append(Start(number))
    return Plan(tuple(start))


def _stop(rules: Rules, record: Record, failed: str) -> tuple[tuple[int, int], ...]:
    if failed:
        return tuple((run.number, run.rung) for run in record.running)
    if rules.median is None or rules.by_rungs:
        return ()
    found = median.hopeless(rules.median, record.runs.values(), minimize=rules.minimize)
    return tuple(sorted((run.number, run.rung) for run in found))


def _threshold_reached(rules: Rules, record: Record, top: Sequence[Run]) -> bool:
    """Whether a run is good enough; also one that goes on, where its best counts, which no later value takes away."""
    if rules.threshold is None:
        return False
    going_on = (run.value for run in record.running if is_final(rules, run.number, run.rung))
    for value in (*(run.score for run in top[:1]), *going_on):
        if value is not None and (value <= rules.threshold if rules.minimize else value >= rules.threshold):
            return True
    return False


def _too_many_failed(rules: Rules, record: Record) -> str:
    failed = len(record.failed)
    if rules.max_failed is None or failed <= rules.max_failed:
        return ""
    count = "1 trial has" if failed == 1 else f"{failed} trials have"
    allowed = "none" if rules.max_failed == 0 else f"at most {rules.max_failed}"
    return f"{count} failed, and spec.automl.maxFailed allows {allowed}."


def _none_has_a_value(record: Record) -> str:
    failed, canceled = len(record.failed), len(record.canceled - record.failed)
    if not record.trials:
        return ""
    if failed + canceled < len(record.trials):
        return "No trial has a value."
    if not canceled:
        return "The only trial has failed." if failed == 1 else f"All {failed} trials have failed."
    if not failed:
        return "The only trial was cancelled." if canceled == 1 else f"All {canceled} trials were cancelled."
    return f"No trial has a value: {failed} failed, {canceled} cancelled."
