"""MLflow's registry as a target, on a real tracking server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import runs
import servers
import urllib3
from runs import FILES, Publisher

# NB: the server takes half a minute to start, and the first time MLflow is got from the package index.
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.serving(servers.MLFLOW, tmp_path_factory.mktemp("mlflow")) as said:
        yield str(said["endpoint"])


class Registry:
    """A registered model of a name of its own."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.name = f"champ {hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        self.publisher = Publisher(folder=folder, namespace=f"team-{folder.name}"[:60])
        self.told = {"uri": f"mlflow://{self.name.replace(' ', '%20')}", "endpoint": endpoint}

    def ask(self, path: str, method: str = "GET", **body: Any) -> Any:
        answer = (
            urllib3.request(method, f"{self.endpoint}/api/2.0/mlflow/{path}", json=body or None)
            if (method != "GET")
            else urllib3.request("GET", f"{self.endpoint}/api/2.0/mlflow/{path}", fields=body)
        )
        return answer.json() if answer.status == 200 else {}

    @property
    def model(self) -> Any:
        return self.ask("registered-models/get", name=self.name).get("registered_model")

    def versions(self) -> list[Any]:
        return list(
            self.ask("model-versions/search", filter=f"name='{self.name}'").get("model_versions") or []
        )

    def files(self, version: Any) -> dict[str, bytes]:
        """What lies at the source of a version, as MLflow's clients fetch it."""
        folder = version["source"].removeprefix("mlflow-artifacts:/")
        base = f"{self.endpoint}/api/2.0/mlflow-artifacts/artifacts"
        found, folders = {}, [""]
        while folders:
            below = folders.pop()
            listed = urllib3.request("GET", base, fields={"path": f"{folder}/{below}".rstrip("/")}).json()
            for one in listed.get("files") or ():
                name = f"{below}{one['path'].rpartition('/')[2]}"
                if one["is_dir"]:
                    folders.append(f"{name}/")
                else:
                    found[name] = urllib3.request("GET", f"{base}/{folder}/{name.replace(' ', '%20')}").data
        return found


@pytest.fixture
def there(server: str, tmp_path: Path) -> Registry:
    return Registry(server, tmp_path)


METADATA = {
    "time": "2026-11-22T10:00:00Z",
    "metrics": {"accuracy": "0.97", "lost": "NaN"},
    "lineage": {"job": "champ-train-3", "imageDigest": "sha256:1234"},
}


def test_a_version_is_registered_with_its_files_aliases_tags_and_metrics(
    there: Registry, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    done = there.publisher.publish(
        folder, **there.told, aliases=["champion"], metadata=METADATA, description="Of digits."
    )
    assert done.published == {"uri": f"models:/{there.name}/1", "digest": runs.digest(folder), "version": "1"}
    (version,) = there.versions()
    tags = {one["key"]: one["value"] for one in version["tags"]}
    assert tags == {
        "trainyard.owner": f"{there.publisher.namespace}/champ/default",
        "trainyard.digest": runs.digest(folder),
        "trainyard.version": "3",
        "trainyard.job": "champ-train-3",
        "trainyard.imageDigest": "sha256:1234",
    }
    assert version["description"] == runs.CARD.decode()
    assert (there.model["description"], there.model["aliases"]) == (
        "Of digits.",
        [{"alias": "champion", "version": "1"}],
    )
    run = there.ask("runs/get", run_id=version["run_id"])["run"]
    assert run["info"]["status"] == "FINISHED"
    assert [(one["key"], one["value"], one["timestamp"]) for one in run["data"]["metrics"]] == [
        ("accuracy", 0.97, 1795341600000)
    ]
    artifacts = (folder / "artifacts.json").read_bytes()
    assert there.files(version) == {**FILES, "README.md": runs.CARD, "artifacts.json": artifacts}


def test_the_same_again_registers_nothing_and_a_new_version_is_another_one(
    there: Registry, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    first = there.publisher.publish(folder, **there.told, aliases=["champion"])
    again = there.publisher.publish(folder, **there.told, aliases=["champion", "prod"])
    assert (again.sent, again.published) == (0, first.published)
    newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx"})
    assert (
        there.publisher.publish(newer, **{**there.told, "version": 4}, aliases=["champion"]).published[
            "version"
        ]
        == "2"
    )
    assert sorted((one["alias"], one["version"]) for one in there.model["aliases"]) == [
        ("champion", "2"),
        ("prod", "1"),
    ]


def test_a_run_that_ended_half_way_is_gone_on_from(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    data = (folder / "plots/confusion matrix.csv").read_bytes()
    (folder / "plots/confusion matrix.csv").write_bytes(b"x" * len(data))
    broken = there.publisher.publish(folder, **there.told)
    assert broken.code == 2
    assert "is not what the version's artifacts.json says" in broken.message
    assert there.versions() == []
    (folder / "plots/confusion matrix.csv").write_bytes(data)
    done = there.publisher.publish(folder, **there.told)
    assert (done.sent, len(there.versions())) == (2, 1), "the one file, and the list after it"
    experiment = there.ask("experiments/get-by-name", experiment_name=f"{there.publisher.namespace}/champ")
    body = {"experiment_ids": [experiment["experiment"]["experiment_id"]]}
    assert len(there.ask("runs/search", "POST", **body)["runs"]) == 1


def test_unpublished_is_what_was_registered_and_nothing_else(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    there.publisher.publish(folder, **there.told)
    there.ask("model-versions/create", "POST", name=there.name, source="s3://theirs/model")
    (theirs, ours) = sorted(there.versions(), key=lambda one: one["source"], reverse=True)
    done = there.publisher.unpublish(**there.told)
    assert (done.code, done.message) == (0, f"1 versions of {there.name} are removed")
    assert [one["version"] for one in there.versions()] == [theirs["version"]]
    assert there.files(ours) == {}
    assert there.ask("runs/get", run_id=ours["run_id"])["run"]["info"]["lifecycle_stage"] == "deleted"
    there.ask("model-versions/delete", "DELETE", name=there.name, version=theirs["version"])
    last = there.publisher.unpublish(**there.told)
    assert last.message == f"0 versions of {there.name} are removed, and the model with them"
    assert there.model is None
    assert there.publisher.unpublish(**there.told).code == 0


def test_an_alias_of_a_version_that_is_not_ours_is_not_moved(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    there.ask("registered-models/create", "POST", name=there.name)
    there.ask("model-versions/create", "POST", name=there.name, source="s3://theirs/model")
    there.ask("registered-models/alias", "POST", name=there.name, alias="prod", version="1")
    done = there.publisher.publish(folder, **there.told, aliases=["champion", "prod"])
    assert (done.code, f"Alias prod of {there.name}" in done.message) == (2, True), done.message
    assert (there.model["aliases"], len(there.versions())) == ([{"alias": "prod", "version": "1"}], 1)
    assert there.publisher.publish(folder, **there.told, aliases=["champion"]).code == 0


def test_an_alias_that_is_wanted_no_longer_is_taken_back_and_none_of_another_version(
    there: Registry, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    there.publisher.publish(folder, **there.told, aliases=["champion", "prod"])
    there.ask("model-versions/create", "POST", name=there.name, source="s3://theirs/model")
    there.ask("registered-models/alias", "POST", name=there.name, alias="theirs", version="2")
    newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx"})
    former = ["champion", "theirs", "never"]
    done = there.publisher.publish(
        newer, **{**there.told, "version": 4}, aliases=["prod"], formerAliases=former
    )
    assert done.code == 0, done.log
    assert sorted((one["alias"], one["version"]) for one in there.model["aliases"]) == [
        ("prod", "3"),
        ("theirs", "2"),
    ]


def test_what_a_run_that_ended_half_way_has_left_is_unpublished_as_well(
    there: Registry, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    (folder / "plots/confusion matrix.csv").write_bytes(b"another")
    assert there.publisher.publish(folder, **there.told).code == 2
    experiment = there.ask("experiments/get-by-name", experiment_name=f"{there.publisher.namespace}/champ")
    body = {"experiment_ids": [experiment["experiment"]["experiment_id"]]}
    (run,) = there.ask("runs/search", "POST", **body)["runs"]
    left = {"source": f"{run['info']['artifact_uri']}/model"}
    assert sorted(there.files(left)) == ["README.md", "metrics.json", "model.joblib"]
    assert there.publisher.unpublish(**there.told).code == 0
    assert there.files(left) == {}
    assert there.ask("runs/search", "POST", **body).get("runs") is None


def test_a_deleted_version_is_published_again(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    there.publisher.publish(folder, **there.told)
    there.publisher.unpublish(**there.told)
    assert there.publisher.publish(folder, **there.told).sent == 5
    assert len(there.versions()) == 1


def test_a_server_that_cannot_be_used_is_told(
    there: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINYARD_PATIENCE_SECONDS", "1")
    folder = runs.version(tmp_path / "champ")
    silent = there.publisher.publish(folder, **{**there.told, "endpoint": "http://127.0.0.1:9"})
    assert (silent.code, "does not answer" in silent.message) == (1, True)
    nowhere = there.publisher.publish(folder, **{**there.told, "endpoint": ""})
    assert (nowhere.code, "endpoint is not given" in nowhere.message) == (2, True)
    assert json.loads((tmp_path / "verdict").read_text())["status"] == "FAILURE"
