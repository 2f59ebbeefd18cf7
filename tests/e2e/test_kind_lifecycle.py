"""A kind cluster comes up after whatever an earlier run left, and goes without leaving anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import cache, docker, kindcluster, kindcontainers
from tests.harness.client import Client, wait_for
from tests.harness.kindnodes import GPU_RESOURCE, ready

NAME = "test-life"
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    (os.environ.get("CLUSTER") or "kind") != "kind", reason="a user's cluster is not ours to start and end"
)


@pytest.fixture
def no_cluster() -> Iterator[None]:
    kindcluster.down(NAME)
    yield
    kindcluster.down(NAME)


def containers() -> list[str]:
    return [node for engine in docker.running() for node in kindcontainers.nodes_of(engine, NAME)]


@pytest.mark.usefixtures("no_cluster")
def test_a_cluster_survives_kills_and_pauses_and_goes_without_a_trace() -> None:
    # A run that is killed as soon as there is a container.
    argv = [sys.executable, "-m", "tests.harness", "up", "--kind", "kind", "--name", NAME]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        wait_for(containers, what="the first container", timeout=300)
        run.kill()

    handle = kindcluster.up(NAME)
    with Client(handle.kubeconfig) as client:
        (node,) = client.list("/api/v1/nodes")
        assert ready(node)
        assert node["status"]["allocatable"][GPU_RESOURCE] == "4"
        born = node["metadata"]["uid"]

    # A node that is paused is woken, not made anew.
    engine = docker.ensure()
    engine.run("pause", *containers())
    begun = time.monotonic()
    kindcluster.up(NAME)
    assert time.monotonic() - begun < 30
    with Client(handle.kubeconfig) as client:
        assert client.list("/api/v1/nodes")[0]["metadata"]["uid"] == born

    kindcluster.down(NAME)
    assert containers() == []
    assert NAME not in cache.cluster_names()
