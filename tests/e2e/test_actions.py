"""Every action of the reference trainer, one upon the other, in real pods by the example's manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.claims import files_at
from tests.harness import demo
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(600)

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICKSTART, ACTIONS = EXAMPLES / "quickstart", EXAMPLES / "actions" / "tree.yaml"
FILES = {
    "tree": "model.joblib",
    "tree-pruned": "model.joblib",
    "tree-retrained": "model.joblib",
    "tree-onnx": "model.onnx",
    "tree-predictions": "predictions.csv",
}


def test_a_model_is_pruned_trained_on_measured_exported_and_applied(
    jobs: Jobs, kubectl: Kubectl, trainer_image: str
) -> None:
    where = jobs.namespace
    kubectl.apply(demo.manifests(QUICKSTART / "00-data.yaml", trainer=trainer_image), namespace=where)
    fill = ("job/quickstart-fill", f"--namespace={where}")
    kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
    objects = demo.manifests(QUICKSTART / "10-datasets.yaml", trainer=trainer_image, namespace=where)
    gpus = any("nvidia.com/gpu" in n["status"]["capacity"] for n in jobs.client.list("/api/v1/nodes"))
    steps = demo.manifests(ACTIONS, trainer=trainer_image, namespace=where, gpus=gpus)
    kubectl.apply([*objects, *steps], namespace=where)
    statuses = {
        name: jobs.reaches(name, "Done", timeout=240) for name in (s["metadata"]["name"] for s in steps)
    }
    accuracy = {
        name: float(metric["value"])
        for name, status in statuses.items()
        for metric in status["metrics"]
        if metric["name"] == "accuracy"
    }
    assert accuracy["tree"] > 0.75
    assert accuracy["tree-pruned"] > accuracy["tree"] - 0.05
    assert accuracy["tree-eval"] == accuracy["tree-retrained"]
    left = {
        name: files_at(jobs, trainer_image, statuses[name]["artifacts"][0]["uri"], pod=f"look-{name}")
        for name in FILES
    }
    assert {name: file for name, file in FILES.items() if file not in left[name]} == {}, left
