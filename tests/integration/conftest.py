"""The API server that integration tests share. Called by pytest."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness import controlplane
from tests.harness.client import Client
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One control plane with a controller manager and a scheduler for the whole session.

    A test keeps to namespaces of its own; one that restarts or pauses programs takes its own plane.
    It ends with the session, also when that is killed.
    """
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    with controlplane.running(f"test-{os.getpid()}", config) as plane:
        yield plane


@pytest.fixture
def admin(control_plane: ControlPlane) -> Iterator[Client]:
    """The harness's own client, which may do everything: to prepare and to look, not to be tested."""
    with control_plane.client() as client:
        yield client
