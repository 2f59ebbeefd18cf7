"""A recommendation: the job that measures it, what its trainer has found, and how that is shown.

Separate and free of I/O because what a trainer prints is text that is not trusted. Called by `recommend`;
`modeldetails` shows that of a model in the same way.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from trainyard.api import names
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.reading import printable
from trainyard.cli.rendering import bar, section
from trainyard.logs.splice import Line
from trainyard.planning.nearest import hint

Json = dict[str, Any]

#: As `spec.recommendation.candidates` of an MLModel has them.
CANDIDATES = ("decision_tree", "random_forest", "regression", "neural_network")
_KEY = "recommendation"
_LONGEST = 256 << 10
_BAR, _WIDTH = 30, 110
_MOST_NAME = 40


def candidates(words: Sequence[str]) -> list[str]:
    """Types to choose from, of words with commas. Raises UsageError for what is none, or is said twice."""
    found = [one.strip() for word in words for one in word.split(",")]
    for one in found:
        if one not in CANDIDATES:
            raise UsageError(f"{one!r} is no candidate: {hint(one, CANDIDATES)}")
        if found.count(one) > 1:
            raise UsageError(f"Candidate {one} is said twice: say it once.")
    return found


def job(*, dataset: str, name: str | None, parameters: Mapping[str, Any]) -> Json:
    """The TrainingJob that measures the candidates on a Dataset."""
    begin = f"recommend-{dataset}"[:_MOST_NAME].rstrip("-")
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingJob",
        "metadata": {"name": name} if name else {"generateName": f"{begin}-"},
        "spec": {
            "runtime": "reference",
            "action": "recommend",
            "datasets": {"train": [dataset]},
            "parameters": dict(parameters),
        },
    }


def last(lines: Sequence[Line]) -> Json | None:
    """What the last status line that has a recommendation says; None where there is none that is whole."""
    for _, text in reversed(lines):
        if not text.startswith(b"{") or len(text) > _LONGEST:
            continue
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get(_KEY), dict):
            return dict(found[_KEY])
    return None


def checked(found: Json, *, job: str) -> Json:
    """The recommendation as the API has it. Raises CommandError for one that is none."""
    # NB: loaded here only, as the models of the API take as long as the command itself.
    from pydantic import ValidationError

    from trainyard.api.modelstatus import Recommendation

    try:
        read = Recommendation.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(
            f"What the trainer of {job} recommends cannot be read: {where}: {printable(first['msg'])}."
        ) from None
    return read.model_dump(by_alias=True, mode="json", exclude_none=True)


def show(found: Json) -> None:
    """Prints it: the type, the scores of all candidates, why, and what the data is like."""
    how = "measured" if found.get("measured") else "by rules, not measured"
    typer.echo(printable(f"Recommended: {found.get('type')}, score {found.get('score')} of 100, {how}"))
    scores(found)
    if reasoning := printable(str(found.get("reasoning") or "")).strip():
        typer.echo(f"\n{textwrap.fill(reasoning, width=_WIDTH)}")
    rows = analysis(found)
    if rows:
        section(("THE DATA", ""), rows)


def scores(found: Json) -> None:
    """Prints the scores of all candidates, the best first."""
    every = sorted((found.get("allScores") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    if every:
        section(
            ("TYPE", "SCORE", ""),
            [(name, str(score), bar(score, most=100, width=_BAR)) for name, score in every],
        )


def analysis(found: Json) -> list[tuple[str, str]]:
    """What the data is like, in rows."""
    data, columns = found.get("dataAnalysis") or {}, found.get("ontologyAnalysis") or {}
    types = ", ".join(f"{number} {name}" for name, number in sorted((columns.get("dataTypes") or {}).items()))
    rows = [
        ("records", str(data.get("recordCount", ""))),
        ("features", str(data.get("featureCount", ""))),
        ("size", str(data.get("size") or "")),
        ("complexity", str(columns.get("complexity") or "")),
        ("columns", types),
        ("numerical", _share(columns.get("numericalRatio"))),
        ("categorical", _share(columns.get("categoricalRatio"))),
        ("texts or pictures", _yes_or_no(data.get("hasUnstructured"))),
    ]
    return [row for row in rows if row[1]]


def _yes_or_no(found: Any) -> str:
    return "" if found is None else "yes" if found else "no"


def _share(text: Any) -> str:
    try:
        return f"{100 * float(text):.0f}%"
    except (TypeError, ValueError, OverflowError):
        return ""
