"""The algorithms with rungs: Hyperband (Li et al. 2018) and asynchronous successive halving (Li et al. 2020, ASHA).

Separate because which trials go on is the heart of both, and of nothing else. Called by `decisions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.search.outcome import Plan, RungState, Start
from trainyard.search.record import Record
from trainyard.search.rules import MOST_RUNS, Rules


def hyperband(rules: Rules, record: Record, free: int) -> Plan:
    """The next runs for `free` slots.

    Trials are numbered through all brackets. A rung is decided when all of its runs have ended; then as many as the
    next rung takes go on, the best of those that succeeded. Slots that a bracket leaves free go to the next one.
    """
    start: list[Start] = []
    states: list[RungState] = []
    first = 0
    for bracket in rules.brackets:
        entrants: Sequence[int] | None = range(first, first + bracket.configurations)
        first += bracket.configurations
        for index, rung in enumerate(bracket.rungs):
            epochs = rung.units * rules.epoch_multiplier
            running, ended, survivors = 0, [], None
            for number in entrants or ():
                run = record.runs.get((number, index))
                if run is None:
                    if len(start) < free:
                        start.append(Start(number, index, bracket.s, rung.units, epochs))
                elif run.ended:
                    ended.append((number, index))
                else:
                    running += 1
            if entrants is not None and len(ended) == len(entrants) and index + 1 < len(bracket.rungs):
                survivors = _best(record, ended, bracket.rungs[index + 1].configurations)
            states.append(
                RungState(
                    bracket=bracket.s,
                    rung=index,
                    configurations=rung.configurations,
                    units=rung.units,
                    epochs=epochs,
                    running=running,
                    finished=len(ended),
                    promoted=len(survivors or ()),
                    best=record.best_of(ended),
                )
            )
            entrants = survivors
    return Plan(tuple(start), tuple(states))


def asha(rules: Rules, record: Record, free: int) -> Plan:
    """The next runs for `free` slots: where a rung's best 1/nu, of those that ended on it, has one that has not gone
    on, that one goes on, the highest rung first; else a new trial, up to `max_recommendations`.

    Nothing starts beyond MOST_RUNS: where each trial is better than all before it, each goes on.
    """
    free = min(free, MOST_RUNS - len(record.runs))
    units = rules.ladder
    top = len(units) - 1
    running = [0] * len(units)
    ended: list[list[tuple[int, int]]] = [[] for _ in units]
    gone = [0] * len(units)
    for (number, rung), run in record.runs.items():
        if rung > top:
            continue
        if run.ended:
            ended[rung].append((number, rung))
        else:
            running[rung] += 1
        if rung:
            gone[rung - 1] += 1
    start: list[Start] = []
    for rung in range(top - 1, -1, -1):
        for number in _best(record, ended[rung], len(ended[rung]) // rules.nu):
            if len(start) < free and (number, rung + 1) not in record.runs:
                start.append(_start_of_asha(rules, number, rung + 1))
    for number in range(rules.max_recommendations):
        if len(start) >= free:
            break
        if (number, 0) not in record.runs:
            start.append(_start_of_asha(rules, number, 0))
    states = tuple(
        RungState(
            bracket=top,
            rung=rung,
            configurations=max(rules.max_recommendations // rules.nu**rung, running[rung] + len(ended[rung])),
            units=units[rung],
            epochs=units[rung] * rules.epoch_multiplier,
            running=running[rung],
            finished=len(ended[rung]),
            promoted=gone[rung],
            best=record.best_of(ended[rung]),
        )
        for rung in range(len(units))
    )
    return Plan(tuple(start), states)


def units_of(rules: Rules, number: int, rung: int) -> int:
    """The units that a trial comes to on a rung of its bracket."""
    if rules.algorithm == "asha":
        return rules.ladder[rung]
    for bracket in rules.brackets:
        if number < bracket.configurations:
            return bracket.rungs[rung].units
        number -= bracket.configurations
    raise ValueError(f"There is no bracket with trial {number}.")


def bracket_of(rules: Rules, number: int) -> int | None:
    """The bracket of a trial, as RungState has it; None where no bracket has a trial of that number."""
    if rules.algorithm == "asha":
        return len(rules.ladder) - 1
    for bracket in rules.brackets:
        if number < bracket.configurations:
            return bracket.s
        number -= bracket.configurations
    return None


def is_last_rung(rules: Rules, number: int, rung: int) -> bool:
    """Whether no trial goes on from this rung of the trial's bracket."""
    if rules.algorithm == "asha":
        return rung >= len(rules.ladder) - 1
    for bracket in rules.brackets:
        if number < bracket.configurations:
            return rung >= len(bracket.rungs) - 1
        number -= bracket.configurations
    return True


def _best(record: Record, keys: Sequence[tuple[int, int]], places: int) -> tuple[int, ...]:
    """Numbers of the best that succeeded, best first; of equal ones the lower number."""
    ranked = [(record.promotable[key], key[0]) for key in keys if key in record.promotable]
    return tuple(number for _, number in sorted(ranked)[:places])


def _start_of_asha(rules: Rules, number: int, rung: int) -> Start:
    units = rules.ladder[rung]
    return Start(number, rung, len(rules.ladder) - 1, units, units * rules.epoch_multiplier)
