"""At which pace warnings of stuck pods are read when many are stuck."""

from __future__ import annotations

import dataclasses

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tests.unit.planning.builders import NOW, a_job, a_pod
from trainyard.cluster.client import Client
from trainyard.planning.observed import ObservedJob
from trainyard.reconcile.lookups import EVENTS_APART_SECONDS, EVENTS_LONGEST_SECONDS, LookUps


def a_stuck_job(number: int) -> ObservedJob:
    pod = a_pod(waiting=("ContainerCreating", ""), uid=f"pod-{number}")
    return dataclasses.replace(a_job(pods=(pod,)), uid=f"job-{number}", name=f"job-{number}")


async def test_each_of_many_stuck_jobs_comes_back_at_a_time_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = NOW, 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"items": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    monkeypatch.setattr("trainyard.reconcile.lookups.time.time", lambda: now)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/"))))
        try:
            lookups = LookUps(client)
            again = [(await lookups.complete(a_stuck_job(number)))[1] or 0.0 for number in range(1000)]
            assert asked == 1
            turns = [round(wait / EVENTS_APART_SECONDS) for wait in again[1:]]
            within = round(EVENTS_LONGEST_SECONDS / EVENTS_APART_SECONDS)
            assert turns[:within] == [*range(1, within), within]
            assert set(turns[within:]) == {within}, "and the others much later"
            for number in range(1, 6):
                now = NOW + again[number] + 0.001
                await lookups.complete(a_stuck_job(number))
            assert asked == 6
        finally:
            await client.close()
