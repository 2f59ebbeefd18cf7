"""The life of a model with real pods, in YAML and by the command line, with the lineage that leads from a version back
to the bytes of its data. Then a version that somebody has tampered with, and the examples.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.claims import files_at
from tests.e2e.datasets import SECRET, Data, digest_of
from tests.harness import demo, s3pod
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.integration.models import Models
from tests.objects import found, manifest

pytestmark = pytest.mark.timeout(600)

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICKSTART, OURS = EXAMPLES / "quickstart", EXAMPLES / "models"
#: What is asked of every pod of these tests: little, and the taint of a GPU node is none of their business.
PLACE: Json = {
    "tolerations": [GPU_TOLERATION],
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
    "backoffLimit": 0,
}


def rooms(seed: int, *, rows: int = 240, turned: bool = False) -> bytes:
    """A table of rooms: it is too warm where the sun shines and the heating is on. `turned`: of a house where all of it
    is the other way round.
    """
    drawn = random.Random(seed)
    lines = ["sun,heating,floor,warm"]
    for _ in range(rows):
        sun, heating = drawn.random(), drawn.random()
        warm = (sun + heating > 1.0) != turned
        lines.append(f"{sun:.4f},{heating:.4f},{drawn.randrange(4)},{'yes' if warm else 'no'}")
    return "\n".join([*lines, ""]).encode()


class House(Models):
    """A namespace with a bucket of tables, and the command line in it."""

    def __init__(self, client: Client, handle: ClusterHandle, store: s3pod.S3Pod, image: str) -> None:
        super().__init__(client, store.namespace)
        self.kubectl = Kubectl(handle)
        self.data = Data(client, handle, store, image)
        self.store = store
        self.kubectl.apply([store.secret(SECRET)], namespace=self.namespace)

    def cli(self, *words: str, code: int = 0) -> str:
        """What `trainyard WORD...` prints."""
        argv = [sys.executable, "-m", "trainyard", *words, "-n", self.namespace, *self.kubectl.flags]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def output(self) -> Json:
        where = {"uri": f"s3://{self.store.bucket}/made", "endpoint": self.store.endpoint}
        return {**where, "region": "us-east-1", "secretRef": {"name": SECRET}}

    def applied(self, name: str, **spec: Any) -> None:
        """`kubectl apply` of an MLModel."""
        self.kubectl.apply([manifest("MLModel", name, spec)], namespace=self.namespace)

    def evaluates(self, name: str, **base: Any) -> None:
        """POST a job that measures a version as it is."""
        spec = {
            **PLACE,
            "action": "evaluate",
            "type": "decision_tree",
            "datasets": {"eval": "rooms"},
            "baseModels": [{**base, "isPtmBackbone": False}],
        }
        self.client.post(self.path("trainingjobs"), manifest("TrainingJob", name, spec))

    def stored(self, uri: str) -> dict[str, bytes]:
        """The files of a folder of the bucket, by their names in it."""
        prefix = uri.removeprefix(f"s3://{self.store.bucket}/").rstrip("/")
        return {key.removeprefix(f"{prefix}/"): data for key, data in self.store.objects(prefix).items()}

    def metric(self, job: str, name: str) -> float:
        (value,) = [float(one["value"]) for one in self.status(job)["metrics"] if one["name"] == name]
        return value


@pytest.fixture
def house(
    operator_installed: ClusterHandle, cluster_admin: Client, namespace: str, python_image: str
) -> House:
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    store = s3pod.install(operator_installed, namespace, bucket="house")
    return House(cluster_admin, operator_installed, store, python_image)


def test_a_model_from_draft_to_deletion(house: House) -> None:
    tables = {"january.csv": rooms(1), "february.csv": rooms(2)}
    house.data.fill("rooms", tables)
    house.data.fill("elsewhere", {"march.csv": rooms(3, turned=True)})
    for name in ("rooms", "elsewhere"):
        house.data.dataset(name)
    about = {
        "displayName": "Warm rooms",
        "description": "Is a room too warm?",
        "trainingConfig": {"train_test_split": "0.8", "random_seed": 42, "target": "warm"},
        "objective": {"metric": "accuracy", "goal": "Maximize"},
        "output": house.output,
        "training": {"enabled": False, "jobTemplate": {"spec": PLACE}},
    }

    # A draft: nothing runs.
    house.applied("warm", **about, type="auto")
    house.becomes("warm", "draft")
    assert house.of_model("warm") == {}

    # Which type? With data the model asks for it, and so can anybody by the command line.
    data = {"datasets": {"train": ["rooms"]}, "recommendation": {"target": "warm", "folds": 3}}
    kinds = ["decision_tree", "random_forest", "neural_network"]
    data["recommendation"]["candidates"] = kinds
    house.applied("warm", **about, **data, type="auto")
    advice = found(lambda: house.told_of("warm").get("recommendation"), what="a type", timeout=120)
    assert advice["measured"] is True
    assert set(advice["allScores"]) == set(kinds)
    assert advice["score"] == advice["allScores"][advice["type"]] == max(advice["allScores"].values())
    assert advice["dataAnalysis"]["recordCount"] == 480
    assert advice["type"] in advice["reasoning"]
    assert house.told_of("warm")["lifecycle"] == "draft"

    # Trained, as a tree whatever was advised: a person decides. From auto the type may be set once.
    told = {**about, **data, "type": "decision_tree"}
    house.applied("warm", **told)
    house.cli("train", "model", "warm", "--wait")
    status = house.becomes("warm", "trained", version=1)
    first = house.versions("warm")[1]
    assert float(status["keyMetric"]["value"]) > 0.85
    assert {"accuracy", "f1_score", "precision", "recall"} <= {m["name"] for m in first["performanceMetrics"]}

    # Where it comes from, back to the bytes: its artifacts, its image, its data.
    made = house.stored(first["uri"])
    listing = made["artifacts.json"]
    assert hashlib.sha256(listing).hexdigest() == first["sha256"]
    for file in json.loads(listing)["files"]:
        assert hashlib.sha256(made[file["path"]]).hexdigest() == file["sha256"]
    lineage = first["lineage"]
    assert lineage["job"] == "warm-train-1"
    assert lineage["imageDigest"].startswith("sha256:")
    (used,) = lineage["datasets"]
    assert used["name"] == "rooms"
    assert used["sha256"] == digest_of(tables), "of the bytes that lie in the bucket"
    (dataset,) = [house.client.get(house.path("datasets", "rooms"))]
    assert used["uid"] == dataset["metadata"]["uid"]

    # Its card is stored beside it.
    found(lambda: house.versions("warm")[1].get("card"), what="the card of version 1", timeout=60)
    card = house.cli("card", "model", "warm")
    for word in ("accuracy", digest_of(tables), "warm-train-1", "rooms"):
        assert word in card

    # Another one, with one parameter changed; the alias moves to it.
    house.cli("train", "model", "warm", "--set", "max_depth=3", "--wait")
    house.becomes("warm", "trained", version=2)
    second = house.versions("warm")[2]
    job = house.get(second["lineage"]["job"])
    assert job["spec"]["parameters"]["max_depth"] == 3
    assert job["spec"]["parameters"]["random_seed"] == 42
    house.cli("alias", "model", "warm", "champion=2")
    found(lambda: house.told_of("warm").get("aliases"), what="the alias")
    house.evaluates("serves", model="warm", alias="champion")
    house.reaches("serves", "Done", timeout=120)
    assert house.status("serves")["baseModels"][0]["version"] == 2
    assert house.metric("serves", "accuracy") > 0.85

    # One that fails leaves what there is.
    house.cli("train", "model", "warm", "--set", "target=humidity", "--wait", code=4)
    status = house.becomes("warm", "failed", version=2)
    assert "humidity" in status["message"]
    house.cli("train", "model", "warm", "--wait")
    house.becomes("warm", "trained", version=3)

    # Measured each minute on a house where it is wrong: degraded, with the measurement.
    watch = {
        "schedule": "* * * * *",
        "dataset": "elsewhere",
        "metric": "accuracy",
        "threshold": "0.8",
        "jobTemplate": {"spec": PLACE},
    }
    told["aliases"] = [{"name": "champion", "version": 2}]
    house.applied("warm", **told, monitor=watch)
    status = house.becomes("warm", "degraded", timeout=150)
    (newest, *_) = status["monitor"]["history"]
    assert float(newest["value"]) < 0.3
    assert newest["value"][:5] in status["message"]
    assert {one["column"] for one in status["monitor"]["drift"]} == {"sun", "heating", "floor"}

    # Deprecated, archived, gone.
    house.applied("warm", **told)
    house.cli("deprecate", "model", "warm")
    house.becomes("warm", "deprecated")
    house.cli("archive", "model", "warm")
    house.becomes("warm", "archived")
    printed = house.cli("describe", "model", "warm")
    for word in ("archived", "champion", "warm-train-1"):
        assert word in printed
    house.cli("delete", "model", "warm", "--yes")
    found(lambda: house.client.find(house.path("mlmodels", "warm")) is None, what="it to go", timeout=60)
    assert house.stored(first["uri"])["artifacts.json"] == listing, "what it made is kept"


def test_a_version_that_was_tampered_with_is_not_served(house: House) -> None:
    house.data.fill("rooms", {"january.csv": rooms(1)})
    house.data.dataset("rooms")
    house.applied(
        "honest",
        type="decision_tree",
        trainingConfig={"target": "warm", "random_seed": 1},
        datasets={"train": ["rooms"]},
        output=house.output,
        training={"jobTemplate": {"spec": PLACE}},
    )
    house.becomes("honest", "trained", version=1, timeout=120)
    version = house.versions("honest")[1]
    files = house.stored(version["uri"])
    listed = {one["path"]: one for one in json.loads(files["artifacts.json"])["files"]}
    path = next(name for name in listed if name.startswith("model"))
    prefix = version["uri"].removeprefix(f"s3://{house.store.bucket}/").rstrip("/")

    changed = bytes([files[path][0] ^ 1]) + files[path][1:]
    house.store.write({f"{prefix}/{path}": changed})
    house.evaluates("fooled", model="honest", version=1)
    refused = house.reaches("fooled", "Error", "ModelFailed", timeout=90)
    for word in (path, listed[path]["sha256"], hashlib.sha256(changed).hexdigest()):
        assert word in refused["message"], refused["message"]
    assert len(refused["attempts"]) == 1, "another attempt would find the same"
    assert refused["baseModels"][0]["pull"] == "invalid_pull"

    # With a list that goes with the change it is still another version than the one that was registered.
    listing = files["artifacts.json"].replace(
        listed[path]["sha256"].encode(), hashlib.sha256(changed).hexdigest().encode()
    )
    house.store.write({f"{prefix}/artifacts.json": listing})
    house.evaluates("fooled-again", model="honest", version=1)
    refused = house.reaches("fooled-again", "Error", "ModelFailed", timeout=90)
    assert version["sha256"] in refused["message"]

    house.store.write({f"{prefix}/{path}": files[path], f"{prefix}/artifacts.json": files["artifacts.json"]})
    house.evaluates("served", model="honest", version=1)
    house.reaches("served", "Done", timeout=90)


@pytest.fixture(scope="module")
def field(operator_installed: ClusterHandle, trainer_image: str) -> Iterator[Models]:
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
        yield Models(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


def test_the_examples_do_what_they_say(field: Models, kubectl: Kubectl, trainer_image: str) -> None:
    gpus = demo.offers_gpus(kubectl)
    for file in sorted(OURS.glob("*.yaml")):
        objects = demo.manifests(file, trainer=trainer_image, namespace=field.namespace, gpus=gpus)
        kubectl.apply(objects, namespace=field.namespace)

    # The champion is published, and a training goes on from it.
    field.becomes("digits-net", "trained", version=2, timeout=240)
    versions = field.versions("digits-net")
    assert versions[2]["lineage"]["job"] == "digits-net-warm"
    assert versions[2]["lineage"]["parentVersion"] == 1
    accuracy = {
        number: float(next(m["value"] for m in one["performanceMetrics"] if m["name"] == "accuracy"))
        for number, one in versions.items()
    }
    assert accuracy[1] > 0.9
    assert accuracy[2] > 0.9, "five epochs are enough from there"
    (served,) = found(
        lambda: [one for one in field.told_of("digits-net")["published"] if one["state"] == "Published"],
        what="the champion to be published",
        timeout=120,
    )
    assert served["version"] == 1
    assert "artifacts.json" in files_at(field, trainer_image, served["uri"])

    auto = field.becomes("digits-which", "trained", version=1, timeout=240)
    assert auto["recommendation"]["measured"] is True
    assert auto["versions"][0]["lineage"]["architecture"] == auto["recommendation"]["type"]
    tuned = field.becomes("digits-tuned", "trained", version=1, timeout=240)
    assert tuned["versions"][0]["lineage"]["experiment"] == "digits-tuned-x1"
    toy = field.becomes("temperature-demo", "trained", version=1, timeout=120)
    assert toy["versions"][0]["syntheticData"] is True
    assert "synthetic" in toy["message"]
