"""Experiments with real pods: the examples do what they say, and a search does with its trials what its table says."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.claims import files_at
from tests.e2e.datasets import SECRET, Data, table
from tests.harness import demo, s3pod
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.integration.experiments import Experiments, searched, step
from trainyard.search.brackets import brackets

pytestmark = pytest.mark.timeout(600)

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICKSTART, OURS = EXAMPLES / "quickstart", EXAMPLES / "experiments"
#: Of Hyperband with this R and nu = 3: the pods that there are, the epochs that they train, and the most seconds.
SIZES = {9: (22, 69, 360), 27: (69, 357, 1500)}
_TRAINER = """
import json, os, pathlib
parameters = json.loads(os.environ["TRAINYARD_PARAMETERS"])
top = pathlib.Path(os.environ["TRAINYARD_DATA_DIR"]) / "shared"
rows = sum(len(file.read_text().splitlines()) - 1 for file in top.glob("*.csv"))
print(json.dumps({"status": "RUNNING", "epoch": 1, "max_epoch": 1, "kpi": {"rows": rows, "score": parameters["x"]}}))
"""


@pytest.fixture(scope="module")
def field(operator_installed: ClusterHandle, trainer_image: str) -> Iterator[Experiments]:
    """A namespace with the quickstart's data, its volumes and its Dataset."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(operator_installed)
    with Client(operator_installed.kubeconfig, context=operator_installed.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        kubectl.apply(demo.manifests(QUICKSTART / "00-data.yaml", trainer=trainer_image), namespace=name)
        fill = ("job/quickstart-fill", f"--namespace={name}")
        kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
        objects = demo.manifests(QUICKSTART / "10-datasets.yaml", trainer=trainer_image, namespace=name)
        kubectl.apply(objects, namespace=name)
        yield Experiments(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


def applied(field: Experiments, kubectl: Kubectl, trainer: str, file: str) -> list[Json]:
    """The objects of an example, as a user would apply them."""
    gpus = demo.offers_gpus(kubectl)
    objects = demo.manifests(OURS / file, trainer=trainer, namespace=field.namespace, gpus=gpus)
    kubectl.apply(objects, namespace=field.namespace)
    return objects


def cli(field: Experiments, kubectl: Kubectl, *words: str) -> str:
    """What `trainyard WORD...` prints."""
    argv = [sys.executable, "-m", "trainyard", *words, "-n", field.namespace, *kubectl.flags]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metric(field: Experiments, job: str, name: str) -> float:
    (value,) = [float(one["value"]) for one in field.status(job)["metrics"] if one["name"] == name]
    return value


def epochs_of(field: Experiments, pod: Json) -> list[int]:
    """The epochs that a trainer has trained, in order, each once: those whose metrics it has told."""
    path = f"/api/v1/namespaces/{field.namespace}/pods/{pod['metadata']['name']}/log?container=trainer"
    told: list[int] = []
    for text in field.client.text(path).splitlines():
        line = json.loads(text) if text.startswith("{") else {}
        if line.get("status") == "RUNNING" and line.get("kpi") and line["epoch"] not in told:
            told.append(line["epoch"])
    return told


def test_a_chain_trains_prunes_retrains_and_exports(
    field: Experiments, kubectl: Kubectl, trainer_image: str
) -> None:
    applied(field, kubectl, trainer_image, "chain.yaml")
    done = field.comes_to("mlp-chain", "Done", "Completed", timeout=240)
    names = ["train", "evaluate", "prune", "retrain", "evaluate-again", "export"]
    assert [one["name"] for one in done["steps"]] == names
    assert {one["phase"] for one in done["steps"]} == {"Done"}
    assert done["progress"]["summary"] == "6/6"
    jobs = {name: f"mlp-chain-{name}" for name in names}
    trained = metric(field, jobs["train"], "accuracy")
    assert trained > 0.9
    assert metric(field, jobs["evaluate"], "accuracy") == trained, "on the rows that were held out"
    assert metric(field, jobs["prune"], "weights") < metric(field, jobs["prune"], "weights_before")
    assert metric(field, jobs["prune"], "accuracy") > trained - 0.06
    assert metric(field, jobs["evaluate-again"], "accuracy") == metric(field, jobs["retrain"], "accuracy")
    exported = field.status(jobs["export"])["artifacts"][0]["uri"]
    assert "model.onnx" in files_at(field, trainer_image, exported)
    printed = cli(field, kubectl, "describe", "experiment", "mlp-chain")
    for name in names:
        assert name in printed
    assert f"accuracy {trained:.4g}" in printed


@pytest.mark.parametrize(
    "resource", [9, pytest.param(27, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_hyperband_runs_what_its_table_says_and_promoted_trials_go_on_where_they_were(
    field: Experiments, kubectl: Kubectl, trainer_image: str, resource: int
) -> None:
    all_pods, all_epochs, seconds = SIZES[resource]
    (experiment,) = demo.manifests(
        OURS / "hyperband.yaml", trainer=trainer_image, gpus=demo.offers_gpus(kubectl)
    )
    name = experiment["metadata"]["name"] = f"mlp-hyperband-{resource}"
    experiment["spec"]["automl"]["maxResource"] = resource
    kubectl.apply([experiment], namespace=field.namespace)
    done = field.comes_to(name, "Done", "Completed", timeout=seconds)
    runs = field.children(name)
    pods = {pod["metadata"]["labels"]["trainyard.dev/job"]: pod for pod in field.pods() if is_of(pod, runs)}
    assert set(pods) == set(runs)
    assert len(pods) == all_pods
    counted: Counter[tuple[int, int, int]] = Counter()
    wanted: dict[tuple[int, int, int], int] = {}
    trained = first = 0
    for bracket in brackets(resource, 3):
        wanted |= {(bracket.s, i, rung.units): rung.configurations for i, rung in enumerate(bracket.rungs)}
        for number in range(first, first + bracket.configurations):
            before = 0
            for index, rung in enumerate(bracket.rungs):
                run = f"{name}-t{number}-r{index}"
                if run not in runs:
                    break
                told = epochs_of(field, pods[run])
                assert told == list(range(before + 1, rung.units + 1)), f"{run}: from its parent's last epoch"
                assert pods[run]["metadata"]["name"] == f"{run}-0-0", "one attempt"
                counted[bracket.s, index, rung.units] += 1
                trained += len(told)
                before = rung.units
        first += bracket.configurations
    assert counted == wanted
    assert trained == all_epochs
    told_rungs = {
        (one["bracket"], one["rung"], one["epochs"]): one["finished"] for one in done["automl"]["rungs"]
    }
    assert told_rungs == wanted
    assert float(done["automl"]["bestTrial"]["value"]) > 0.9
    printed = cli(field, kubectl, "describe", "experiment", name)
    assert f"t{done['automl']['bestTrial']['number']}" in printed


def is_of(pod: Json, jobs: dict[str, Json]) -> bool:
    return pod["metadata"].get("labels", {}).get("trainyard.dev/job") in jobs


def test_a_bayesian_search_asks_its_proposer_and_hands_the_best_on(
    field: Experiments, kubectl: Kubectl, trainer_image: str
) -> None:
    (experiment,) = demo.manifests(
        OURS / "search.yaml", trainer=trainer_image, gpus=demo.offers_gpus(kubectl)
    )
    experiment["spec"]["automl"]["maxRecommendations"] = 6
    kubectl.apply([experiment], namespace=field.namespace)
    done = field.comes_to("mlp-search", "Done", "Completed", timeout=240)
    told = done["automl"]
    assert told["trials"]["total"] == 6
    assert told["trials"]["succeeded"] == 6
    trials = {name: job for name, job in field.children("mlp-search").items() if "-t" in name}
    points = [tuple(sorted(searched(job).items())) for job in trials.values()]
    assert len(set(points)) == 6, "no point twice"
    asked = {
        event["involvedObject"]["name"]
        for event in field.client.list(f"/api/v1/namespaces/{field.namespace}/events")
        if event["reason"] == "Started" and "mlp-search-propose-" in event["involvedObject"]["name"]
    }
    assert asked, "the kubelet has started pods of the tuner"
    best = f"mlp-search-t{told['bestTrial']['number']}-r0"
    assert field.get("mlp-search-evaluate")["spec"]["parentJob"] == best
    assert metric(field, "mlp-search-evaluate", "accuracy") == metric(field, best, "accuracy")
    (folder, *_) = field.status(best)["artifacts"]
    assert "checkpoints" in files_at(field, trainer_image, folder["uri"], pod="look-best")
    printed = cli(field, kubectl, "describe", "experiment", "mlp-search")
    assert "learning_rate" in printed


def test_the_data_is_pulled_once_for_all_trials(
    operator_installed: ClusterHandle, cluster_admin: Client, namespace: str, python_image: str
) -> None:
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    store = s3pod.install(operator_installed, namespace, bucket="data")
    Kubectl(operator_installed).apply([store.secret(SECRET)], namespace=namespace)
    data = Data(cluster_admin, operator_installed, store, python_image)
    files = {f"part-{number}.csv": table(f"part {number}", rows=500) for number in range(8)}
    data.fill("shared", files)
    field = Experiments(cluster_admin, namespace)
    job = {
        "image": python_image,
        "command": ["python3", "-uc", _TRAINER],
        "tolerations": [GPU_TOLERATION],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
    }
    field.begin(
        "shares",
        job=job,
        stored=False,
        datasets={"train": ["shared"]},
        objective={"metric": "score", "goal": "Maximize"},
        automl={
            "algorithm": "grid",
            "parallelism": 4,
            "space": [{"name": "x", "type": "int", "min": "1", "max": "6"}],
            "epochsParameter": "epochs",
        },
        actions=[step("train")],
    )
    data.dataset("shared")
    done = field.comes_to("shares", "Done", timeout=180)
    assert done["automl"]["trials"]["succeeded"] == 6
    assert done["automl"]["bestTrial"]["number"] == 5
    assert {metric(field, name, "rows") for name in field.children("shares")} == {4000.0}
    assert data.gets("shared") == dict.fromkeys(files, 1), "each file once, whoever reads it"
