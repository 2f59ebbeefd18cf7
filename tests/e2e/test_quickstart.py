"""The examples do what they say: real trainings of a real dataset in real pods, by the operator in the cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.claims import files_at
from tests.harness import chart, demo, demo_callbacks, kindcluster
from tests.harness.client import Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(600)

EXAMPLES = Path(__file__).parents[2] / "examples" / "quickstart"
NAMES = ("digits-mlp", "digits-forest", "digits-mlp-eval", "digits-forest-eval")


def values_of(status: Json) -> dict[str, float]:
    return {metric["name"]: float(metric["value"]) for metric in status["metrics"]}


def cli(jobs: Jobs, kubectl: Kubectl, *words: str, code: int = 0) -> str:
    """What `trainyard WORD...` prints."""
    argv = [sys.executable, "-m", "trainyard", *words, "-n", jobs.namespace, *kubectl.flags]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_quickstart_trains_and_evaluates(jobs: Jobs, kubectl: Kubectl, trainer_image: str) -> None:
    where = jobs.namespace
    kubectl.apply(demo.manifests(EXAMPLES / "00-data.yaml", trainer=trainer_image), namespace=where)
    fill = ("job/quickstart-fill", f"--namespace={where}")
    kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
    gpus = demo.offers_gpus(kubectl)
    for file in sorted(EXAMPLES.glob("[1-9]*.yaml")):
        objects = demo.manifests(file, trainer=trainer_image, namespace=where, gpus=gpus)
        kubectl.apply(objects, namespace=where)
    statuses = {name: jobs.reaches(name, "Done", timeout=240) for name in NAMES}

    for name in ("digits-mlp", "digits-forest"):
        trained, evaluated = values_of(statuses[name]), values_of(statuses[f"{name}-eval"])
        assert 0.9 < trained["accuracy"] < 1.0
        assert evaluated["accuracy"] == trained["accuracy"], "measured on the rows that training held out"
        assert {"f1_score", "precision", "recall"} <= trained.keys()
        assert statuses[name]["keyMetric"]["name"] == "accuracy"
        assert statuses[name]["progress"]["percent"] == 100
    for name in NAMES:
        metadata = jobs.get(name)["metadata"]
        ours = {key for key in metadata.get("annotations") or {} if "kubectl.kubernetes.io" not in key}
        assert ours == {"trainyard.dev/store-uids"}, "none of kopf's"
        assert "finalizers" not in metadata

    (told,) = demo_callbacks.until_told(kubectl, where, timeout=60)
    assert (told.job, told.event, told.state) == ("digits-mlp", "Completed", "Delivered")
    assert told.verified, "the receiver has checked the signature"

    pods = {pod["metadata"]["labels"]["trainyard.dev/job"]: pod for pod in jobs.pods("digits-mlp")}
    pod = pods["digits-mlp"]
    if gpus:
        assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert any(t.get("key") == GPU_TOLERATION["key"] for t in pod["spec"]["tolerations"])

    folder, *made = statuses["digits-mlp"]["artifacts"]
    assert folder["size"] == sum(one["size"] for one in made)
    files = files_at(jobs, trainer_image, folder["uri"])
    assert {"model.joblib", "metrics.json", "learning_curve.csv", "checkpoints"} <= set(files)

    printed = cli(jobs, kubectl, "logs", "digits-mlp")
    epochs = [
        line for line in printed.splitlines() if '"status": "RUNNING"' in line and '"max_epoch": 40' in line
    ]
    assert len(epochs) >= 40
    assert "accuracy" in cli(jobs, kubectl, "watch", "digits-mlp")

    kubectl.run("delete", "pod", "--selector=trainyard.dev/job=digits-mlp", f"--namespace={where}")
    assert cli(jobs, kubectl, "logs", "digits-mlp") == printed, (
        "the stored log is the pod's log, line by line"
    )
    assert jobs.status("digits-mlp")["phase"] == "Done", "a finished job stays finished without its pod"


def test_the_operator_asks_for_nothing_that_the_chart_does_not_grant(
    operator_installed: ClusterHandle, jobs: Jobs
) -> None:
    if not operator_installed.made_by_us:
        pytest.skip("the audit log of a cluster of yours is yours")
    jobs.create("plain", image="localhost:1/nothing:1", tolerations=[GPU_TOLERATION])
    jobs.reaches("plain", "Pending", "ImagePullFailed", timeout=60)
    account = f"system:serviceaccount:{chart.NAMESPACE}:trainyard"
    asked = [e for e in kindcluster.audit_events(operator_installed) if e["user"]["username"] == account]
    made = {(e["verb"], (e.get("objectRef") or {}).get("resource")) for e in asked}
    assert {("create", "pods"), ("patch", "trainingjobs"), ("create", "events")} <= made
    # NB: by the authorizer's word: a namespace that is being deleted refuses with 403 as well.
    decision = "authorization.k8s.io/decision"
    refused = [
        (e["verb"], e["requestURI"]) for e in asked if (e.get("annotations") or {}).get(decision) == "forbid"
    ]
    assert not refused
