"""What the settings for kopf make it do."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kopf._cogs.clients.api import request
from kopf._cogs.clients.auth import APIContext

from trainyard import handlers

OUTAGE = 30


def test_backoffs_never_end_and_begin_anew_for_each_request() -> None:
    backoffs = handlers.settings().networking.error_backoffs
    assert not isinstance(backoffs, float)
    first = list(islice(backoffs, 1000))
    assert first == list(islice(backoffs, 1000))
    assert len(first) == 1000
    assert first[0] == 1
    assert max(first) == 15


async def test_kopf_outlives_an_outage_far_longer_than_its_own_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep
    answers = iter([503] * OUTAGE + [200])

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, status=next(answers))

    async def be_quick(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    app = web.Application()
    app.router.add_get("/api", answer)
    async with TestServer(app) as server:
        context = APIContext(kopf.ConnectionInfo(server=str(server.make_url("/"))))
        try:
            with monkeypatch.context() as patch:
                patch.setattr("kopf._cogs.clients.api.asyncio.sleep", be_quick)
                response = await request(
                    "get",
                    "/api",
                    settings=handlers.settings(),
                    context=context,
                    logger=logging.getLogger(__name__),
                )
            assert response.status == 200
        finally:
            await context.session.close()
    waits = [seconds for seconds in slept if seconds]
    assert len(waits) == OUTAGE
    assert sum(waits) > 300
