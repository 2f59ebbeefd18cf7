"""The life of a Dataset, by its status."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from tests.unit.planning.datasets import DIGEST, LISTING, OTHER_LISTING, PVC, S3, World, a_container
from trainyard.api import names
from trainyard.planning.dataclaims import ClaimView, Published

CLAIM = names.data_claim_name(LISTING)
OTHER_CLAIM = names.data_claim_name(OTHER_LISTING)


def a_world(spec: dict[str, Any] = S3, **more: Any) -> World:
    return World(spec={**spec, **more})


def settled(spec: dict[str, Any], **more: Any) -> World:
    world = a_world(spec, **more)
    world.settle()
    return world


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        pytest.param({"type": "tabular"}, ("Pending", "Draft"), id="a draft while it has no source"),
        pytest.param(
            {"type": "tabular", "source": {"upload": {}}},
            ("Pending", "WaitingForUpload"),
            id="waiting while nobody has brought its data",
        ),
        pytest.param(S3, ("Pending", "Starting"), id="starting when its source is about to be listed"),
        pytest.param(
            {**PVC, "validation": {"mode": "None"}}, ("Done", "Completed"), id="done when nothing is to be checked"
        ),
        pytest.param(
            {**S3, "refresh": {"schedule": "0 0 30 2 *"}}, ("Error", "InvalidSpec"), id="invalid when never due"
        ),
    ],
)  # fmt: skip
def test_a_dataset_is(spec: dict[str, Any], state: tuple[str, str]) -> None:
    assert settled(spec).said() == state


def test_it_is_listed_pulled_checked_and_available() -> None:
    world = settled(S3)
    assert world.made == ["digits-survey-0"]
    world.survey_ends()
    assert world.made == ["digits-survey-0", "digits-pull-1"]
    assert world.said() == ("Running", "Pulling")
    assert (world.finalizers, list(world.claims)) == ((names.DATA_FINALIZER,), [CLAIM])
    world.pull_ends()
    assert world.claims[CLAIM].published == Published(sha256=DIGEST, bytes=1000, files=3)
    assert world.condition("Available") == "False"
    world.check_ends()
    assert world.said() == ("Done", "Completed")
    assert world.condition("Available") == "True"
    wanted = {"uri": f"pvc://{CLAIM}/data", "revision": "rev-111", "sha256": DIGEST, "listing": LISTING}
    assert wanted.items() <= world.status.items()
    assert world.status["pull"]["state"] == "pull_complete"
    assert world.status["profile"]["summary"] == "3 rows"
    assert not world.pods
    assert world.events == ["Completed"]


def test_at_rest_nothing_is_written_again() -> None:
    world = a_world().pulled()
    writes = world.writes
    world.settle()
    assert world.writes == writes


def test_progress_is_told_while_it_is_pulled() -> None:
    world = settled(S3)
    world.survey_ends()
    pod = world.pod()
    running = dataclasses.replace(a_container(names.PULL_CONTAINER, {}), state="running", exit_code=None)
    world.pods[pod.name] = dataclasses.replace(pod, phase="Pending", init=(running,), node="n")
    world.lines[pod.uid] = '{"pull":{"bytes":400,"totalBytes":1000,"files":1,"percent":40,"eta":"0:00:12"}}'
    world.settle()
    told = world.status["pull"]
    assert (told["percent"], told["eta"], told["summary"]) == (40, "0:00:12", "400 B/1.0 kB")


def test_what_another_dataset_has_pulled_is_only_checked() -> None:
    world = settled(S3)
    world.claims[CLAIM] = ClaimView(
        name=CLAIM, uid="c", version="1", managed=True, listing=LISTING, puller="uid-2",
        owners=({"uid": "uid-2"},), published=Published(sha256=DIGEST, bytes=1000, files=3),
    )  # fmt: skip
    world.survey_ends()
    assert [owner["uid"] for owner in world.claims[CLAIM].owners] == ["uid-2", "uid-1"]
    assert "initContainers" not in world.bodies["digits-pull-1"]["spec"]
    world.check_ends()
    assert (world.said(), world.status["sha256"]) == (("Done", "Completed"), DIGEST)


def test_while_another_pulls_the_same_it_waits_and_takes_over_when_that_is_gone() -> None:
    world = settled(S3)
    world.claims[CLAIM] = ClaimView(
        name=CLAIM, uid="c", version="1", managed=True, listing=LISTING, puller="uid-2",
        owners=({"uid": "uid-2"}, {"uid": "uid-1"}),
    )  # fmt: skip
    world.survey_ends()
    assert (world.said(), len(world.made)) == (("Running", "Pulling"), 1)
    world.puller_lives = False
    world.settle()
    assert world.claims[CLAIM].puller == "uid-1"
    assert world.made[-1] == "digits-pull-1"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("hostile", "InvalidData"),
        ("broken", "InvalidData"),
        ("empty", "InvalidData"),
        ("mismatch", "DigestMismatch"),
    ],
)
def test_what_another_try_cannot_cure_is_an_error_at_once(kind: str, reason: str) -> None:
    world = settled(S3)
    world.survey_ends()
    world.pull_ends(error="No.", kind=kind)
    assert (world.said(), world.condition("Stalled")) == (("Error", reason), "True")
    assert world.status["pull"]["state"] == "invalid_pull"
    assert world.condition("Available") == "False"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("network", "PullFailed"),
        ("forbidden", "AccessDenied"),
        ("missing", "SourceNotFound"),
        ("full", "VolumeFull"),
        ("crash", "PullFailed"),
    ],
)
def test_the_rest_is_tried_again_up_to_the_limit(kind: str, reason: str) -> None:
    world = settled(S3, backoffLimit=2)
    world.survey_ends()
    for failures in (1, 2):
        world.pull_ends(error="Not now.", kind=kind)
        assert world.said() == ("Pending", "BackingOff")
        assert world.status["pull"]["failures"] == failures
        assert world.condition("Stalled") == "False"
        world.now += 400
        world.settle()
    assert world.made[1:] == ["digits-pull-1", "digits-pull-2", "digits-pull-3"]
    world.pull_ends(error="Not now.", kind=kind)
    assert world.said() == ("Error", reason)
    assert "Not now." in world.status["message"]


def test_a_source_that_changes_while_it_is_pulled_is_listed_again() -> None:
    world = settled(S3)
    world.survey_ends()
    world.pull_ends(error="It changed.", kind="changed")
    world.now += 60
    world.settle()
    assert world.made[-1] == "digits-survey-2"
    world.survey_ends(listing=OTHER_LISTING)
    assert set(world.claims) == {CLAIM, OTHER_CLAIM}
    world.pull_ends()
    world.check_ends()
    world.settle()
    assert (world.said(), set(world.claims)) == (("Done", "Completed"), {OTHER_CLAIM})


def test_data_that_does_not_stand_the_check_names_the_first_fault_and_serves_nobody() -> None:
    world = settled(S3)
    world.survey_ends()
    world.pull_ends()
    world.check_ends(valid=False, first={"path": "a.csv", "line": 3, "message": "two values are missing"})
    assert world.said() == ("Error", "InvalidData")
    assert "line 3" in world.status["message"]
    assert world.status["validation"]["first"] == {
        "path": "a.csv",
        "line": 3,
        "message": "two values are missing",
    }
    assert "uri" not in world.status


def test_a_pod_that_is_taken_away_is_no_failure() -> None:
    world = settled(S3)
    world.survey_ends()
    pod = world.pod()
    world.pods[pod.name] = dataclasses.replace(pod, phase="Failed", disrupted=True, disruption="Evicted")
    world.pods[pod.name] = dataclasses.replace(
        world.pods[pod.name], init=(a_container(names.PULL_CONTAINER, {}, exit_code=137),)
    )
    world.settle()
    assert world.made[-1] == "digits-pull-2"
    assert world.status["pull"]["failures"] == 0


def test_a_refresh_that_finds_the_same_leaves_everything() -> None:
    world = a_world().pulled()
    before = world.status["uri"]
    world.annotations[names.REFRESH_REQUESTED_AT] = "now"
    world.settle()
    assert (world.condition("Available"), world.made[-1]) == ("True", "digits-survey-2")
    world.survey_ends()
    assert (world.said(), world.status["uri"]) == (("Done", "Completed"), before)
    assert not world.pods
    assert world.status["refreshRequestedAt"] == "now"


def test_a_refresh_that_finds_other_data_lets_go_of_the_old_volume_when_nobody_uses_it() -> None:
    world = a_world().pulled()
    world.users, world.used_claims = ("job",), frozenset({CLAIM})
    world.annotations[names.REFRESH_REQUESTED_AT] = "now"
    world.settle()
    world.survey_ends(listing=OTHER_LISTING)
    assert world.status["uri"] == f"pvc://{CLAIM}/data"
    assert world.condition("Available") == "True"
    world.pull_ends()
    world.check_ends()
    assert world.status["uri"] == f"pvc://{OTHER_CLAIM}/data"
    assert set(world.claims) == {CLAIM, OTHER_CLAIM}
    world.users, world.used_claims = (), frozenset()
    world.settle()
    assert set(world.claims) == {OTHER_CLAIM}
    assert "held" not in world.status


def test_a_refresh_that_fails_leaves_what_jobs_get() -> None:
    world = a_world(backoffLimit=0).pulled()
    world.annotations[names.REFRESH_REQUESTED_AT] = "now"
    world.settle()
    world.survey_ends(error="The Secret was revoked.", kind="forbidden")
    assert world.said() == ("Done", "RefreshFailed")
    assert (world.condition("Available"), world.condition("Stalled")) == ("True", "False")
    assert "revoked" in world.status["message"]


def test_another_source_is_another_dataset() -> None:
    world = a_world().pulled()
    world.edit(source={"uri": "s3://bucket/other"})
    world.settle()
    assert world.condition("Available") == "False"
    assert "uri" not in world.status
    world.survey_ends(listing=OTHER_LISTING)
    world.pull_ends()
    world.check_ends()
    world.settle()
    assert (world.status["uri"], set(world.claims)) == (f"pvc://{OTHER_CLAIM}/data", {OTHER_CLAIM})


def test_a_schedule_looks_again_when_it_is_due() -> None:
    world = a_world(refresh={"schedule": "@hourly"}).pulled()
    assert world.status["nextRefreshTime"].endswith(":00:00Z")
    world.now += 3601
    world.settle()
    assert world.made[-1] == "digits-survey-2"


def test_a_volume_that_somebody_has_removed_is_pulled_again() -> None:
    world = a_world().pulled()
    world.claims.clear()
    world.settle()
    assert (world.made[-1], world.condition("Available")) == ("digits-survey-2", "False")
    world.survey_ends()
    assert list(world.claims) == [CLAIM]
    world.pull_ends()
    world.check_ends()
    assert world.said() == ("Done", "Completed")


def test_one_that_is_deleted_waits_for_the_jobs_that_use_it() -> None:
    world = a_world().pulled()
    world.deleting, world.users, world.used_claims = True, ("job",), frozenset({CLAIM})
    world.settle()
    assert world.finalizers == (names.DATA_FINALIZER,)
    assert "job" in world.status["message"]
    world.users = ()
    world.settle()
    assert world.finalizers == ()


def test_one_that_is_deleted_while_it_is_pulled_stops_pulling() -> None:
    world = settled(S3)
    world.survey_ends()
    world.deleting = True
    world.settle()
    assert (world.pods, world.finalizers) == ({}, ())


def test_data_in_a_claim_is_checked_where_it_is() -> None:
    world = settled(PVC)
    (body,) = world.bodies.values()
    assert body["spec"]["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "disk"}
    assert "initContainers" not in body["spec"]
    world.check_ends()
    assert world.said() == ("Done", "Completed")
    assert (world.status["uri"], world.status["sha256"]) == ("pvc://disk/digits", DIGEST)
    assert not world.claims


def test_without_a_cache_it_is_checked_on_a_volume_of_the_pod_and_each_job_pulls() -> None:
    world = a_world(cache={"mode": "None"}).pulled()
    assert not world.claims
    assert {"name": "data", "emptyDir": {}} in world.bodies["digits-pull-1"]["spec"]["volumes"]
    assert world.condition("Available") == "True"
    assert (world.status["listing"], "uri" in world.status) == (LISTING, False)


def test_what_was_pushed_is_checked_and_what_is_pushed_next_takes_its_place() -> None:
    world = a_world({"type": "tabular", "format": "csv", "source": {"upload": {}}})
    for claim in ("data-aaaaaaaaaaaa", "data-bbbbbbbbbbbb"):
        world.claims[claim] = ClaimView(
            name=claim, uid=claim, version="1", managed=True, owners=({"uid": "uid-1"},)
        )
        world.annotations[names.UPLOAD] = orjson.dumps({"claim": claim, "sha256": DIGEST}).decode()
        world.settle()
        world.check_ends()
        world.settle()
        assert (world.status["uri"], set(world.claims)) == (f"pvc://{claim}/data", {claim})
    assert world.finalizers == (names.DATA_FINALIZER,)


def test_the_lineage_that_a_job_has_left_is_told() -> None:
    world = a_world(PVC)
    world.annotations[names.LINEAGE] = '{"job":"convert","action":"convert","inputs":[{"name":"raw"}]}'
    world.settle()
    assert world.status["lineage"] == {
        "job": "convert",
        "action": "convert",
        "inputs": [{"name": "raw"}],
    }


def test_no_name_in_a_source_is_expanded_by_kubernetes() -> None:
    world = settled({**S3, "source": {"uri": "s3://bucket/$(HOSTNAME)"}})
    env = world.bodies["digits-survey-0"]["spec"]["containers"][0]["env"]
    assert "s3://bucket/$$(HOSTNAME)" in next(e["value"] for e in env if e["name"] == "TRAINYARD_DATA")


def test_a_folder_that_nobody_has_filled_yet_is_waited_for() -> None:
    world = settled(PVC, backoffLimit=0)
    for number in range(3):
        assert world.made[-1] == f"digits-pull-{number}"
        world.check_ends(valid=False, files=0)
        assert world.said() == ("Pending", "BackingOff")
        world.now += 400
        world.settle()
    world.check_ends()
    assert world.said() == ("Done", "Completed")


def test_pods_that_a_killed_operator_has_left_go_with_the_next_look() -> None:
    world = settled(S3)
    world.survey_ends()
    world.pull_ends()
    left = dict(world.pods)
    world.check_ends()
    world.pods = left
    world.settle()
    assert not world.pods


def test_what_was_pushed_and_found_invalid_goes_with_the_next_push() -> None:
    world = a_world({"type": "tabular", "format": "csv", "source": {"upload": {}}})
    for claim, valid in (
        ("data-aaaaaaaaaaaa", True),
        ("data-bbbbbbbbbbbb", False),
        ("data-cccccccccccc", True),
    ):
        world.claims[claim] = ClaimView(
            name=claim, uid=claim, version="1", managed=True, owners=({"uid": "uid-1"},)
        )
        world.annotations[names.UPLOAD] = orjson.dumps({"claim": claim, "sha256": DIGEST}).decode()
        world.settle()
        world.check_ends(valid=valid)
        world.settle()
    assert set(world.claims) == {"data-cccccccccccc"}


def test_a_volume_that_still_goes_is_not_waited_for() -> None:
    world = settled(S3)
    world.claims[CLAIM] = ClaimView(
        name=CLAIM, uid="c", version="1", managed=True, listing=LISTING, deleting=True
    )
    world.survey_ends()
    assert (world.said(), world.status["pull"]["claim"]) == (("Running", "Pulling"), f"{CLAIM}-2")
    world.pull_ends()
    world.check_ends()
    assert world.status["uri"] == f"pvc://{CLAIM}-2/data"
    del world.claims[CLAIM]
    world.annotations[names.REFRESH_REQUESTED_AT] = "now"
    world.settle()
    world.survey_ends()
    assert (world.said(), set(world.claims)) == (("Done", "Completed"), {f"{CLAIM}-2"})
