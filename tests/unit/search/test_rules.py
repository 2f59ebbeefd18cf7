"""Numbers that may stand in a spec and cannot be run, and how many trials and runs a search has."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.search.rules import Rules


@pytest.mark.parametrize(
    ("fields", "trials", "runs"),
    [
        ({"algorithm": "hyperband"}, 49, 69),
        ({"algorithm": "hyperband", "variant": "tao"}, 42, 61),
        ({"algorithm": "hyperband", "max_resource": 243}, 415, 611),
        ({"algorithm": "hyperband", "max_resource": 1}, 1, 1),
        ({"algorithm": "hyperband", "max_recommendations": 0}, 49, 69),
        ({"algorithm": "asha", "max_recommendations": 27}, 27, 27 + 9 + 3 + 1),
        ({"algorithm": "asha", "max_recommendations": 20}, 20, 20 + 6 + 2),
        ({"algorithm": "random", "max_recommendations": 1000, "max_resource": 0, "nu": 0}, 1000, 1000),
        ({"algorithm": "bayesian"}, 20, 20),
        ({"algorithm": "grid", "grid": 12}, 12, 12),
        ({"algorithm": "grid", "grid": 10**30}, 20, 20),
    ],
)
def test_a_search_that_can_be_run_knows_its_size(fields: dict[str, Any], trials: int, runs: int) -> None:
    rules = Rules(**fields)
    assert rules.problem() is None
    assert (rules.trials, rules.runs) == (trials, runs)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"max_recommendations": 0}, "maxRecommendations", "is 0"),
        ({"max_recommendations": 2001}, "maxRecommendations", "at most 2000"),
        ({"max_recommendations": 2**63 - 1}, "maxRecommendations", "at most 2000"),
        ({"parallelism": 0}, "parallelism", "at least 1"),
        ({"algorithm": "grid", "grid": 5, "max_recommendations": 0}, "maxRecommendations", "is 0"),
        ({"algorithm": "hyperband", "max_resource": 0}, "maxResource", "is 0"),
        ({"algorithm": "hyperband", "nu": 0}, "nu", "2 or more"),
        ({"algorithm": "asha", "nu": 1}, "nu", "2 or more"),
        ({"algorithm": "asha", "max_resource": 0}, "maxResource", "is 0"),
        ({"algorithm": "asha", "max_recommendations": 0}, "maxRecommendations", "is 0"),
        ({"algorithm": "asha", "max_recommendations": 1500}, "maxRecommendations", "2221 runs"),
        ({"algorithm": "hyperband", "epoch_multiplier": 0}, "epochMultiplier", "is 0"),
        ({"algorithm": "hyperband", "epoch_multiplier": 2**63 - 1}, "epochMultiplier", "1000000000 epochs"),
        ({"algorithm": "hyperband", "max_resource": 2187}, "maxResource", "at most 2000"),
        ({"algorithm": "hyperband", "max_resource": 2**63 - 1, "nu": 2}, "maxResource", "epochs"),
        ({"algorithm": "hyperband", "max_resource": 10**9, "nu": 2}, "maxResource", "at most 2000"),
        ({"algorithm": "hyperband", "variant": "tao", "max_resource": 2}, "variant", "of at least 3"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence_that_names_the_field(
    fields: dict[str, Any], field: str, said: str
) -> None:
    problem = Rules(**({"algorithm": "random"} | fields)).problem()
    assert problem is not None
    assert f"spec.automl.{field} " in problem or f"{field} of " in problem
    assert said in problem
    assert problem.endswith(".")
