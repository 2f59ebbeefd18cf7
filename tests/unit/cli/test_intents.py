"""What verbs ask of a job whose Experiment holds it, and what they say of that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from trainyard.cli import intents
from trainyard.cli.intents import Decide, Intent, Refusal

Json = dict[str, Any]

NOW = datetime(2027, 1, 15, tzinfo=UTC)
GOES_ON = {"spec": {"suspend": False, "cancel": False}}


def a_job(phase: str = "Running", *, suspended: bool = False, **spec: Any) -> Json:
    conditions = [{"type": "Suspended", "status": "True"}] if suspended else []
    return {
        "kind": "TrainingJob",
        "metadata": {"name": "one", "generation": 1},
        "spec": {"experiment": "tuning", "image": "a/b:1", **spec},
        "status": {"observedGeneration": 1, "phase": phase, "reason": "Why", "conditions": conditions},
    }


def held(**spec: Any) -> Json:
    return {"kind": "Experiment", "metadata": {"name": "tuning"}, "spec": spec}


PAUSED, CANCELLED = held(suspend=True), held(cancel=True, suspend=True)
OF_ALL = (
    "Experiment tuning is {}, and its jobs with it: `trainyard resume experiment tuning` lets them go on."
)


@pytest.mark.parametrize(
    ("verb", "job", "experiment", "said"),
    [
        pytest.param(
            intents.resume, a_job("Pending", suspended=True), PAUSED,
            f"one stays stopped. {OF_ALL.format('paused')}", id="a resume of one that is paused with it",
        ),
        pytest.param(
            intents.resume, a_job("Canceled"), CANCELLED,
            f"one stays stopped. {OF_ALL.format('cancelled')}", id="a resume of one that was cancelled with it",
        ),
        pytest.param(
            intents.pause, a_job(), CANCELLED,
            "one is being cancelled with Experiment tuning; `trainyard resume experiment tuning` takes that back.",
            id="a pause of one that is being cancelled with it",
        ),
        pytest.param(
            intents.retry, a_job("Pending", suspended=True), PAUSED,
            "one is paused and has not failed; `trainyard resume experiment tuning` lets it go on.",
            id="a retry of one that is paused with it",
        ),
        pytest.param(
            intents.retry, a_job("Pending", suspended=True, suspend=True), PAUSED,
            "one is paused and has not failed; `trainyard resume one` lets it go on.",
            id="a retry of one that is paused by itself",
        ),
        pytest.param(
            intents.retry, a_job("Error"), CANCELLED,
            "one cannot be tried again as long as Experiment tuning is cancelled; `trainyard resume experiment tuning` "
            "takes that back.",
            id="a retry of one that failed while it is cancelled",
        ),
    ],
)  # fmt: skip
def test_what_only_the_experiment_can_do_is_refused(
    verb: Decide, job: Json, experiment: Json, said: str
) -> None:
    decided = verb(job, NOW, experiment)
    assert isinstance(decided, Refusal)
    assert decided.said == said


@pytest.mark.parametrize(
    ("verb", "job", "experiment", "intent"),
    [
        pytest.param(
            intents.pause, a_job(), PAUSED,
            Intent(
                said="is being paused", patch={"spec": {"suspend": True}},
                notes=("Experiment tuning is paused, too: when it goes on, one stays paused.",),
            ),
            id="a pause of one that is paused with it already",
        ),
        pytest.param(
            intents.resume, a_job("Pending", suspended=True, suspend=True), PAUSED,
            Intent(
                said="goes on with Experiment tuning", patch=GOES_ON, notes=(OF_ALL.format("paused"),),
            ),
            id="a resume of one that is paused by itself, too",
        ),
        pytest.param(
            intents.resume, a_job("Pending", suspended=True, suspend=True), held(),
            Intent(said="goes on", patch=GOES_ON), id="a resume where the Experiment goes on",
        ),
        pytest.param(
            intents.resume, a_job(), held(), Intent(said="is not paused"), id="a resume of one that runs"
        ),
        pytest.param(
            intents.cancel, a_job(), PAUSED,
            Intent(said="is being cancelled", patch={"spec": {"cancel": True}}), id="a cancellation wins",
        ),
    ],
)  # fmt: skip
def test_the_rest_is_done_and_told(verb: Decide, job: Json, experiment: Json, intent: Intent) -> None:
    assert verb(job, NOW, experiment) == intent


def test_a_retry_while_the_experiment_is_paused_says_when_it_starts() -> None:
    decided = intents.retry(a_job("Error"), NOW, PAUSED)
    assert isinstance(decided, Intent)
    assert decided.patch is not None
    assert decided.notes == (OF_ALL.format("paused"),)


@pytest.mark.parametrize("verb", [intents.pause, intents.resume, intents.retry, intents.cancel])
def test_a_job_of_no_experiment_and_an_experiment_itself_are_held_by_none(verb: Decide) -> None:
    for job in (a_job("Error"), a_job(), {**a_job("Error"), "kind": "Experiment"}):
        assert verb(job, NOW, None) == verb(job, NOW, held())
