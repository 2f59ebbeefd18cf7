"""`trainyard download` on real nodes: from a claim and from a bucket, through the API server, every byte checked."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.commandline import Cli, a_status
from tests.e2e.stored import Stored, a_claim, digest, write_to_claim
from tests.harness import chart, chosen, s3pod
from tests.harness.client import Client
from tests.harness.cluster import ClusterHandle
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
FILES = {"weights.bin": 64 * MIB, "metrics/a table.json": 1234, "empty": 0, "größe.txt": 7}
HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def agent_image(kind_cluster: ClusterHandle) -> str:
    return chosen.image(kind_cluster, "agent")


@pytest.fixture
def jobs(kind_cluster: ClusterHandle, cluster_admin: Client, namespace: str) -> Jobs:
    """Jobs whose status the test writes; suspended, so that an operator that is there leaves them alone."""
    Kubectl(kind_cluster).run("apply", "--server-side", "--force-conflicts", f"--filename={chart.CRDS}")
    return Jobs(cluster_admin, namespace)


@pytest.fixture
def cli(kind_cluster: ClusterHandle, jobs: Jobs) -> Cli:
    cli = Cli(kind_cluster.kubeconfig, jobs.namespace)
    cli.where += ["--context", kind_cluster.context]
    return cli


def restricted(jobs: Jobs) -> None:
    """From now on the namespace takes only pods that pass Pod Security `restricted`."""
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", {"metadata": {"labels": label}})


def finished(jobs: Jobs, store: str, output: dict[str, object], *, files: dict[str, int] = FILES) -> Stored:
    """A job that says it has ended with these artifacts, of two ranks, and a checkpoint; what its store has to hold."""
    uid = jobs.create("resnet", suspend=True, output=output)["metadata"]["uid"]
    stored = Stored(uid)
    manifest = stored.artifacts(1, files)
    stored.artifacts(1, {"shard.bin": 3 * MIB}, rank=1)
    stored.checkpoint(1, 3, {"state.bin": 2 * MIB}, ranks=2)
    stored.checkpoint(1, 4, {"state.bin": 2 * MIB}, ranks=2)
    folder = f"{store}/{uid}/attempt-1"
    a_status(
        jobs,
        "resnet",
        "Done",
        "Completed",
        attempts=[{"number": 0}, {"number": 1}],
        artifacts=[{"uri": folder, "size": sum(files.values()), "sha256": digest(manifest.encode())}],
        lastCheckpoint={
            "epoch": 4,
            "uri": f"{folder}/checkpoints/epoch-000004",
            "time": "2025-03-09T07:05:09Z",
        },
        best={"name": "accuracy", "value": "0.9", "epoch": 3, "uri": f"{folder}/checkpoints/epoch-000003"},
    )
    return stored


def in_claim(jobs: Jobs, image: str, *, files: dict[str, int] = FILES) -> Stored:
    a_claim(jobs)
    stored = finished(jobs, "pvc://models", {"claimName": "models"}, files=files)
    write_to_claim(jobs, image, stored.files)
    restricted(jobs)
    return stored


def helpers(jobs: Jobs) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in jobs.client.list(
            f"/api/v1/namespaces/{jobs.namespace}/pods", labelSelector="app.kubernetes.io/component=download"
        )
        if "deletionTimestamp" not in pod["metadata"]
    ]


def large_parts(folder: Path) -> list[int]:
    """Inodes of files that are half there."""
    parts = [path.stat() for path in folder.glob(".trainyard-download/*.part")]
    return [status.st_ino for status in parts if status.st_size > 4 * MIB]


def there(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected(stored: Stored, *below: str) -> dict[str, bytes]:
    """The files of attempt 1, below one of some folders, or outside of checkpoints."""
    start = f"{stored.uid}/attempt-1/"
    paths = [path.removeprefix(start) for path in stored.files if path.startswith(start)]
    wanted = [
        path
        for path in paths
        if (path.startswith(below) if below else "checkpoints/" not in path)
        and not path.endswith("index.json")
    ]
    return {path: stored.content(f"attempt-1/{path}") for path in wanted}


def test_artifacts_in_a_claim_arrive_whole_and_the_pod_is_gone(
    cli: Cli, jobs: Jobs, python_image: str, agent_image: str, tmp_path: Path
) -> None:
    stored = in_claim(jobs, python_image)
    target = tmp_path / "resnet"
    began = time.monotonic()
    result = cli("download", "resnet", str(target), "--agent-image", agent_image)
    seconds = time.monotonic() - began
    assert result.exit_code == 0, result.stderr
    assert (
        result.stdout
        == f"{target} has the artifacts of attempt 1: 5 files, 67.0 MiB. The sha256 of each is right.\n"
    )
    assert there(target) == expected(stored)
    assert helpers(jobs) == []
    print(f"67 MiB in {seconds:.1f} s, pod included")

    again = cli("download", "resnet", str(target), "--agent-image", agent_image)
    assert again.stdout.endswith("5 files, 67.0 MiB, of which 5 were there. The sha256 of each is right.\n")

    (target / "metrics/a table.json").write_bytes(b"mine")
    refused = cli("download", "resnet", str(target), "--agent-image", agent_image)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "1 files are there with another content" in refused.stderr
    assert (target / "metrics/a table.json").read_bytes() == b"mine"
    assert cli("download", "resnet", str(target), "--overwrite", "--agent-image", agent_image).exit_code == 0
    assert there(target) == expected(stored)


def test_the_best_checkpoint_comes_with_the_parts_of_all_ranks(
    cli: Cli, jobs: Jobs, python_image: str, agent_image: str, tmp_path: Path
) -> None:
    stored = in_claim(jobs, python_image)
    best, both = tmp_path / "best", tmp_path / "both"
    result = cli("download", "resnet", str(best), "--checkpoint", "best", "--agent-image", agent_image)
    assert result.exit_code == 0, result.stderr
    assert there(best) == expected(stored, "checkpoints/epoch-000003/", "rank-1/checkpoints/epoch-000003/")
    options = ["--checkpoint", "latest", "--artifact", "*.txt", "--agent-image", agent_image]
    assert cli("download", "resnet", str(both), *options).exit_code == 0
    assert {path for path in there(both) if not path.endswith(".json")} == {
        "größe.txt",
        "checkpoints/epoch-000004/state.bin",
        "rank-1/checkpoints/epoch-000004/state.bin",
    }
    listing = cli("download", "resnet", "--list", "--agent-image", agent_image)
    assert [line.split()[-1] for line in listing.stdout.splitlines()[1:]] == [
        digest(stored.content(f"attempt-1/{path}")) for path in (*FILES, "rank-1/shard.bin")
    ]
    missing = cli("download", "resnet", "--checkpoint", "9", "--agent-image", agent_image)
    assert "Attempt 1 keeps no checkpoint of epoch 9; it has those of 3, 4." in missing.stderr


def test_what_was_interrupted_goes_on_and_leaves_no_pod(
    cli: Cli, jobs: Jobs, python_image: str, agent_image: str, tmp_path: Path
) -> None:
    stored = in_claim(jobs, python_image, files={"weights.bin": 256 * MIB})
    target = tmp_path / "resnet"
    argv = cli.argv("download", "resnet", str(target), "--agent-image", agent_image)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE)
    while not (begun := large_parts(target)) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert helpers(jobs) == []
    assert large_parts(target) == begun, "what has come stays"
    assert not (target / "weights.bin").exists()
    result = cli("download", "resnet", str(target), "--agent-image", agent_image)
    assert result.exit_code == 0, result.stderr
    assert there(target) == expected(stored)
    assert (target / "weights.bin").stat().st_ino == begun[0], "it went on with the part that was there"


def test_a_file_that_was_changed_in_the_store_is_refused_and_the_others_come(
    cli: Cli, jobs: Jobs, python_image: str, agent_image: str, tmp_path: Path
) -> None:
    a_claim(jobs)
    stored = finished(jobs, "pvc://models", {"claimName": "models"}, files={"good.bin": MIB, "bad.bin": MIB})
    bad = f"{stored.uid}/attempt-1/bad.bin"
    write_to_claim(jobs, python_image, {**stored.files, bad: ("other", MIB)})
    result = cli("download", "resnet", str(tmp_path / "r"), "--agent-image", agent_image)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "1 of 3 files could not be had. bad.bin: It has another sha256 in the store" in result.stderr
    assert not (tmp_path / "r/bad.bin").exists()
    assert (tmp_path / "r/good.bin").read_bytes() == stored.content("attempt-1/good.bin")
    changed = {f"{stored.uid}/attempt-1/artifacts.json": '{"files": []}'}
    write_to_claim(jobs, python_image, dict(changed), pod="change")
    result = cli("download", "resnet", str(tmp_path / "r2"), "--agent-image", agent_image)
    assert result.exit_code == 1
    assert "artifacts.json is not the one that the job ended with" in result.stderr
    assert not (tmp_path / "r2").exists()


def test_artifacts_in_a_bucket_arrive_without_credentials_here(
    cli: Cli, jobs: Jobs, kind_cluster: ClusterHandle, agent_image: str, tmp_path: Path
) -> None:
    server = s3pod.install(kind_cluster, jobs.namespace)
    Kubectl(kind_cluster).apply([server.secret("bucket")], namespace=jobs.namespace)
    output = {
        "uri": "s3://models/team",
        "endpoint": server.endpoint,
        "region": "us-east-1",
        "secretRef": {"name": "bucket"},
    }
    stored = finished(jobs, "s3://models/team", output)
    server.write({f"team/{path}": data for path, data in stored.objects().items()})
    restricted(jobs)
    target = tmp_path / "resnet"
    began = time.monotonic()
    result = cli("download", "resnet", str(target), "--agent-image", agent_image)
    assert result.exit_code == 0, result.stderr
    print(f"67 MiB of a bucket in {time.monotonic() - began:.1f} s, pod included")
    assert there(target) == expected(stored)
    best = cli(
        "download", "resnet", str(tmp_path / "c"), "--checkpoint", "latest", "--agent-image", agent_image
    )
    assert best.exit_code == 0, best.stderr
    assert there(tmp_path / "c") == expected(
        stored, "checkpoints/epoch-000004/", "rank-1/checkpoints/epoch-000004/"
    )
    assert helpers(jobs) == []


def test_a_helper_that_nobody_asks_ends_by_itself(
    cli: Cli, jobs: Jobs, python_image: str, agent_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_claim(jobs, python_image)
    argv = cli.argv("download", "resnet", str(tmp_path / "r"), "--agent-image", agent_image)
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=HERE)
    found(
        lambda: list((tmp_path / "r").glob(".trainyard-download/*.part")),
        what="the download to begin",
        timeout=60,
    )
    process.kill()
    process.wait()
    (helper,) = helpers(jobs)
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/{helper}"
    found(
        lambda: jobs.client.get(path)["status"]["phase"] == "Succeeded", what="the helper to end", timeout=120
    )
