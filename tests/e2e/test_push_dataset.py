"""`trainyard push dataset` on real nodes: a folder through the API server onto a claim, broken off and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commandline import Cli
from tests.e2e.claims import files_at
from tests.harness.client import Json
from tests.harness.cluster import ClusterHandle
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
HERE = Path(__file__).parents[2]


@pytest.fixture
def restricted(jobs: Jobs) -> None:
    """The namespace takes only pods that pass Pod Security `restricted`."""
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", {"metadata": {"labels": label}})


@pytest.fixture
def cli(kind_cluster: ClusterHandle, jobs: Jobs) -> Cli:
    cli = Cli(kind_cluster.kubeconfig, jobs.namespace)
    cli.where += ["--context", kind_cluster.context]
    return cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some hundred small files, two large ones, odd names, a link, and rubbish."""
    root = tmp_path / "digits"
    for number in range(400):
        file = root / f"train/{number % 10}/{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * number)
    (root / "größe 1.csv").write_text("x\n")
    (root / "empty").write_bytes(b"")
    (root / "big.bin").write_bytes(os.urandom(40 * MIB + 17))
    (root / "other.bin").write_bytes(os.urandom(10 * MIB))
    (root / "first.txt").symlink_to("train/0/0.txt")
    (root / ".DS_Store").write_text("")
    return root


def digest_of(root: Path) -> str:
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != ".DS_Store"]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n".encode()
        for path in paths
    ]
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def dataset(jobs: Jobs) -> Json:
    return jobs.client.get(jobs.path("datasets", "digits"))


def told(jobs: Jobs) -> dict[str, Any]:
    return dict(json.loads(dataset(jobs)["metadata"]["annotations"]["trainyard.dev/upload"]))


def helpers(jobs: Jobs) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in jobs.client.list(
            f"/api/v1/namespaces/{jobs.namespace}/pods", labelSelector="app.kubernetes.io/component=push"
        )
        if "deletionTimestamp" not in pod["metadata"]
    ]


def claims(jobs: Jobs, selector: str = "") -> list[str]:
    path = f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims"
    return [one["metadata"]["name"] for one in jobs.client.list(path, labelSelector=selector)]


def relaxed(jobs: Jobs) -> None:
    """Lets a pod of the test in, which looks at the claim."""
    label = {"pod-security.kubernetes.io/enforce": "privileged"}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", {"metadata": {"labels": label}})


@pytest.mark.usefixtures("restricted")
def test_a_folder_is_pushed_whole_then_again_and_then_changed(
    cli: Cli, jobs: Jobs, folder: Path, python_image: str
) -> None:
    push = ("push", "dataset", str(folder), "digits")
    began = time.monotonic()
    result = cli(*push, "--type", "user_custom", "--format", "raw", "--wait", "--timeout", "2m")
    assert result.exit_code == 0, result.stderr
    print(f"50 MiB in 405 files in {time.monotonic() - began:.1f} s, pods and check included")
    first, size = told(jobs), sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (first["sha256"], first["files"], first["bytes"]) == (digest_of(folder), 405, size)
    assert result.stdout.startswith("dataset.trainyard.dev/digits pushed: 405 files, ")
    assert "Left out: .DS_Store." in result.stderr
    assert (helpers(jobs), claims(jobs)) == ([], [first["claim"]])
    assert claims(jobs, "trainyard.dev/upload=unfinished") == []
    status = dataset(jobs)["status"]
    assert (status["phase"], status["sha256"]) == ("Done", first["sha256"])
    assert status["uri"] == f"pvc://{first['claim']}/data"
    described = cli("describe", "dataset", "digits").stdout
    assert f"Lies in    pvc://{first['claim']}/data" in described

    again = cli(*push, "--wait", "--timeout", "1m")
    assert again.stdout.startswith("dataset.trainyard.dev/digits has this very data already: 405 files")
    assert told(jobs) == first

    (folder / "more.csv").write_text("x\n")
    changed = cli(*push, "--wait", "--timeout", "2m")
    assert changed.exit_code == 0, changed.stderr
    second = told(jobs)
    assert (second["sha256"], second["files"]) == (digest_of(folder), 406)
    assert second["claim"] != first["claim"], "jobs that run keep what they have"
    assert dataset(jobs)["status"]["sha256"] == second["sha256"]
    relaxed(jobs)
    assert files_at(jobs, python_image, f"pvc://{second['claim']}/data", pod="look").count("more.csv") == 1


