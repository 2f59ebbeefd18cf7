"""What is known of a job once its deletion has been answered."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from trainyard.cluster.cache import TRAINING_JOB, Cache, Key
from trainyard.cluster.children import Children
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.experimentobserved import JobStep

Json = dict[str, Any]

KEY = Key(TRAINING_JOB, "team", "churn-1")
REMOVE = JobStep(verb="remove", kind=TRAINING_JOB, name="churn-1", uid="u1", body={})
SUCCESS = {"kind": "Status", "status": "Success", "details": {"name": "churn-1", "uid": "u1"}}


def a_job(version: int, *, uid: str = "u1", **metadata: Any) -> Json:
    of_all = {"namespace": "team", "name": "churn-1", "uid": uid, "resourceVersion": str(version)}
    return {"kind": TRAINING_JOB, "metadata": {**of_all, **metadata}, "spec": {}}


def refusal(reason: str, message: str, **details: str) -> Json:
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}


async def after(status: int, answer: Json) -> Cache:
    """The cache that had version 10 of the job when its deletion was answered so."""
    cache = Cache()
    cache.store(TRAINING_JOB, a_job(10))

    async def answered(_: web.Request) -> web.Response:
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answered)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/"))))
        try:
            with suppress(ApiError):
                await Children(client, cache, made=cache.store).do("team", REMOVE)
        finally:
            await client.close()
    return cache


async def test_nothing_of_a_job_comes_back_once_its_deletion_has_succeeded() -> None:
    cache = await after(200, SUCCESS)
    assert cache.uid(KEY) is None
    assert [cache.store(TRAINING_JOB, a_job(version)) for version in (10, 11, 12)] == [False] * 3
    cache.remove(TRAINING_JOB, namespace="team", name="churn-1", uid="u1", version=12)
    assert not cache.store(TRAINING_JOB, a_job(13)), "an event of its end changes nothing of that"
    assert cache.store(TRAINING_JOB, a_job(20, uid="u2")), "another of its name is another"
    assert cache.uid(KEY) == "u2"


async def test_one_that_a_finalizer_holds_stays_as_the_answer_has_it() -> None:
    held = a_job(12, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/x"])
    cache = await after(200, held)
    assert cache.version(KEY) == 12
    assert not cache.store(TRAINING_JOB, a_job(11))


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        pytest.param(
            404, refusal("NotFound", 'trainingjobs "churn-1" not found', name="churn-1"), id="it is not there"
        ),
        pytest.param(
            409,
            refusal("Conflict", "Precondition failed: UID in precondition: u1, UID in object meta: u2"),
            id="another has its name",
        ),
    ],
)
async def test_one_that_is_gone_is_forgotten_until_it_is_shown_again(status: int, answer: Json) -> None:
    cache = await after(status, answer)
    assert cache.uid(KEY) is None
    assert cache.store(TRAINING_JOB, a_job(10)), "the answer may have been a slip"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        pytest.param(
            404, refusal("NotFound", "the server could not find the requested resource"), id="no such path"
        ),
        pytest.param(
            404, refusal("NotFound", 'namespaces "team" not found', name="team"), id="of something else"
        ),
        pytest.param(
            409,
            refusal("Conflict", "Operation cannot be fulfilled: the object has been modified"),
            id="changed meanwhile",
        ),
        pytest.param(429, refusal("TooManyRequests", "later"), id="busy"),
    ],
)
async def test_one_of_which_the_answer_says_nothing_stays(status: int, answer: Json) -> None:
    assert (await after(status, answer)).uid(KEY) == "u1"
