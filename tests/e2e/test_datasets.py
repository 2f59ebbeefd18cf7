"""Datasets with real pods and real volumes: from the bucket of a real S3 server to the jobs that read them."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.datasets import SECRET, Data, digest_of, table
from tests.harness import kindcluster, s3pod
from tests.harness.client import Client
from tests.harness.cluster import ClusterHandle
from tests.harness.kubectl import Kubectl
from tests.objects import found

pytestmark = pytest.mark.timeout(300)

#: The puller's journal has a line for each file that is there.
_KILL_IN_THE_MIDDLE = """
for try in $(seq 3000); do
    for journal in $(find /tmp /var -maxdepth 5 -path '*/.pulling-*/journal' 2>/dev/null); do
        if [ "$(wc -l < "$journal")" -ge 60 ]; then
            pkill -KILL -f '[t]rainyard-agent pull'
            exit 0
        fi
    done
    sleep 0.02
done
exit 1
"""
EXAMPLES = Path(__file__).parents[2] / "examples" / "datasets"


@pytest.fixture(scope="module")
def data(operator_installed: ClusterHandle, python_image: str) -> Iterator[Data]:
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    with Client(operator_installed.kubeconfig, context=operator_installed.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        store = s3pod.install(operator_installed, name, bucket="data")
        Kubectl(operator_installed).apply([store.secret(SECRET)], namespace=name)
        yield Data(client, operator_installed, store, python_image)
        client.delete(f"/api/v1/namespaces/{name}")


def test_a_dataset_of_a_bucket_is_done_with_its_digest_and_its_profile(data: Data) -> None:
    files = {"train.csv": table("train", rows=90), "test.csv": table("test", rows=30)}
    data.fill("digits", files)
    data.dataset("digits", validation={"target": "label"})
    status = data.comes_to("digits", "Done", "Completed")
    assert status["sha256"] == digest_of(files)
    assert status["pull"]["state"] == "pull_complete"
    assert status["pull"]["bytes"] == sum(map(len, files.values()))
    assert status["validation"]["state"] == "Valid"
    profile = status["profile"]
    assert (profile["rows"], profile["columns"], profile["target"]) == (120, 5, "label")
    assert {one["name"]: one["count"] for one in profile["classes"]} == {"a": 40, "b": 40, "c": 40}
    assert status["uri"].startswith("pvc://data-")
    data.read("reads", "digits")
    job = data.reaches("reads", "Done", timeout=90)
    assert data.log("reads")["found"] == digest_of(files)
    (used,) = job["datasets"]
    assert (used["name"], used["sha256"], used["revision"]) == (
        "digits",
        status["sha256"],
        status["revision"],
    )


def test_ten_jobs_on_a_cold_dataset_are_one_pull_and_ten_readers(data: Data) -> None:
    files = {f"part-{number:02}.csv": table(f"part {number}", rows=2_000) for number in range(30)}
    data.fill("shared", files)
    jobs = [f"shared-{number}" for number in range(10)]
    for name in jobs[:5]:
        data.read(name, "shared")
    # A second Dataset of the same content is no reason to pull it again.
    data.dataset("shared")
    data.dataset("shared-too", folder="shared")
    for name in jobs[5:]:
        data.read(name, "shared-too" if name == jobs[-1] else "shared")
    for name in jobs:
        data.reaches(name, "Done", timeout=180)
    assert {data.log(name)["found"] for name in jobs} == {digest_of(files)}
    # NB: each file once, by whichever of the two Datasets has pulled.
    assert data.gets("shared") == dict.fromkeys(files, 1)
    claims = {data.told(name)["uri"] for name in ("shared", "shared-too")}
    assert len(claims) == 1


def test_a_pull_that_is_killed_goes_on_where_it_was(data: Data) -> None:
    files = {f"{number:03}.csv": table(f"{number}", rows=20_000) for number in range(300)}
    data.fill("killed", files)
    data.dataset("killed")
    kindcluster.run_on_nodes(data.handle, _KILL_IN_THE_MIDDLE)
    before = data.gets("killed")
    assert 40 <= len(before) < len(files), "it was killed in the middle"
    status = data.comes_to("killed", "Done", "Completed", timeout=180)
    assert status["sha256"] == digest_of(files)
    # Eight are under way at once.
    assert sum(data.gets("killed").values()) <= len(files) + 8


def test_a_refresh_gives_a_new_revision_and_a_job_that_runs_keeps_the_old(data: Data) -> None:
    old, new = {"a.csv": table("old")}, {"a.csv": table("new")}
    data.fill("changing", old)
    data.dataset("changing")
    before = data.comes_to("changing", "Done", "Completed")
    data.read("keeps", "changing", wait=True)
    found(lambda: data.log("keeps").get("found"), what="the first look", timeout=60)
    data.fill("changing", new)
    data.client.patch(
        data.path("datasets", "changing"),
        {"metadata": {"annotations": {"trainyard.dev/refresh-requested-at": "now"}}},
    )
    found(
        lambda: data.told("changing").get("revision") not in (None, before["revision"]),
        what="the new revision",
        timeout=90,
    )
    after = data.comes_to("changing", "Done", "Completed")
    assert after["uri"] != before["uri"]
    data.read("sees", "changing")
    data.reaches("sees", "Done", timeout=90)
    let_go(data, "keeps")
    data.reaches("keeps", "Done", timeout=60)
    assert data.log("keeps") == {"found": one_digest(old), "in the end": one_digest(old)}
    assert data.log("sees")["found"] == one_digest(new)
    used = {name: data.status(name)["datasets"][0]["revision"] for name in ("keeps", "sees")}
    assert used == {"keeps": before["revision"], "sees": after["revision"]}
    goes_with(data, "keeps", volume(before["uri"]))


def test_deleting_a_dataset_frees_its_volume_only_after_the_job_that_uses_it(data: Data) -> None:
    files = {"a.csv": table("deleted")}
    data.fill("deleted", files)
    data.dataset("deleted")
    claim = volume(data.comes_to("deleted", "Done", "Completed")["uri"])
    data.read("last", "deleted", wait=True)
    found(lambda: data.log("last").get("found"), what="the first look", timeout=60)
    data.delete("datasets", "deleted")
    time.sleep(5)
    assert not data.claims()[claim]["metadata"].get("deletionTimestamp")
    let_go(data, "last")
    data.reaches("last", "Done", timeout=60)
    assert data.log("last")["in the end"] == one_digest(files)
    found(
        lambda: data.client.find(data.path("datasets", "deleted")) is None,
        what="the Dataset to go",
        timeout=90,
    )
    goes_with(data, "last", claim)


def test_credentials_that_are_refused_are_told_and_the_job_fails_for_them(data: Data) -> None:
    data.fill("locked", {"a.csv": table("locked")})
    wrong = data.store.secret("wrong") | {"stringData": {**data.store.credentials, "AWS_ACCESS_KEY_ID": "no"}}
    Kubectl(data.handle).apply([wrong], namespace=data.namespace)
    data.dataset("locked", secret="wrong", backoffLimit=0)
    data.read("waits-locked", "locked")
    status = data.comes_to("locked", "Error", "AccessDenied")
    assert "Secret" in status["message"], "it names what to mend"
    job = data.reaches("waits-locked", "Error", "DatasetFailed", timeout=60)
    assert "locked" in job["message"]


def test_a_broken_table_is_told_with_file_and_line_and_nothing_is_given_to_jobs(data: Data) -> None:
    broken = table("broken").splitlines()
    broken[6] = b"1,2"
    data.fill("broken", {"good.csv": table("good"), "part/broken.csv": b"\n".join(broken) + b"\n"})
    data.dataset("broken")
    data.read("waits-broken", "broken")
    status = data.comes_to("broken", "Error", "InvalidData")
    first = status["validation"]["first"]
    assert (first["path"], first["line"]) == ("part/broken.csv", 7)
    assert "part/broken.csv" in status["message"]
    data.reaches("waits-broken", "Error", "DatasetFailed", timeout=60)


def test_without_a_cache_each_job_pulls_for_itself(data: Data) -> None:
    files = {"a.csv": table("uncached"), "b.csv": table("uncached too")}
    data.fill("uncached", files)
    before = set(data.claims())
    data.dataset("uncached", cache={"mode": "None"})
    data.comes_to("uncached", "Done", "Completed")
    data.read("own", "uncached")
    data.reaches("own", "Done", timeout=90)
    assert data.log("own")["found"] == digest_of(files)
    assert set(data.claims()) <= before
    assert data.gets("uncached") == dict.fromkeys(files, 2)


def test_the_example_of_a_bucket_ends_with_a_model(data: Data) -> None:
    """As it stands, but for the bucket, its address and its keys."""
    files = {f"{year}.csv": table(f"{year}", rows=300).replace(b"label", b"rain") for year in (2025, 2026)}
    data.fill("weather", {**files, "raw/x.csv": b"?"})
    secret, dataset, job = yaml.safe_load_all((EXAMPLES / "bucket.yaml").read_text(encoding="utf-8"))
    secret["stringData"] = data.store.credentials
    where = {"uri": f"s3://{data.store.bucket}/weather", "endpoint": data.store.endpoint}
    dataset["spec"]["source"] |= where
    Kubectl(data.handle).apply([secret, dataset, job], namespace=data.namespace)
    assert data.comes_to("weather", "Done", "Completed")["profile"]["rows"] == 600
    status = data.reaches("weather-forest", "Done", timeout=150)
    assert status["datasets"][0]["name"] == "weather"
    assert any(metric["name"] == "accuracy" for metric in status["metrics"])


def let_go(data: Data, job: str) -> None:
    (pod,) = data.pods(job)
    words = ("exec", pod["metadata"]["name"], f"--namespace={data.namespace}", "--", "touch", "/tmp/go")
    Kubectl(data.handle).run(*words)


def goes_with(data: Data, job: str, claim: str) -> None:
    """NB: Kubernetes holds a claim that is deleted for as long as a pod of it is there, also one that has ended."""
    found(
        lambda: claim not in data.claims() or data.claims()[claim]["metadata"].get("deletionTimestamp"),
        what=f"{claim} to be let go",
        timeout=150,
    )
    data.delete("trainingjobs", job)
    found(lambda: claim not in data.claims(), what=f"{claim} to go", timeout=90)


def one_digest(files: dict[str, bytes]) -> str:
    """Of a folder, as the job reckons it, also where `status.sha256` is that of its one file."""
    (path,) = files
    return hashlib.sha256(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n".encode()).hexdigest()


def volume(uri: str) -> str:
    return uri.removeprefix("pvc://").partition("/")[0]
