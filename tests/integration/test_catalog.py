"""Entries of one's own on a real API server: from a folder of the settings to the pods of jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.harness import controlplane, kwok
from tests.harness import operator as operators
from tests.harness.client import Client, Json
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.integration.test_chart import objects
from tests.objects import Jobs
from trainyard.cli import main

pytestmark = pytest.mark.timeout(180)

ENTRY = {
    "name": "ours",
    "image": "registry.example.com/ours:1",
    "architectures": ["resnet50"],
    "runAsUser": 1000,
    "env": {"HOME": "/tmp"},
    "actions": {
        "train": {
            "command": ["python3", "-c", {"file": "go.py"}],
            "args": ["$(TRAINYARD_TYPE)"],
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "epochs": {"type": "integer", "minimum": 1},
                    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
                },
            },
            "defaults": {"epochs": 10},
        }
    },
}
FILES = {"ours.yaml": yaml.safe_dump(ENTRY), "go.py": "print('$(HOME)')\n"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this module's own, with an operator whose settings name a folder."""
    folder = tmp_path_factory.mktemp("catalog")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    with controlplane.running("test-catalog", config) as plane:
        operators.install(plane)
        kwok.start(plane)
        kwok.add_nodes(plane, 1)
        with operators.running(plane, name="operator", settings={"catalogFolders": [str(folder)]}):
            yield plane


@pytest.fixture
def admin(plane: ControlPlane) -> Iterator[Client]:
    with plane.client() as client:
        yield client


def trainer(jobs: Jobs, job: str) -> Json:
    (pod,) = jobs.pods(job)
    (container,) = [one for one in pod["spec"]["containers"] if one["name"] == "trainer"]
    return {**container, "runAsUser": pod["spec"]["securityContext"].get("runAsUser")}


def test_a_job_runs_by_an_entry_of_ones_own(jobs: Jobs) -> None:
    jobs.create("resnet", architecture="resnet50", parameters={"learning_rate": "0.1"})
    jobs.reaches("resnet", "Done")
    container = trainer(jobs, "resnet")
    assert container["image"] == "registry.example.com/ours:1"
    assert container["command"] == ["python3", "-c", "print('$$(HOME)')\n"]
    assert container["args"] == ["$(TRAINYARD_TYPE)"]
    assert container["runAsUser"] == 1000
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert orjson.loads(env["TRAINYARD_PARAMETERS"]) == {"epochs": 10, "learning_rate": 0.1}
    assert (env["TRAINYARD_TYPE"], env["HOME"]) == ("resnet50", "/tmp")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param(
            {"architecture": "resnet50", "parameters": {"epoch": 3}},
            "parameters.epoch is not known: did you mean epochs?",
            id="a parameter's typo",
        ),
        pytest.param(
            {"architecture": "resnet50", "parameters": {"epochs": 0}},
            "parameters.epochs must be at least 1, but is 0.",
            id="a parameter out of its range",
        ),
        pytest.param(
            {"type": "neural_network", "parameters": {"epochz": 3}},
            "parameters.epochz is not known: did you mean epochs?",
            id="a typo for the reference trainer",
        ),
        pytest.param(
            {"architecture": "resnet5"},
            "No runtime for architecture resnet5: did you mean resnet50 or retinanet?",
            id="an architecture's typo",
        ),
        pytest.param(
            {"architecture": "resnet50", "action": "prune"},
            "There is no action prune for resnet50: it has train.",
            id="an action that the entry lacks",
        ),
        pytest.param(
            {"runtime": "reference"},
            "Action train of runtime reference has to know the type. Give type instead of runtime, one of "
            "decision_tree, neural_network, random_forest, regression.",
            id="a runtime where the type matters",
        ),
    ],
)
def test_what_cannot_be_run_is_invalid_and_no_pod_is_made(
    jobs: Jobs, spec: dict[str, Any], sentence: str
) -> None:
    jobs.create("wrong", **spec)
    status = jobs.reaches("wrong", "Error", "InvalidSpec")
    assert status["message"].startswith(sentence)
    assert jobs.pods("wrong") == []


def commands_of(plane: ControlPlane, namespace: str, *words: str) -> Result:
    where = ["--cluster", "--operator-namespace", namespace, "--kubeconfig", str(plane.admin)]
    return CliRunner().invoke(main, [*words, *where])


def test_the_commands_show_the_config_maps_that_the_operators_deployment_mounts(
    plane: ControlPlane, admin: Client, namespace: str
) -> None:
    values = (
        f"catalog={json.dumps({'own.yaml': {**ENTRY, 'name': 'own', 'architectures': ['own']}, 'go.py': ''})}",
    )
    (deployment,) = objects("Deployment", *values, 'catalogConfigMaps=["mounted"]')
    (own,) = [one for one in objects("ConfigMap", *values) if one["metadata"]["name"] == "trainyard-catalog"]
    command = {"train": {"command": ["train"]}}
    maps = {
        name: {"name": name, "architectures": [name], "actions": command}
        for name in ("mounted", "lying-about")
    }
    for one in (deployment, own):
        one["metadata"]["namespace"] = namespace
    admin.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment)

    missing = commands_of(plane, namespace, "runtimes")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("Error: ConfigMap trainyard-catalog is not there")

    admin.post(f"/api/v1/namespaces/{namespace}/configmaps", own)
    for name, entry in maps.items():
        data = {f"{name}.yaml": yaml.safe_dump(entry), ".hidden.yaml": "]"}
        admin.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}, "data": data})
    table = commands_of(plane, namespace, "runtimes")
    assert table.exit_code == 0, table.output
    assert "\nmounted " in table.stdout
    assert "\nown " in table.stdout
    assert "lying-about" not in table.stdout
    schema = commands_of(plane, namespace, "schema", "own", "train")
    assert orjson.loads(schema.stdout)["properties"]["epochs"] == {
        "type": "integer",
        "minimum": 1,
        "default": 10,
    }


def test_the_commands_say_where_no_operator_is(plane: ControlPlane, namespace: str) -> None:
    done = commands_of(plane, namespace, "runtimes")
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: Namespace {namespace} has 0 Deployments of a Trainyard operator, not 1: give the operator's "
        "namespace as --operator-namespace.\n"
    )
