"""Which Secret reads the bucket of a model's version: one that a spec or the user names for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tests.models import UID, a_model, a_version
from trainyard.cli import modelcards, outputs, versionstores
from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.outputs import Place
from trainyard.cluster.client import Client

Json = dict[str, Any]

STORE = {"secretRef": {"name": "bucket"}, "endpoint": "https://s3.example.com"}
OUTPUT = {"uri": "s3://team/models", **STORE}
THERE = Place(store="s3://team/models", reached=(("endpoint", "https://s3.example.com"),), secret="bucket")


def in_a_bucket(*, store: Json = STORE, **spec: Any) -> Json:
    """A model whose version 1 lies in a bucket, says its status."""
    model = a_model(versions=1, spec=spec)
    model["status"]["versions"] = [a_version(1, uri=f"s3://team/models/{UID}/attempt-0", store=store)]
    return model


def searching(spec: Json) -> Json:
    """The spec of a model that is trained by searches."""
    return {"training": {"experimentTemplate": {"spec": spec}}}


def place(model: Json) -> Place:
    return outputs.place(modelcards.as_job(model, 1), None, {})


@asynccontextmanager
async def serving(objects: Mapping[str, Json | int]) -> AsyncIterator[tuple[Connection, list[str]]]:
    """A server that has these objects, or refuses them with a status; what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path.rpartition("/")[2])
        found = objects.get(asked[-1], 404)
        if isinstance(found, int):
            return web.json_response({"kind": "Status"}, status=found)
        return web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/"))))
        try:
            yield Connection(client=client, namespace="team"), asked
        finally:
            await client.close()


async def checked(model: Json, *, job: Json | None = None, secret: str | None = None) -> Place:
    async with serving({"churn-train-1": {"spec": {"output": job}}} if job else {}) as (there, _):
        return await versionstores.checked(there, model, 1, place(model), secret=secret)


@pytest.mark.parametrize(
    ("spec", "job"),
    [
        pytest.param({"output": OUTPUT}, None, id="the model's output"),
        pytest.param({"training": {"jobTemplate": {"spec": {"output": OUTPUT}}}}, None, id="its jobs'"),
        pytest.param({}, OUTPUT, id="that of the job that made it"),
        pytest.param(searching({"output": OUTPUT}), None, id="its searches'"),
        pytest.param(
            searching({"jobTemplate": {"spec": {"output": OUTPUT}}}), None, id="its searches' trials'"
        ),
        pytest.param(
            searching({"actions": [{"jobTemplate": {"spec": {"output": OUTPUT}}}]}),
            None,
            id="a step's of its searches",
        ),
        pytest.param({"output": {**OUTPUT, "uri": "s3://team/models/"}}, None, id="with a slash"),
    ],
)
async def test_a_secret_that_a_spec_names_for_the_bucket_is_used(spec: Json, job: Json | None) -> None:
    assert await checked(in_a_bucket(**spec), job=job) == THERE


def made_by(number: int, **lineage: str) -> Json:
    """A version in the bucket with what has made it."""
    version = a_version(number, uri=f"s3://team/models/{UID}/attempt-0", store=STORE)
    return {**version, "lineage": lineage}


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"output": OUTPUT}, id="its output"),
        pytest.param({"jobTemplate": {"spec": {"output": OUTPUT}}}, id="its jobs'"),
        pytest.param({"actions": [{"jobTemplate": {"spec": {"output": OUTPUT}}}]}, id="a step's"),
    ],
)
async def test_the_experiment_says_it_too_when_its_job_is_not_to_be_had(spec: Json, status: int) -> None:
    model = in_a_bucket()
    model["status"]["versions"] = [made_by(1, job="search-step-1", experiment="search")]
    objects = {"search-step-1": status, "search": {"spec": spec}}
    async with serving(objects) as (there, asked):
        assert await versionstores.checked(there, model, 1, THERE, secret=None) == THERE
    assert asked == ["search-step-1", "search"]


async def test_of_a_former_version_the_jobs_of_others_at_its_place_are_asked_once_each() -> None:
    model = in_a_bucket()
    elsewhere = {**made_by(2, job="elsewhere"), "uri": "s3://others/models/u/attempt-0"}
    model["status"]["versions"] = [
        made_by(3, job="a", experiment="search"), elsewhere, made_by(4, job="b", experiment="search")
    ]  # fmt: skip
    async with serving({"a": {"spec": {"output": OUTPUT}}}) as (there, asked):
        assert await versionstores.checked(there, model, 1, THERE, secret=None) == THERE
    assert asked == ["b", "search", "a"]


async def test_a_long_list_is_not_read_as_a_whole_and_forbidden_is_not_gone() -> None:
    model = in_a_bucket()
    model["status"]["versions"] = [made_by(number, job=f"job-{number}") for number in range(1, 101)]
    async with serving({"job-1": 403}) as (there, asked):
        with pytest.raises(
            CommandError, match="that of job job-1, which may not be read, nor that of job"
        ) as error:
            await versionstores.checked(there, model, 1, THERE, secret=None)
    assert "that of job job-100, which is gone," in error.value.message
    assert (asked[:3], len(asked)) == (["job-1", "job-100", "job-99"], 8)


@pytest.mark.parametrize(
    ("spec", "store", "job", "said"),
    [
        pytest.param({}, STORE, None, "nor that of job churn-train-1, which is gone, says so", id="nobody"),
        pytest.param(
            {"output": OUTPUT}, {**STORE, "secretRef": {"name": "admin"}}, OUTPUT,
            "nor that of job churn-train-1 says so", id="another Secret",
        ),
        pytest.param(
            {"output": OUTPUT}, {**STORE, "endpoint": "https://elsewhere.example.net"}, OUTPUT,
            "(endpoint https://elsewhere.example.net)", id="another server is told its keys",
        ),
        pytest.param(
            {"output": {**OUTPUT, "uri": "s3://others/models"}}, STORE, None, "lies at s3://team/models",
            id="another bucket",
        ),
    ],
)  # fmt: skip
async def test_a_secret_that_status_alone_names_is_refused(
    spec: Json, store: Json, job: Json | None, said: str
) -> None:
    with pytest.raises(CommandError) as error:
        await checked(in_a_bucket(store=store, **spec), job=job)
    assert said in error.value.message
    assert f"--secret {store['secretRef']['name']}." in error.value.message


async def test_a_secret_that_the_user_names_is_used_and_where_its_keys_go_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = await checked(in_a_bucket(), secret="mine")
    assert (found.store, found.secret) == ("s3://team/models", "mine")
    assert capsys.readouterr().err == (
        "Secret mine is used for s3://team/models (endpoint https://s3.example.com).\n"
    )
    with pytest.raises(UsageError, match="on claim models"):
        await checked(a_model(versions=1), secret="mine")


async def test_a_claim_and_a_bucket_without_a_secret_need_nobodys_word_and_no_request() -> None:
    open_bucket = in_a_bucket(store={"endpoint": "https://s3.example.com"})
    for model in (a_model(versions=1), open_bucket, in_a_bucket(output=OUTPUT)):
        async with serving({}) as (there, asked):
            found = await versionstores.checked(there, model, 1, place(model), secret=None)
        assert (found, asked) == (place(model), [])
