"""The manifests of examples/datasets, run as they stand but for the address of the server: the containers that the
operator makes of each, as processes, on a real server with data as the manifest speaks of it.

That they are accepted is told by test_examples.py; one with real pods is in tests/e2e/test_datasets.py.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.harness import hub, s3, web
from tests.integration.datastores import s3_client, s3_secret
from trainyard.api.dataset import DatasetSpec
from trainyard.planning import datapods
from trainyard.planning.datapods import VOLUME_DIR, DataRules, Whose

pytestmark = pytest.mark.timeout(120)

EXAMPLES = Path(__file__).parents[2] / "examples" / "datasets"
Json = dict[str, Any]


def table(*columns: str, rows: int = 60) -> bytes:
    """Numbers, with three classes in the last column."""
    lines = [
        ",".join([*(f"{row % 9}.{row % 7}" for _ in columns[1:]), "abc"[row % 3]]) for row in range(rows)
    ]
    return "\n".join([",".join(columns), *lines, ""]).encode()


def wines() -> bytes:
    """What the digest in files.yaml is of."""
    rows = [f"{number % 9}.{number % 7},{number % 5}.5,{3 + number % 6}" for number in range(60)]
    return "\n".join(["acidity,sugar,quality", *rows, ""]).encode()


def shapes() -> bytes:
    """A tar.gz of a folder for each class, with images in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for number in range(12):
            picture = io.BytesIO()
            Image.new("RGB", (16 + number, 16), (number * 20, 0, 0)).save(picture, "PNG")
            entry = tarfile.TarInfo(f"{('circle', 'square', 'star')[number % 3]}/{number}.png")
            entry.size = picture.tell()
            picture.seek(0)
            archive.addfile(entry, picture)
    return packed.getvalue()


def documents(file: str) -> dict[str, Json]:
    """The Datasets of an example, by name."""
    found = yaml.safe_load_all((EXAMPLES / file).read_text(encoding="utf-8"))
    return {one["metadata"]["name"]: one for one in found if one["kind"] == "Dataset"}


class Cluster:
    """Runs the containers of a Dataset's pods, one after the other."""

    def __init__(self, root: Path, document: Json, *, secret: Mapping[str, str], **environment: str) -> None:
        self.root = root
        self.spec = DatasetSpec.model_validate(document["spec"])
        self.whose = Whose(namespace="team", name=document["metadata"]["name"], uid="1")
        self.environment = environment
        (root / "secrets" / "source").mkdir(parents=True)
        (root / "volume").mkdir()
        for name, value in secret.items():
            (root / "secrets" / "source" / name).write_text(value)

    def verdict(self) -> Json:
        """What the check tells in the end, after survey and pull."""
        assert self.spec.source is not None
        survey = datapods.survey(self.whose, self.spec, self.spec.source, number=0, rules=DataRules())
        word = self.run("trainyard_agent", survey["spec"]["containers"][0])
        pull = datapods.pull(
            self.whose,
            self.spec,
            self.spec.source,
            number=1,
            rules=DataRules(),
            claim="data",
            listing=word["listing"],
            digest=False,
        )
        pulled = self.run("trainyard_agent", pull["spec"]["initContainers"][0])
        assert pulled["files"] >= 1
        return self.run("trainyard_data", pull["spec"]["containers"][0], last_line=True)

    def run(self, module: str, container: Json, *, last_line: bool = False) -> Json:
        told = {one["name"]: one["value"].replace("$$", "$") for one in container["env"]}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_"))}
        message = self.root / "message"
        done = subprocess.run(
            [sys.executable, "-m", module, *container["args"]],
            env={
                **kept,
                **self.environment,
                **{
                    k: v.replace(VOLUME_DIR, str(self.root / "volume"))
                    for k, v in told.items()
                    if k != "HOME"
                },
                "TRAINYARD_SECRETS": str(self.root / "secrets"),
                "TRAINYARD_TERMINATION_LOG": str(message),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (message.read_text(), done.stdout[-2000:], done.stderr[-2000:])
        text = done.stdout.splitlines()[-1] if last_line else message.read_text()
        said: Json = json.loads(text)
        return said


def test_the_table_in_a_bucket(tmp_path: Path) -> None:
    (document,) = documents("bucket.yaml").values()
    with s3.running(tmp_path / "s3", "example-data") as server:
        files = {"2025.csv": table("wind", "rain"), "2026.csv": table("wind", "rain"), "raw/x.csv": b"?"}
        s3_client(server).pipe({f"example-data/weather/{path}": data for path, data in files.items()})
        document["spec"]["source"]["endpoint"] = server.endpoint
        said = Cluster(tmp_path / "pods", document, secret=s3_secret(server)).verdict()["check"]
    assert (said["valid"], said["filesChecked"]) == (True, 2), said
    assert (said["profile"]["rows"], said["profile"]["target"]) == (120, "rain")


def test_the_data_set_of_the_hub(tmp_path: Path) -> None:
    (document,) = documents("hub.yaml").values()
    with hub.running() as server:
        server.add(
            "scikit-learn/adult-census-income",
            {"adult.csv": table("age", "hours", "income", rows=900), "README.md": b"# Census"},
        )
        document["spec"]["source"]["endpoint"] = server.endpoint
        said = Cluster(tmp_path / "pods", document, secret={}).verdict()["check"]
    assert said["valid"], said
    assert {one["name"]: one["count"] for one in said["profile"]["classes"]} == {"a": 300, "b": 300, "c": 300}


@pytest.mark.parametrize("name", ["wines", "shapes"])
def test_the_files_over_https(tmp_path: Path, name: str) -> None:
    with web.running(tmp_path / "web") as server:
        server.files = {"/wine/red.csv": wines(), "/wine/download": wines(), "/shapes.tar.gz": shapes()}
        text = json.dumps(documents("files.yaml")[name]).replace("https://example.com", server.url(""))
        cluster = Cluster(tmp_path / "pods", json.loads(text), secret={}, **server.environment)
        said = cluster.verdict()["check"]
    assert said["valid"], said
    if name == "wines":
        assert (said["profile"]["rows"], said["files"]) == (120, 2)
    else:
        assert {one["name"]: one["count"] for one in said["profile"]["classes"]} == dict.fromkeys(
            ("circle", "square", "star"), 4
        )


def test_the_folder_of_a_volume(tmp_path: Path) -> None:
    """Nothing is pulled; the check reads what is there."""
    (document,) = documents("volume.yaml").values()
    cluster = Cluster(tmp_path / "pods", document, secret={})
    assert cluster.spec.source is not None
    folder = tmp_path / "pods" / "volume" / "2026"
    folder.mkdir()
    (folder / "measured.csv").write_bytes(table("x", "label"))
    pull = datapods.pull(
        cluster.whose,
        cluster.spec,
        cluster.spec.source,
        number=0,
        rules=DataRules(),
        claim="measured-data",
        folder="2026",
        listing=None,
        digest=True,
    )
    (container,) = pull["spec"]["containers"]
    said = cluster.run("trainyard_data", container, last_line=True)["check"]
    assert (said["valid"], said["profile"]["rows"]) == (True, 60)
    assert len(said["sha256"]) == 64


def test_every_dataset_of_these_examples_is_run_here() -> None:
    here = {name for file in ("bucket", "hub", "files", "volume") for name in documents(f"{file}.yaml")}
    assert {name for file in EXAMPLES.iterdir() for name in documents(file.name)} == here
