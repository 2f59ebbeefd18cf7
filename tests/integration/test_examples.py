"""Every manifest in examples/, applied as it stands to a real API server with an operator.

Each is accepted and kept as it was sent. Each is then acted upon, or its status names the fields that are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.client import Client, Json
from tests.objects import API, Jobs, found, keeps
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.support import not_yet_supported

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))


def documents(file: Path) -> list[Json]:
    return [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]


def ours(file: Path) -> list[Json]:
    return [document for document in documents(file) if document["apiVersion"] == API]


def applied(client: Client, document: Json, namespace: str) -> tuple[str, Json]:
    """Path and stored object of what `kubectl apply --server-side` would make of the document in the namespace."""
    metadata: Json = {"namespace": namespace, **document["metadata"]}
    path = client.path_of({**document, "metadata": metadata})
    if "/namespaces/" not in path:
        del metadata["namespace"]
    query = {"fieldManager": "kubectl", "force": "true", "fieldValidation": "Strict"}
    return path, client.patch(path, {**document, "metadata": metadata}, kind="apply", **query)


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(EXAMPLES)) for file in FILES])
def test_an_example_is_accepted_and_acted_upon_or_says_what_is_not(jobs: Jobs, file: Path) -> None:
    objects = [(document, *applied(jobs.client, document, jobs.namespace)) for document in documents(file)]
    for document, path, stored in objects:
        if document["apiVersion"] != API:
            continue
        name = f"{document['kind']} {document['metadata']['name']}"
        assert keeps(stored["spec"], document["spec"]), f"{name} is not kept as it was sent"
        assert stored["metadata"].get("labels", {}) == document["metadata"].get("labels", {})
        status = looked_at(jobs.client, path, name)
        without_effect = not_yet_supported(document["kind"], document["spec"])
        if without_effect:
            assert (status["reason"], status["message"]) == ("NotYetSupported", without_effect), name
        else:
            assert status["reason"] != "NotYetSupported", name
            assert status["phase"] != "Error", f"{name}: {status['message']}"


def looked_at(client: Client, path: str, name: str) -> Json:
    """The status once it speaks of the spec as it is."""

    def there() -> Json | None:
        stored: Json = client.get(path)
        current = stored["status"].get("observedGeneration") == stored["metadata"]["generation"]
        return stored["status"] if current and stored["status"].get("reason") else None

    status: Json = found(there, what=f"the status of {name}")
    return status


def test_every_kind_has_an_example_that_is_acted_upon() -> None:
    acted_upon = {
        document["kind"]
        for file in FILES
        for document in ours(file)
        if not_yet_supported(document["kind"], document["spec"]) is None
    }
    assert acted_upon == {"TrainingJob", "Dataset", "Experiment", "MLModel"}


def test_the_jobs_in_the_examples_show_every_field() -> None:
    every = {field.alias or name for name, field in TrainingJobSpec.model_fields.items()}
    shown: set[str] = set()
    for file in (EXAMPLES / "kinds").glob("trainingjob-*.yaml"):
        for document in ours(file):
            shown |= document["spec"].keys()
    assert shown >= every, f"not shown: {sorted(every - shown)}"


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(EXAMPLES)) for file in FILES])
def test_an_example_of_what_nothing_acts_on_says_where_that_is_told(file: Path) -> None:
    waits = any(not_yet_supported(document["kind"], document["spec"]) for document in ours(file))
    assert ("docs/support.md" in file.read_text(encoding="utf-8")) == waits


def test_names_in_the_examples_are_their_own() -> None:
    names: list[Any] = [
        (document["kind"], document["metadata"]["name"]) for file in FILES for document in documents(file)
    ]
    assert len(names) == len(set(names)), "all of examples/ can be applied to one namespace"
