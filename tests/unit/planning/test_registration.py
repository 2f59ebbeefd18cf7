"""`spec.model`: what can become a version, what a job waits for, and that it is told which version it has become."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import UID, a_job, a_spec, plan, said, settled, status_after
from tests.unit.planning.story import Story
from trainyard.planning import modelview, registration
from trainyard.planning.modelview import ModelView
from trainyard.reconcile import modelviews

OUTPUT = {"claimName": "out"}
DONE = {"type": "Succeeded", "status": "True"}


def a_model(**raw: Any) -> ModelView:
    return modelview.view({"metadata": {"name": "digits", "uid": "m", **raw.pop("metadata", {})}, **raw})


IMPOSSIBLE: list[Any] = [
    pytest.param({"output": OUTPUT, "action": "evaluate"}, "action evaluate makes no model", id="no model"),
    pytest.param({}, "spec.output", id="nothing that is kept"),
]


@pytest.mark.parametrize(("spec", "message"), IMPOSSIBLE)
def test_no_version_comes_of(spec: Any, message: str) -> None:
    found = settled(a_job(spec=a_spec(model="digits", **spec), models={"digits": a_model()}))
    assert said(found) == ("Error", "InvalidSpec")
    assert message in status_after(found)["message"]


@pytest.mark.parametrize(
    "action", ["evaluate", "inference", "export", "recommend", "publish", "unpublish", "convert", "split"]
)
def test_an_action_that_makes_no_model(action: str) -> None:
    assert registration.impossible(action=action, has_output=True)


@pytest.mark.parametrize("action", ["train", "retrain", "prune", "distill", "quantize", "custom"])
def test_an_action_that_makes_one(action: str) -> None:
    assert registration.impossible(action=action, has_output=True) is None


WAITING: list[Any] = [
    pytest.param(None, "there is no MLModel digits", id="a model that is not there"),
    pytest.param(
        a_model(metadata={"deletionTimestamp": "2027-01-01T00:00:00Z"}), "being deleted", id="one that goes"
    ),
    pytest.param(a_model(spec={"stage": "archived"}), "is archived", id="an archived one"),
]


@pytest.mark.parametrize(("model", "message"), WAITING)
def test_a_job_waits_for(model: ModelView | None, message: str) -> None:
    job = a_job(spec=a_spec(model="digits", output=OUTPUT), models={"digits": model})
    found = settled(job)
    assert said(found) == ("Pending", "WaitingForModel")
    assert message in status_after(found)["message"]


def test_a_job_that_has_begun_goes_on_without_its_model() -> None:
    spec = a_spec(model="digits", output=OUTPUT)
    status = {"startTime": "2027-01-01T00:00:00Z", "attempts": [{"number": 1}]}
    assert plan(a_job(spec=spec, models={"digits": None}, status=status)).create


def a_done_story() -> Story:
    story = Story(model="digits", output=OUTPUT)
    with_model(story, a_model()).settle().pod_is_scheduled().pod_runs().settle().trainer_is_done()
    return story.agent_ends(uploaded=True, uri="pvc://out/x/attempt-0").settle()


def with_model(story: Story, model: ModelView | None) -> Story:
    story.job = dataclasses.replace(story.job, models={"digits": model})
    return story


REGISTERED: list[Any] = [
    pytest.param({"versions": [{"number": 4, "lineage": {"jobUid": UID}}]}, id="a version that is listed"),
    pytest.param({"formerVersions": [{"number": 4, "source": UID}]}, id="one that is listed no longer"),
]


@pytest.mark.parametrize("status", REGISTERED)
def test_a_job_that_is_done_is_told_its_number(status: Any) -> None:
    story = a_done_story()
    assert story.status["phase"] == "Done"
    assert "modelVersion" not in story.status
    assert registration.pending(story.job.spec, story.status)
    with_model(story, a_model(status=status)).settle()
    assert story.status["modelVersion"] == {"name": "digits", "number": 4}
    assert not registration.pending(story.job.spec, story.status)


def test_a_version_of_another_job_is_none_of_its_own() -> None:
    story = a_done_story()
    other = {"versions": [{"number": 4, "lineage": {"jobUid": "another"}}]}
    assert "modelVersion" not in with_model(story, a_model(status=other)).settle().status


def test_a_job_hears_of_its_models_as_long_as_it_needs_to() -> None:
    spec = a_spec(model="digits", output=OUTPUT, baseModels=[{"model": "base"}, {"uri": "hf://o/m"}])

    def named(status: Any) -> set[str]:
        return {key.name for key in modelviews.named("team-a", spec, status)}

    ended = {"completionTime": "2027-01-01T00:00:00Z"}
    assert named({}) == {"digits", "base"}
    assert named({**ended, "conditions": [DONE]}) == {"digits"}
    assert named({**ended, "conditions": [DONE], "modelVersion": {"name": "digits", "number": 1}}) == set()
    assert named(ended) == set()
    assert not modelviews.named("team-a", a_spec(), {})
