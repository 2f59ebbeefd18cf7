"""From a job's pod to its status: the agent does what the operator orders, with real files and a real S3 server, and
the operator reads what it says.

No cluster: the pod is the one that planning makes, and its init container runs as a process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import s3
from tests.harness.s3 import S3
from tests.unit.planning.builders import a_job, a_pod, a_spec, env_of, plan, said, status_after
from trainyard.api import names
from trainyard.planning import modelview
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podview import ContainerView

Json = dict[str, Any]

pytestmark = pytest.mark.timeout(120)

FOLDER = "u1/attempt-0"
FILES = {"model.json": b'{"weights": [1, 2, 3]}', "profile.json": b'{"version": 1}'}
CARD = b"# champ 3\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3.running(tmp_path_factory.mktemp("s3"), "models") as running:
        yield running


def manifest() -> bytes:
    files = [
        {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in FILES.items()
    ]
    return json.dumps({"files": files}).encode()


DIGEST = hashlib.sha256(manifest()).hexdigest()


class Started:
    """A job that starts from version 3 of a model, whose pod is in a folder."""

    def __init__(self, root: Path, uri: str, *, store: Json | None, card: str) -> None:
        self.root = root
        version = {"number": 3, "uri": uri, "sha256": DIGEST, "store": store, "card": card}
        raw = {"metadata": {"name": "champ", "uid": "m"}, "status": {"versions": [version]}}
        spec = a_spec(baseModels=[{"model": "champ"}], backoffLimit=3)
        self.job: ObservedJob = a_job(spec=spec, models={"champ": modelview.view(raw)})
        (self.body,) = plan(self.job).create

    def fetch(self) -> Plan:
        """The init container runs; what the operator makes of its end."""
        (fetch,) = self.body["spec"]["initContainers"]
        order = next(e["value"] for e in fetch["env"] if e["name"] == "TRAINYARD_AGENT").replace("$$", "$")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environ |= {
            "TRAINYARD_AGENT": order.replace('"/trainyard/', f'"{self.root}/'),
            "TRAINYARD_SECRETS": str(self.root / "secrets"),
            "TRAINYARD_TERMINATION_LOG": str(self.root / "message"),
        }
        argv = [sys.executable, "-m", "trainyard_agent", *fetch["args"]]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=60)
        ended = ContainerView(
            name="trainyard-fetch",
            state="terminated",
            exit_code=done.returncode,
            message=(self.root / "message").read_text(),
        )
        pod = a_pod(
            running=done.returncode == 0,
            phase="Running" if done.returncode == 0 else "Failed",
            init=(ended,),
            base_models=self.body["metadata"]["annotations"][names.BASE_MODELS],
        )
        return plan(dataclasses.replace(self.job, pods=(pod,)))

    @property
    def model(self) -> Json:
        """As the trainer is told of it, with its paths where they are here."""
        (told,) = json.loads(env_of(self.body)["TRAINYARD_BASE_MODELS"])
        here = {name: self.root / Path(told[name]).relative_to("/trainyard") for name in ("path", "card")}
        return {**told, **here}


def mounted(root: Path) -> Started:
    """The version lies on a claim, which is mounted with its card."""
    started = Started(root, f"pvc://out/{FOLDER}", store=None, card="pvc://out/u1/models/champ-3.md")
    started.model["path"].mkdir(parents=True)
    for name, data in {**FILES, "artifacts.json": manifest()}.items():
        (started.model["path"] / name).write_bytes(data)
    started.model["card"].parent.mkdir(parents=True)
    started.model["card"].write_bytes(CARD)
    return started


def in_a_bucket(root: Path, server: S3, prefix: str, *, files: dict[str, bytes]) -> Started:
    """The version lies in a bucket, which a Secret opens."""
    stored = {f"{FOLDER}/{name}": data for name, data in {**files, "artifacts.json": manifest()}.items()}
    for key, data in {**stored, "u1/models/champ-3.md": CARD}.items():
        path = server.folder / "buckets" / "models" / prefix / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    secrets = root / "secrets" / "base-0"
    secrets.mkdir(parents=True)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (secrets / key).write_text(server.environment[key])
    store = {"endpoint": server.endpoint, "region": "us-east-1", "secretRef": {"name": "keys"}}
    where = f"s3://models/{prefix}"
    return Started(root, f"{where}/{FOLDER}", store=store, card=f"{where}/u1/models/champ-3.md")


def is_there(started: Started, found: Plan) -> None:
    (entry,) = status_after(found)["baseModels"]
    assert (entry["pull"], entry["sha256"], entry["version"]) == ("pull_complete", DIGEST, 3)
    assert entry["bytes"] == sum(map(len, FILES.values()))
    assert said(found) == ("Running", "Training")
    assert {name: (started.model["path"] / name).read_bytes() for name in FILES} == FILES
    assert started.model["card"].read_bytes() == CARD


def has_failed(started: Started, found: Plan, *, naming: str) -> None:
    assert said(found) == ("Error", "ModelFailed")
    status = status_after(found)
    assert naming in status["message"]
    assert status["baseModels"][0]["pull"] == "invalid_pull"


def test_a_version_on_a_claim(tmp_path: Path) -> None:
    started = mounted(tmp_path)
    is_there(started, started.fetch())


def test_a_version_in_a_bucket(tmp_path: Path, server: S3) -> None:
    started = in_a_bucket(tmp_path, server, "whole", files=FILES)
    is_there(started, started.fetch())


def test_a_version_on_a_claim_that_somebody_has_changed(tmp_path: Path) -> None:
    started = mounted(tmp_path)
    (started.model["path"] / "model.json").write_bytes(b'{"weights": [1, 2, 4]}')
    has_failed(started, started.fetch(), naming="model.json")


def test_a_version_in_a_bucket_that_somebody_has_changed(tmp_path: Path, server: S3) -> None:
    changed = {**FILES, "model.json": b'{"weights": [1, 2, 4]}'}
    started = in_a_bucket(tmp_path, server, "changed", files=changed)
    has_failed(started, started.fetch(), naming="model.json")
    assert not started.model["path"].exists(), "nothing of it is handed on"


def test_a_version_whose_list_somebody_has_changed_with_it(tmp_path: Path) -> None:
    started = mounted(tmp_path)
    other = b'{"weights": [0]}'
    (started.model["path"] / "model.json").write_bytes(other)
    told = {"path": "model.json", "size": len(other), "sha256": hashlib.sha256(other).hexdigest()}
    (started.model["path"] / "artifacts.json").write_bytes(json.dumps({"files": [told]}).encode())
    has_failed(started, started.fetch(), naming=DIGEST)
