"""Why a type is recommended, in sentences made of the numbers that were measured.

Separate because the words are for people, and the numbers are settled before. Called by `recommending`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainyard_trainer.columns import Layout
from trainyard_trainer.crossvalidation import Measured
from trainyard_trainer.dataanalysis import DataFacts

LONGEST = 4096
_LONGEST_NAME = 60
_MOST_NAMES = 5
_POOR = 10


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What there is to say. `sampled` rows were measured; `unable` are the candidates that cannot have such a target;
    `rules` are those that counted, where nothing was measured.
    """

    facts: DataFacts
    layout: Layout
    measured: Measured
    ranked: Sequence[str]
    scores: Mapping[str, int]
    trivial: float
    sampled: int
    budget: int
    unable: Sequence[str] = ()
    rules: Sequence[str] = ()


def of_measurement(found: Findings) -> str:
    """Which was best, by how much, what the others came to, and what to keep in mind."""
    best, measured = found.ranked[0], found.measured
    classify = found.layout.task == "classification"
    folds = f"{measured.rounds} of {measured.folds} folds" if _was_cut(found) else f"{measured.folds} folds"
    sentences = [
        f"{best} is recommended for the {found.layout.task} of {_quoted(found.layout.target)}, with a score of"
        f" {found.scores[best]}: {_result(found, best)}, on rows that it had not learned from ({folds}).",
        f"{'Always naming the most frequent class' if classify else 'Always naming the mean'} would come to"
        f" {_of_loss(found.trivial, classify=classify)}.",
    ]
    if others := [f"{name} {_result(found, name)} (score {found.scores[name]})" for name in found.ranked[1:]]:
        sentences += [f"The others: {'; '.join(others)}.", _lead(found)]
    slowest = max(found.ranked, key=measured.seconds)
    sentences.append(
        f"A fit of {best} took {measured.seconds(best):.2g} s"
        + (f", one of {slowest}, the slowest, {measured.seconds(slowest):.2g} s." if slowest != best else ".")
    )
    if found.scores[best] < _POOR:
        sentences.append(
            "None is much better than that without learning: other features are needed more than another type."
        )
    sentences += [f"{name} could not be fitted: {why}" for name, why in measured.failed.items()]
    if _was_cut(found):
        sentences.append(f"The time budget of {found.budget} s was too short for all folds.")
    return _joined([*sentences, *_of_data(found)])


def of_rules(found: Findings) -> str:
    """That nothing was measured and why, which rules counted, and what to keep in mind."""
    best, measured = found.ranked[0], found.measured
    begun = [f"{fit.type} took {fit.seconds:.2g} s" for fit in measured.partial]
    sentences = [
        f"{best} is recommended for the {found.layout.task} of {_quoted(found.layout.target)} by rules alone,"
        f" with a score of {found.scores[best]}: the time budget of {found.budget} s was too short for one fold of"
        f" each candidate{' (' + ', '.join(begun) + ')' if begun else ''}, so nothing was measured.",
        f"What counted: {', '.join(found.rules)}." if found.rules else "No rule spoke for or against a type.",
        *(f"{name} could not be fitted: {why}" for name, why in measured.failed.items()),
        "Raise time_budget_seconds for a measured recommendation.",
    ]
    return _joined([*sentences, *_of_data(found)])


def _result(found: Findings, name: str) -> str:
    classify = found.layout.task == "classification"
    return _of_loss(float(np.mean(found.measured.losses(name))), classify=classify)


def _of_loss(loss: float, *, classify: bool) -> str:
    return f"accuracy {1 - loss:.4f}" if classify else f"rmse {np.sqrt(loss):.4g}"


def _lead(found: Findings) -> str:
    """How sure the first place is: the lead over the second, by fold, and its standard error."""
    first, second = found.ranked[:2]
    leads = np.subtract(found.measured.losses(second), found.measured.losses(first))
    won = int((leads > 0).sum())
    if len(leads) < 2:
        return f"One fold alone cannot tell whether the lead over {second} is more than chance."
    error = float(np.std(leads, ddof=1) / np.sqrt(len(leads)))
    told = f"{first} was better than {second} in {won} of {len(leads)} folds"
    if float(leads.mean()) > 2 * error:
        return f"{told}, by more than twice the standard error of the difference."
    return f"{told}, by less than twice the standard error of the difference: the two are about as good here."


def _of_data(found: Findings) -> list[str]:
    facts = found.facts
    classes = f", {facts.classes} classes" if facts.classes else ""
    sentences = [
        f"The data has {facts.rows} records and {facts.features} features: {facts.numeric} of numbers,"
        f" {facts.categorical} of categories, {facts.missing_share:.1%} of the values missing{classes}."
    ]
    if found.sampled < facts.rows:
        sentences.append(f"A sample of {found.sampled} records was measured.")
    if found.unable:
        sentences.append(
            f"{', '.join(found.unable)} predicts quantities, and {_quoted(found.layout.target)} has classes."
        )
    if facts.free_text:
        names = ", ".join(_quoted(name) for name in facts.free_text[:_MOST_NAMES])
        sentences.append(
            f"There is free text in {names}, which these types take for categories: little of it is learned."
        )
    return sentences


def _was_cut(found: Findings) -> bool:
    return found.measured.rounds < found.measured.folds


def _quoted(name: str) -> str:
    return f'"{name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"}"'


def _joined(sentences: Sequence[str]) -> str:
    text = " ".join(sentences)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
