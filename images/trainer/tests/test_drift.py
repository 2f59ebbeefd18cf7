"""The profile beside a model, and how far the rows of an evaluation have moved from it."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from trainyard_trainer import drift
from trainyard_trainer.columns import Layout

ROWS = 2000


def of(numbers=(), texts=()):
    layout = Layout(
        target="t", task="regression", labels="none", numeric=tuple(numbers), categorical=tuple(texts)
    )
    return pd.DataFrame({**dict(numbers), **dict(texts)}), layout


def kept(folder, **options):
    frame, layout = of(**options)
    drift.write(folder, drift.profile_of(frame, layout))
    return json.loads((folder / drift.FILE).read_text())


def moved(folder, **options):
    found, complaint = drift.since(folder, of(**options)[0])
    assert not complaint
    return found


def test_a_profile_has_the_share_of_rows_in_each_bin_and_the_shares_add_up(tmp_path):
    age = np.arange(1000.0)
    age[:100] = np.nan
    site = ["north"] * 600 + ["south"] * 250 + [np.nan] * 149 + ["only once"]
    profile = kept(tmp_path, numbers={"age": age}, texts={"site": pd.Series(site, dtype=object)})
    assert (profile["version"], profile["rows"]) == (1, 1000)
    number, category = profile["columns"]
    assert (number["name"], number["type"], number["missing"]) == ("age", "number", 0.1)
    assert len(number["edges"]) == 9
    assert number["shares"] == pytest.approx([0.09] * 10, abs=0.002)
    assert sum(number["shares"]) + number["missing"] == pytest.approx(1)
    assert category["categories"] == {"north": 0.6, "south": 0.25}
    assert (category["missing"], category["other"]) == (0.149, 0.001)


def test_it_keeps_fifty_categories_and_none_that_one_row_alone_or_a_long_text_has(tmp_path):
    site = [f"site {number:02}" for number in range(60) for _ in range(2)] + ["x" * 500] * 9 + ["Jane Doe"]
    (category,) = kept(tmp_path, texts={"site": pd.Series(site, dtype=object)})["columns"]
    assert list(category["categories"]) == [f"site {number:02}" for number in range(50)]
    assert category["other"] == pytest.approx(30 / 130)


def test_the_index_is_the_one_of_the_literature(tmp_path):
    kept(tmp_path, texts={"site": pd.Series(["a"] * 60 + ["b"] * 40, dtype=object)})
    now = moved(tmp_path, texts={"site": pd.Series(["a"] * 30 + ["b"] * 70, dtype=object)})
    by_hand = (0.3 - 0.6) * math.log(0.3 / 0.6) + (0.7 - 0.4) * math.log(0.7 / 0.4)
    assert now["site"] == pytest.approx(by_hand)


def test_a_bin_that_was_empty_or_is_empty_now_counts_as_one_row_in_ten_thousand(tmp_path):
    kept(tmp_path, texts={"site": pd.Series(["a"] * 100, dtype=object)})
    now = moved(tmp_path, texts={"site": pd.Series(["b"] * 100, dtype=object)})
    assert now["site"] == pytest.approx(2 * (1 - 1e-4) * math.log(1 / 1e-4))


def numbers(*, seed, shift=0.0, spread=1.0):
    return np.random.default_rng(seed).normal(loc=shift, scale=spread, size=ROWS)


@pytest.mark.parametrize(
    ("then", "now", "least", "most"),
    [
        pytest.param(numbers(seed=1), numbers(seed=2), 0.0, 0.02, id="other rows of the same kind"),
        pytest.param(numbers(seed=1), numbers(seed=2, shift=1.0), 0.5, 3.0, id="a shift by one deviation"),
        pytest.param(numbers(seed=1), numbers(seed=2, spread=3.0), 0.5, 3.0, id="three times the spread"),
        pytest.param(
            numbers(seed=1),
            np.where(np.arange(ROWS) % 2, numbers(seed=2), np.nan),
            2.0,
            6.0,
            id="half of it missing, which it never was",
        ),
        pytest.param(
            np.where(np.arange(ROWS) % 2, numbers(seed=1), np.nan),
            np.where(np.arange(ROWS) % 2, numbers(seed=2), np.nan),
            0.0,
            0.05,
            id="half of it missing, as before",
        ),
        pytest.param(np.arange(ROWS) % 2, np.arange(ROWS) % 2, 0.0, 0.0, id="two values as before"),
        pytest.param(np.arange(ROWS) % 2, np.arange(ROWS) % 4 == 0, 0.2, 1.0, id="fewer ones than zeros"),
        pytest.param(np.full(ROWS, 5.0), np.full(ROWS, 5.0), 0.0, 0.0, id="a constant that stays"),
        pytest.param(np.full(ROWS, 5.0), np.full(ROWS, 3.0), 9.0, 20.0, id="a constant that fell"),
        pytest.param(np.full(ROWS, 5.0), np.full(ROWS, 7.0), 9.0, 20.0, id="a constant that rose"),
        pytest.param(np.full(ROWS, np.nan), numbers(seed=1), 9.0, 20.0, id="a column that was empty"),
        pytest.param(numbers(seed=1), np.full(ROWS, np.nan), 5.0, 20.0, id="a column that is empty now"),
    ],
)
def test_numbers(tmp_path, then, now, least, most):
    kept(tmp_path, numbers={"x": np.asarray(then, dtype=float)})
    found = moved(tmp_path, numbers={"x": np.asarray(now, dtype=float)})
    assert least <= found["x"] <= most


def test_the_64_columns_that_moved_most_are_named_the_most_first(tmp_path):
    kept(tmp_path, numbers={f"c{i}": numbers(seed=i) for i in range(70)})
    found = moved(tmp_path, numbers={f"c{i}": numbers(seed=i, shift=i / 20) for i in range(70)})
    assert len(found) == 64
    assert next(iter(found)) == "c69"
    assert not {"c0", "c1", "c2"} & set(found)
    assert sorted(found.values(), reverse=True) == list(found.values())


def test_evaluation_tells_the_drift_of_each_feature_and_scores_as_it_always_did(trainer, samples):
    trained = trainer.run(type="decision_tree", train="wine")
    profile = json.loads(trained.artifact("profile.json"))
    assert profile["rows"] == 142
    frame = pd.read_csv(samples / "wine/data.csv")
    assert {column["name"] for column in profile["columns"]} == set(frame.columns) - {"target"}
    frame["proline"] += 2000
    name = trainer.dataset("later", data=frame.to_csv(index=False))
    run = trainer.run(action="evaluate", type="", eval=name, parent=trained.output)
    assert next(iter(run.last["drift"])) == "proline"
    assert run.last["drift"]["proline"] > 5
    assert max(psi for column, psi in run.last["drift"].items() if column != "proline") < 0.2
    assert json.loads(run.artifact("metrics.json"))["drift"] == run.last["drift"]
    assert set(run.last["kpi"]) == {"accuracy", "precision", "recall", "f1_score"}


@pytest.mark.parametrize("action", ["prune", "retrain"])
def test_what_comes_of_a_model_has_a_profile_too(trainer, action):
    trained = trainer.run(type="decision_tree", train="wine")
    made = trainer.run(action=action, type="decision_tree", train="wine", parent=trained.output)
    assert made.artifact("profile.json") == trained.artifact("profile.json")
    assert "profile.json" in {file["path"] for file in made.last["artifacts"]}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param('{"version": 2, "columns": []}', id="of another version"),
        pytest.param('{"version": 1, "columns": [{"name": "nosuch"}]}', id="of other columns"),
        pytest.param('{"version": 1, "columns": 3}', id="of no columns"),
    ],
)
def test_a_profile_that_cannot_be_used_is_told_in_the_log_and_fails_nothing(trainer, text):
    trained = trainer.run(type="decision_tree", train="wine")
    (trained.output / "profile.json").write_text(text)
    run = trainer.run(action="evaluate", type="", train="wine", parent=trained.output)
    assert run.code == 0
    assert "so drift is not measured" in run.log
    assert "drift" not in run.last


def test_a_model_without_a_profile_is_evaluated_without_a_word_of_drift(trainer):
    trained = trainer.run(type="decision_tree", train="wine")
    (trained.output / "profile.json").unlink()
    run = trainer.run(action="evaluate", type="", train="wine", parent=trained.output)
    assert run.code == 0
    assert "drift" not in run.last
    assert "drift" not in run.log
