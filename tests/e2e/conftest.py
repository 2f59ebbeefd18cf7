"""The cluster with real nodes that end-to-end tests share. Called by pytest."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.harness import chart, chosen, demo_callbacks, images, kindcluster
from tests.harness.client import Client
from tests.harness.cluster import ClusterHandle
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs

CLUSTER_NAME = "test-e2e"


@pytest.fixture(scope="session")
def kind_cluster() -> Iterator[ClusterHandle]:
    """One kind cluster for the whole session, or the one that CLUSTER=context:NAME names.

    Ours is taken down at the end unless KEEP_CLUSTER is set: then the next session begins with it. A test
    keeps to namespaces of its own.
    """
    handle = chosen.cluster(CLUSTER_NAME)
    yield handle
    if handle.made_by_us and not os.environ.get("KEEP_CLUSTER"):
        kindcluster.down(CLUSTER_NAME)


@pytest.fixture
def cluster_admin(kind_cluster: ClusterHandle) -> Iterator[Client]:
    """The harness's own client, which may do everything: to prepare and to look, not to be tested."""
    with Client(kind_cluster.kubeconfig, context=kind_cluster.context) as client:
        yield client


@pytest.fixture(scope="session")
def python_image(kind_cluster: ClusterHandle) -> str:
    """An image with `python3` that the cluster's nodes have, or can pull."""
    return chosen.python_image(kind_cluster)


@pytest.fixture(scope="session")
def trainer_image(kind_cluster: ClusterHandle) -> str:
    """The reference trainer's image, on the cluster's nodes."""
    return chosen.image(kind_cluster, "trainer")


@pytest.fixture(scope="session")
def install_operator(kind_cluster: ClusterHandle, trainer_image: str) -> Callable[[], None]:
    """Installs the operator from the chart with its own permissions, or brings back what a test has changed."""
    names: tuple[images.Name, ...] = ("operator", "agent", "data", "tuner", "publisher")
    ours = {name: chosen.image(kind_cluster, name) for name in names}
    inside = demo_callbacks.values(Kubectl(kind_cluster))
    more = chart.merged(inside, {"settings": {"progress": {"intervalSeconds": 1}}})
    return partial(chart.install, kind_cluster, **ours, trainer=trainer_image, more=more)


@pytest.fixture(scope="session")
def operator_installed(kind_cluster: ClusterHandle, install_operator: Callable[[], None]) -> ClusterHandle:
    """The cluster with the operator in it."""
    install_operator()
    return kind_cluster


@pytest.fixture
def kubectl(operator_installed: ClusterHandle) -> Kubectl:
    """kubectl on the cluster with the operator."""
    return Kubectl(operator_installed)


@pytest.fixture
def jobs(operator_installed: ClusterHandle, cluster_admin: Client, namespace: str) -> Jobs:
    """Objects of the test's own namespace, served by the operator in the cluster."""
    return Jobs(cluster_admin, namespace)


@pytest.fixture
def namespace(cluster_admin: Client) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster_admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    if cluster_admin.find(f"/api/v1/namespaces/{name}"):
        cluster_admin.delete(f"/api/v1/namespaces/{name}")
