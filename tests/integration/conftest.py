"""The API server that integration tests share. Called by pytest."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.harness import controlplane, kwok
from tests.harness import operator as operators
from tests.harness.client import Client
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.operator import Operator
from tests.integration.experiments import Experiments
from tests.objects import Jobs
from tests.receiver import Receiver, listening

#: What takes longest, longest first: several processes are done sooner when none of it begins last.
LONGEST = (
    "test_stops",
    "test_nothing_lost",
    "test_search_killed",
    "test_models_raced",
    "test_search_scale",
    "test_model_monitor",
    "test_model_recommend",
    "test_search_stops",
    "test_search",
    "test_dataset_sources",
    "test_callback_outage",
    "test_storm",
    "test_cost",
    "test_failures",
    "test_experiments",
    "test_experiment_children",
    "test_models",
    "test_trainingjob",
    "test_callbacks",
    "test_poisoned",
    "test_metrics",
    "test_control_plane",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One control plane with a controller manager and a scheduler for the whole session, or for each of the processes
    that run tests side by side: a module is never shared out among them.

    A test keeps to namespaces of its own; one that restarts or pauses programs takes its own plane.
    It ends with the session, also when that is killed.
    """
    config = ControlPlaneConfig(controller_manager=True, scheduler=True, audit=True)
    with controlplane.running(f"test-{os.getpid()}", config) as plane:
        yield plane


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane of the module's own, with our CRDs and permissions and two fake nodes: for tests that restart
    programs, count requests, or run operators one after the other over the same namespaces.
    """
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    config = ControlPlaneConfig(controller_manager=True, scheduler=True, audit=True)
    with controlplane.running(name, config) as plane:
        operators.install(plane)
        kwok.start(plane)
        kwok.add_nodes(plane, 2)
        yield plane


@pytest.fixture
def admin(request: pytest.FixtureRequest) -> Iterator[Client]:
    """The harness's own client, which may do everything: to prepare and to look, not to be tested."""
    whose = "plane" if "plane" in request.fixturenames else "control_plane"
    with request.getfixturevalue(whose).client() as client:
        yield client


@pytest.fixture
def namespace(admin: Client) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    admin.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def jobs(admin: Client, namespace: str) -> Jobs:
    """Objects of the test's own namespace."""
    return Jobs(admin, namespace)


@pytest.fixture
def experiments(admin: Client, namespace: str) -> Experiments:
    """Experiments of the test's own namespace, and their jobs."""
    return Experiments(admin, namespace)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of callbacks on loopback."""
    with listening() as one:
        yield one


@pytest.fixture(scope="session")
def plane_with_nodes(control_plane: ControlPlane) -> ControlPlane:
    """The shared control plane with our CRDs and permissions, four fake nodes with eight GPUs each
    (and their taint), and two without."""
    operators.install(control_plane)
    kwok.start(control_plane)
    kwok.add_nodes(control_plane, 4, gpus=8)
    kwok.add_nodes(control_plane, 2, prefix="plain")
    return control_plane


@pytest.fixture(scope="session")
def operator(plane_with_nodes: ControlPlane) -> Iterator[Operator]:
    """An operator for tests that leave it running. Log following is off: fake pods have no logs."""
    with operators.running(plane_with_nodes, name="operator") as process:
        yield process
