"""Which card is read, by what, and what is said where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models import DIGEST, UID, a_model, a_version
from trainyard.cli import modelcards, offers, outputs, sharepod
from trainyard.cli.exits import CommandError
from trainyard.cli.outputs import Place

Json = dict[str, Any]

S3 = f"s3://team/models/{UID}"
SECRET = {"secretRef": {"name": "bucket"}, "endpoint": "https://s3.example.com"}
REACHED = (("endpoint", "https://s3.example.com"),)


def refused(model: Json, number: int, *, pod: Json | None = None) -> str:
    with pytest.raises(CommandError) as error:
        modelcards.stored(model, number, pod=pod)
    return error.value.message


def a_pod(**status: Any) -> Json:
    return {"metadata": {"name": "churn-record-1"}, "status": {"phase": "Pending", **status}}


@pytest.mark.parametrize(
    ("version", "alias", "number"), [(None, None, 3), (2, None, 2), (None, "champion", 1), (7, None, 7)]
)
def test_the_newest_version_is_meant_or_the_one_that_is_named(
    version: int | None, alias: str | None, number: int
) -> None:
    model = a_model(aliases=[{"name": "champion", "version": 1}])
    assert modelcards.number_of(model, version=version, alias=alias) == number


@pytest.mark.parametrize(
    ("model", "alias", "said"),
    [
        (a_model(versions=0), None, "MLModel churn has no version yet. Pending Draft: A draft."),
        (a_model(), "champion", "MLModel churn has no alias champion; it has none."),
        (
            a_model(aliases=[{"name": "old", "version": 1}]),
            "champion",
            "MLModel churn has no alias champion; it has old.",
        ),
        (
            a_model(spec={"aliases": [{"name": "champion", "version": 9}]}),
            "champion",
            "Alias champion of MLModel churn stands for no version: spec.aliases says 9.",
        ),
    ],
)
def test_no_version_is_told(model: Json, alias: str | None, said: str) -> None:
    with pytest.raises(CommandError) as error:
        modelcards.number_of(model, version=None, alias=alias)
    assert error.value.message == said


def test_a_card_lies_in_the_folder_of_the_job_that_made_the_version() -> None:
    found = modelcards.stored(a_model(), 2)
    assert (found.uid, found.path, found.job) == (UID, "models/churn-2.md", "churn-train-2")
    assert found.record == "models/churn-2.json"
    assert found.place == Place(store="pvc://models", claim="models")


def test_a_bucket_is_reached_as_the_version_says() -> None:
    version = a_version(1, uri=f"{S3}/attempt-0", card=f"{S3}/models/churn-1.md", store=SECRET)
    model = a_model(versions=1)
    model["status"]["versions"] = [version]
    found = modelcards.stored(model, 1)
    assert found.place == Place(store="s3://team/models", reached=REACHED, secret="bucket")


@pytest.mark.parametrize(
    ("output", "listed", "place"),
    [
        pytest.param(
            {"uri": "s3://team/models", **SECRET}, [],
            Place(store="s3://team/models", reached=REACHED, secret="bucket"), id="as the model's output",
        ),
        pytest.param(
            {"claimName": "models"}, [a_version(2, uri=f"{S3}/attempt-0", store=SECRET)],
            Place(store="s3://team/models", reached=REACHED, secret="bucket"), id="as another version",
        ),
        pytest.param(
            {"uri": "s3://team/models-2", **SECRET}, [a_version(2, uri="s3://team/models-2/x", store=SECRET)],
            Place(store="s3://team/models"), id="not by the secret of a bucket of another name",
        ),
    ],
)  # fmt: skip
def test_a_former_version_is_reached(output: Json, listed: list[Json], place: Place) -> None:
    former = [{"number": 1, "time": "t", "source": UID, "card": f"{S3}/models/churn-1.md"}]
    model = a_model(spec={"output": output}, formerVersions=former)
    model["status"]["versions"] = listed
    found = modelcards.stored(model, 1)
    assert (found.uid, found.place, found.job) == (UID, place, "")


@pytest.mark.parametrize(
    "card",
    [
        "pvc://models/secret.md",
        f"pvc://models/{UID}/attempt-0/churn-1.md",
        f"pvc://models/{UID}/models/other-1.md",
        f"pvc://models/{UID}/models/churn-2.md",
        f"pvc://models/../{UID}/models/churn-1.md",
        "pvc://models/../models/churn-1.md",
        f"file:///{UID}/models/churn-1.md",
        f"pvc://models/a/../{UID}/models/../models/churn-1.md",
    ],
)
def test_an_address_that_is_no_place_of_a_card_is_not_followed(card: str) -> None:
    model = a_model(versions=1)
    model["status"]["versions"][0]["card"] = card
    said = refused(model, 1)
    assert "is no place of one" in said or "is no claim" in said


@pytest.mark.parametrize(
    ("change", "pod", "said"),
    [
        pytest.param(
            {"origin": "reported"}, None,
            "Version 1 of MLModel churn has no model card: it was reported from outside, and nothing of it was stored "
            "here.", id="reported",
        ),
        pytest.param(
            {"sha256": None}, None,
            "Version 1 of MLModel churn has no model card: its job has left no artifacts with a digest, beside which "
            "it could lie.", id="no digest",
        ),
        pytest.param(
            {}, None,
            "Version 1 of MLModel churn has no model card yet: the pod churn-record-1, which stores it, is not there. "
            "Done Completed: Version 1.", id="no pod",
        ),
        pytest.param(
            {}, a_pod(),
            "Version 1 of MLModel churn has no model card yet: the pod churn-record-1, which stores it, is pending; "
            "ask again soon.", id="a new pod",
        ),
        pytest.param(
            {}, a_pod(containerStatuses=[{"state": {"waiting": {"message": "no such image"}}}]),
            "Version 1 of MLModel churn has no model card yet: the pod churn-record-1, which stores it, waits: no such "
            "image", id="no image",
        ),
        pytest.param(
            {}, a_pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes"}]),
            "Version 1 of MLModel churn has no model card yet: the pod churn-record-1, which stores it, waits: 0/2 "
            "nodes", id="no node",
        ),
        pytest.param(
            {}, a_pod(containerStatuses=[{"state": {"terminated": {"exitCode": 1, "message": "a\x1b[31mb\n"}}}]),
            "Version 1 of MLModel churn has no model card yet: the pod churn-record-1, which stores it, has ended with "
            "exit code 1: a [31mb", id="it failed",
        ),
    ],
)  # fmt: skip
def test_why_there_is_no_card(change: Json, pod: Json | None, said: str) -> None:
    model = a_model(versions=1)
    version = model["status"]["versions"][0] | {"card": None} | change
    model["status"]["versions"] = [{key: value for key, value in version.items() if value is not None}]
    assert refused(model, 1, pod=pod) == said


def test_a_version_that_is_not_there_is_told_with_those_that_are() -> None:
    assert refused(a_model(), 9) == "MLModel churn has no version 9; there are 1, 2, 3."
    former = [{"number": 1, "time": "t"}]
    assert refused(a_model(formerVersions=former, versions=0), 1) == (
        "Version 1 of MLModel churn has no model card, and status lists it no longer."
    )


def test_the_pod_that_reads_belongs_to_the_model_where_its_job_is_gone() -> None:
    template = {"jobTemplate": {"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}}}
    model = a_model(spec={"training": template})
    found = modelcards.stored(model, 3)
    pod = sharepod.build(
        modelcards.job_like(model),
        None,
        found.place,
        uid=found.uid,
        image=sharepod.Image(name="agent"),
        suffix="a1",
    )
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("MLModel", "churn", model["metadata"]["uid"])
    assert pod["metadata"]["name"] == "churn-read-a1"
    assert {"key": "gpu", "operator": "Exists"} in pod["spec"]["tolerations"]
    (env,) = pod["spec"]["containers"][0]["env"]
    assert UID in env["value"], "the folder of the job that is gone"


def test_a_version_is_downloaded_as_what_its_job_has_left() -> None:
    job = modelcards.as_job(a_model(), 2)
    assert (job["kind"], job["metadata"]["name"]) == ("MLModel", "churn")
    place = outputs.place(job, None, {})
    assert place == Place(store="pvc://models", claim="models")
    choice = offers.Choice(attempt=None, checkpoint=None, patterns=())
    assert offers.asked(job, place, choice) == (UID, {"attempt": "0"})
    assert outputs.digests(job) == {f"pvc://models/{UID}/attempt-0": DIGEST}


def test_a_version_in_a_bucket_is_reached_by_its_own_secret() -> None:
    model = a_model(versions=1, spec={"output": {"uri": "s3://another"}})
    model["status"]["versions"] = [a_version(1, uri=f"{S3}/attempt-3", store=SECRET)]
    job = modelcards.as_job(model, 1)
    place = outputs.place(job, None, {})
    assert place == Place(store="s3://team/models", reached=REACHED, secret="bucket")
    assert offers.asked(job, place, offers.Choice(attempt=None, checkpoint=None, patterns=())) == (
        UID,
        {"attempt": "3"},
    )


@pytest.mark.parametrize(
    "version",
    [
        a_version(1, uri=None),
        a_version(1, uri="https://example.com/model.onnx"),
        a_version(1, origin="reported"),
        a_version(1, uri=f"pvc://models/{UID}/../attempt-0"),
        a_version(1, uri="hf://a/b/attempt-0"),
    ],
    ids=["nowhere", "on the web", "reported", "an address that climbs", "on a hub"],
)
def test_a_version_that_lies_elsewhere_is_not_downloaded(version: Json) -> None:
    model = a_model(versions=1)
    model["status"]["versions"] = [version]
    with pytest.raises(CommandError) as error:
        modelcards.as_job(model, 1)
    assert error.value.message.startswith(
        "Version 1 of MLModel churn has left no artifacts in a store of ours"
    )
    with pytest.raises(CommandError) as error:
        modelcards.as_job(model, 9)
    assert error.value.message == "MLModel churn has no version 9; there are 1."