@pytest.mark.usefixtures("restricted")
def test_what_is_interrupted_and_then_killed_goes_on_where_it_stopped(
    cli: Cli, jobs: Jobs, folder: Path
) -> None:
    (folder / "big.bin").write_bytes(os.urandom(250 * MIB))
    push = ["push", "dataset", str(folder), "digits"]
    code, said = broken_off(cli, jobs, signal.SIGINT, *push, "--type", "user_custom", "--format", "raw")
    (claim,) = claims(jobs, "trainyard.dev/upload=unfinished")
    assert (code, helpers(jobs)) == (130, [])
    assert f"What has come stays in the claim {claim}" in said
    _, said = broken_off(cli, jobs, signal.SIGKILL, *push)
    assert f"An earlier push has left the claim {claim}: going on with it." in said

    result = cli(*push)
    assert result.exit_code == 0, result.stderr
    assert "Waiting for the pod digits-push of another push" in result.stderr
    assert "MiB, of which " in result.stdout, result.stdout
    print(result.stdout)
    assert (told(jobs)["claim"], told(jobs)["sha256"]) == (claim, digest_of(folder))
    assert (helpers(jobs), claims(jobs)) == ([], [claim])
    assert claims(jobs, "trainyard.dev/upload=unfinished") == []


@pytest.mark.usefixtures("restricted")
def test_what_was_published_before_the_dataset_was_told_is_found_again_or_makes_way(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (small / "a.csv").write_text("x\n")
    push = ("push", "dataset", str(small), "digits", "--type", "user_custom", "--format", "raw")
    assert cli(*push).exit_code == 0
    first = told(jobs)

    def untold() -> None:
        """As if the command had been killed at the very end."""
        claim = f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims/{first['claim']}"
        jobs.client.patch(claim, {"metadata": {"labels": {"trainyard.dev/upload": "unfinished"}}})
        path = jobs.path("datasets", "digits")
        jobs.client.patch(path, {"metadata": {"annotations": {"trainyard.dev/upload": None}}})

    untold()
    assert "2 B were there" in cli(*push).stdout
    assert told(jobs)["claim"] == first["claim"]
    untold()
    (small / "a.csv").write_text("other\n")
    result = cli(*push)
    assert result.exit_code == 0, result.stderr
    assert told(jobs)["claim"] != first["claim"]
    assert told(jobs)["sha256"] == hashlib.sha256(b"other\n").hexdigest()
    found(lambda: claims(jobs) == [told(jobs)["claim"]], what="the claim with other data to be gone")


def broken_off(cli: Cli, jobs: Jobs, how: signal.Signals, *arguments: str) -> tuple[int, str]:
    """A push that is ended in the middle: its exit code, and what it said."""
    process = subprocess.Popen(
        cli.argv(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE
    )
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/digits-push"

    def receives() -> bool:
        if process.poll() is not None:
            return True
        pod = jobs.client.find(path)
        # NB: not that of the push before, on its way out.
        if pod is None or "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") != "Running":
            return False
        return "Receiving" in jobs.client.text(f"{path}/log")

    found(receives, what="the receiver", timeout=120)
    time.sleep(1.0)
    assert process.poll() is None, process.communicate()
    process.send_signal(how)
    said = process.communicate(timeout=30)[1]
    return process.returncode, said
