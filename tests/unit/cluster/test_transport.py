"""Which proxy requests to the API server go through: asked for once, not at each request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from trainyard.cluster.client import Client
from trainyard.cluster.transport import proxy_for

SERVER = "http://api.example:6443"


@pytest.fixture(autouse=True)
def an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def a_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Its URL, and what it is asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.json_response({"from": "proxy"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), asked


@pytest.mark.parametrize(
    ("environment", "server", "proxy"),
    [
        ({}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://api.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://api.example", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example"}, "https://api.example:6443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://10.0.0.1", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other"}, "https://10.0.0.1", "http://p:1"),
    ],
)
def test_the_environment_names_the_proxy(
    environment: dict[str, str], server: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(server) == proxy


async def test_requests_go_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_proxy() as (url, asked):
        monkeypatch.setenv("HTTP_PROXY", url)
        client = Client(Configuration(host=SERVER))
        try:
            assert await client.get("/apis") == {"from": "proxy"}
        finally:
            await client.close()
    assert asked == [f"{SERVER}/apis"]


async def test_the_proxy_of_the_kubeconfig_comes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_proxy() as (url, asked):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        configuration = Configuration(host=SERVER)
        configuration.proxy = url
        client = Client(configuration)
        try:
            await client.get("/apis")
        finally:
            await client.close()
    assert asked == [f"{SERVER}/apis"]
