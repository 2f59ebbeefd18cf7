"""Commands that go on for long, over a restart of the API server."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.commandline import Cli, a_status
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(180)


def again(write: Callable[[], Json | None]) -> None:
    """Writes as soon as the API server takes it."""

    def written() -> bool:
        try:
            write()
        except Exception:
            return False
        return True

    found(written, what="the API server to be back", timeout=60)


def test_tables_and_watches_go_on_with_what_came_while_they_were_cut(plane: ControlPlane, jobs: Jobs) -> None:
    cli = Cli(plane.admin, jobs.namespace)
    jobs.create("resnet")
    a_status(jobs, "resnet", "Running", "Training")
    processes = [
        subprocess.Popen(cli.argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for words in (("get", "--watch"), ("watch", "resnet"))
    ]
    table, watch = processes
    assert table.stdout is not None
    assert watch.stdout is not None
    assert table.stdout.readline().startswith("NAME")
    assert table.stdout.readline().startswith("resnet")
    assert watch.stdout.readline().startswith("Running Training")
    plane.restart_program("kube-apiserver", grace=0)
    again(lambda: jobs.create("vit"))
    a_status(jobs, "resnet", "Done", "Completed")
    shown = dict(table.stdout.readline().split()[:2] for _ in range(2))
    assert shown.keys() == {"resnet", "vit"}
    assert shown["resnet"] == "Done"
    assert watch.stdout.readline().startswith("Done Completed")
    assert watch.wait(timeout=30) == 0
    table.send_signal(signal.SIGINT)
    assert table.wait(timeout=30) == 130
    for process in processes:
        process.communicate()
