"""What a trainer recommends, from its log to the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.mlmodel import TrainedType
from trainyard.cli import recommendations
from trainyard.cli.exits import CommandError, UsageError

Json = dict[str, Any]

FOUND: Json = {
    "type": "random_forest",
    "score": 93,
    "reasoning": "Of 4 candidates random_forest has the best accuracy, 0.930 over 5 folds.",
    "allScores": {"decision_tree": 71, "random_forest": 93, "neural_network": 90, "regression": 0},
    "ontologyAnalysis": {
        "numEntities": 1,
        "numAttributes": 5,
        "numRelationships": 0,
        "numericalRatio": "0.8",
        "categoricalRatio": "0.2",
        "dataTypes": {"number": 4, "category": 1},
        "complexity": "low",
    },
    "dataAnalysis": {"size": "small", "recordCount": 150, "featureCount": 4, "hasUnstructured": False},
    "measured": True,
}


def lines(*texts: Any) -> list[tuple[bytes, bytes]]:
    return [
        (b"t", text if isinstance(text, bytes) else json.dumps(text, ensure_ascii=False).encode())
        for text in texts
    ]


def test_the_last_status_line_that_recommends_counts() -> None:
    older = {"status": "RUNNING", "recommendation": {"type": "regression", "score": 1}}
    said = lines(older, {"status": "SUCCESS", "recommendation": FOUND}, b"some log", {"status": "SUCCESS"})
    assert recommendations.last(said) == FOUND


@pytest.mark.parametrize(
    "said",
    [
        [],
        lines(b"recommendation"),
        lines({"status": "SUCCESS"}),
        lines({"recommendation": "random_forest"}),
        lines(b'{"recommendation": {"type"'),
        lines(b"{" * 100_000),
        lines(b'{"recommendation": {"type": "' + b"x" * (300 << 10) + b'"}}'),
    ],
    ids=["nothing", "log", "no recommendation", "text", "cut", "nested too deep", "too long"],
)
def test_a_log_without_a_whole_recommendation_has_none(said: list[tuple[bytes, bytes]]) -> None:
    assert recommendations.last(said) is None


def test_a_recommendation_is_what_the_api_has() -> None:
    assert recommendations.checked(FOUND, job="one") == FOUND


@pytest.mark.parametrize(
    ("change", "where"),
    [({"score": 101}, "score"), ({"type": None}, "type"), ({"allScores": {"a": "b"}}, "allScores.a")],
)
def test_what_is_no_recommendation_is_told(change: Json, where: str) -> None:
    with pytest.raises(CommandError) as error:
        recommendations.checked({**FOUND, **change}, job="one")
    assert error.value.message.startswith(f"What the trainer of one recommends cannot be read: {where}: ")


def test_it_is_shown_with_all_scores_the_reasons_and_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    recommendations.show(FOUND)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    for expected in (
        "Recommended: random_forest, score 93 of 100, measured",
        "TYPE SCORE",
        "neural_network 90 ███████████████████████████",
        "Of 4 candidates random_forest has the best accuracy, 0.930 over 5 folds.",
        "records 150",
        "features 4",
        "columns 1 category, 4 number",
        "numerical 80%",
        "texts or pictures no",
    ):
        assert expected.split() in shown, expected
    order = [line[0] for line in shown if line and line[0] in recommendations.CANDIDATES]
    assert order == ["random_forest", "neural_network", "decision_tree", "regression"]


def test_one_by_rules_says_so_and_needs_no_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    recommendations.show({"type": "regression", "score": 50})
    assert capsys.readouterr().out == "Recommended: regression, score 50 of 100, by rules, not measured\n"


def test_candidates_are_those_of_the_api() -> None:
    assert set(recommendations.CANDIDATES) == set(TrainedType.__args__)


def test_candidates_are_said_with_commas_or_one_by_one() -> None:
    assert recommendations.candidates(["decision_tree,regression", "random_forest"]) == [
        "decision_tree",
        "regression",
        "random_forest",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["desicion_tree"], "'desicion_tree' is no candidate: did you mean decision_tree?"),
        (["regression,regression"], "Candidate regression is said twice: say it once."),
        ([""], "'' is no candidate: "),
    ],
)
def test_what_is_no_candidate_is_told(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        recommendations.candidates(words)
    assert error.value.message.startswith(said)


@pytest.mark.parametrize(
    ("dataset", "begin"),
    [("customers", "recommend-customers-"), ("a" * 29 + "-" + "b" * 5, f"recommend-{'a' * 29}-")],
)
def test_a_job_is_named_after_its_dataset(dataset: str, begin: str) -> None:
    job = recommendations.job(dataset=dataset, name=None, parameters={"folds": 3})
    assert job["metadata"] == {"generateName": begin}
    assert job["spec"] == {
        "runtime": "reference",
        "action": "recommend",
        "datasets": {"train": [dataset]},
        "parameters": {"folds": 3},
    }


def test_what_the_reference_trainer_recommends_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data/rooms").mkdir(parents=True)
    rows = [f"{n},{n * 7 % 11},{'warm' if n > 30 else 'cold'}" for n in range(60)]
    (tmp_path / "data/rooms/a.csv").write_text("\n".join(["sun,wind,state", *rows]) + "\n")
    asked = {
        "ACTION": "recommend",
        "PARAMETERS": json.dumps({"folds": 2, "candidates": ["decision_tree"]}),
        "DATA_DIR": str(tmp_path / "data"),
        "DATASETS": json.dumps({"train": ["rooms"]}),
        "TERMINATION_LOG": str(tmp_path / "verdict"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "trainyard_trainer"],
        env={**os.environ, **{f"TRAINYARD_{name}": value for name, value in asked.items()}},
        capture_output=True,
        check=True,
        timeout=120,
    )
    found = recommendations.last([(b"t", line) for line in done.stdout.splitlines()])
    assert found is not None
    shown = recommendations.checked(found, job="one")
    assert (shown["type"], shown["measured"], list(shown["allScores"])) == (
        "decision_tree",
        True,
        ["decision_tree"],
    )
    recommendations.show(shown)
    assert ["records", "60"] in [line.split() for line in capsys.readouterr().out.splitlines()]
