"""What a write of an Experiment's status counts as."""

from __future__ import annotations

from typing import Any

from trainyard.planning import trialaccounting

Json = dict[str, Any]


def run(number: int, state: str, rung: int = 0) -> Json:
    return {"number": number, "rung": rung, "digest": "d", "state": state}


def a_status(*ledger: Json, digest: str = "one") -> Json:
    return {"automl": {"digest": digest, "ledger": list(ledger)}}


def an_experiment(status: Json, algorithm: str = "hyperband") -> Json:
    return {"spec": {"automl": {"algorithm": algorithm}}, "status": status}


def test_runs_that_came_into_the_ledger_are_counted_by_how_they_ended() -> None:
    before = an_experiment(a_status(run(0, "success")))
    after = a_status(
        run(0, "success"), run(1, "failure"), run(2, "success"), run(0, "success", 1), run(3, "stopped")
    )
    assert trialaccounting.ended(before, after) == {"success": 2, "failure": 1, "stopped": 1}


def test_a_write_that_ends_no_run_counts_nothing() -> None:
    status = a_status(run(0, "success"))
    assert not trialaccounting.ended(an_experiment(status), {**status, "phase": "Done"})
    assert not trialaccounting.ended(an_experiment({}), {"phase": "Pending"})
    assert not trialaccounting.ended({"spec": {}}, {"phase": "Pending"})


def test_a_failed_run_that_was_tried_again_ends_twice() -> None:
    failed, taken_up, done = a_status(run(0, "failure")), a_status(), a_status(run(0, "success"))
    assert not trialaccounting.ended(an_experiment(failed), taken_up)
    assert trialaccounting.ended(an_experiment(taken_up), done) == {"success": 1}


def test_the_runs_of_another_search_are_others() -> None:
    before = an_experiment(a_status(run(0, "success")))
    assert trialaccounting.ended(before, a_status(run(0, "failure"), digest="two")) == {"failure": 1}


def test_made_up_words_are_no_labels() -> None:
    assert not trialaccounting.ended(an_experiment({}), a_status(run(0, "splendid")))
    assert trialaccounting.algorithm(an_experiment({})) == "hyperband"
    assert trialaccounting.algorithm(an_experiment({}, algorithm="luck")) is None
    assert trialaccounting.algorithm({"spec": {}}) is None
