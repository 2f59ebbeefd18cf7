"""A model's life by the command line alone, with an operator on fake nodes."""

from __future__ import annotations

import pytest

from tests.commandline import Cli
from tests.harness.client import Client
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.integration.models import Models
from tests.objects import found

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def models(admin: Client, namespace: str) -> Models:
    return Models(admin, namespace)


@pytest.fixture
def cli(plane_with_nodes: ControlPlane, operator: Operator, namespace: str) -> Cli:
    return Cli(plane_with_nodes.admin, namespace)


def said(cli: Cli, *arguments: str, code: int = 0) -> str:
    result = cli(*arguments)
    assert result.exit_code == code, f"{result.stdout}{result.stderr}"
    return result.stdout if code == 0 else result.stderr.splitlines()[-1].removeprefix("Error: ")


def test_a_model_is_trained_again_with_other_parameters_moved_and_put_away(cli: Cli, models: Models) -> None:
    models.keep("churn", trainingConfig={"epochs": 3, "tree": {"depth": 2, "bins": 8}})
    models.becomes("churn", "trained", version=1)

    stdout = said(cli, "train", "model", "churn", "--wait", "--timeout", "60s")
    assert "MLModel churn has version 2; `trainyard card model churn --version 2` describes it." in stdout
    assert models.becomes("churn", "trained", version=2)["training"]["job"] == "churn-train-2"

    given = ["--set", "tree.depth=5", "--set", "rate=0.1"]
    stdout = said(cli, "train", "model", "churn", *given, "--wait", "--timeout", "60s")
    assert "MLModel churn has version 3" in stdout
    third = models.versions("churn")[3]["lineage"]["job"]
    assert models.get(third)["spec"]["parameters"] == {
        "epochs": 3,
        "tree": {"depth": 5, "bins": 8},
        "rate": "0.1",
    }
    assert models.told_of("churn")["training"]["job"] == "churn-train-2", "it was no training of its own"

    said(cli, "alias", "model", "churn", "champion=2", "candidate=3")
    moved = found(lambda: len(models.told_of("churn").get("aliases") or []) == 2, what="the aliases")
    assert moved
    described = [line.split() for line in said(cli, "describe", "model", "churn").splitlines()]
    assert ["Aliases", "champion", "2,", "candidate", "3"] in described
    assert any(line[:2] == ["3", "candidate"] and third in line for line in described)
    assert any(line[:3] == [third, "train,", "joined"] for line in described)

    said(cli, "deprecate", "model", "churn")
    models.becomes("churn", "deprecated")
    refusal = "MLModel churn is deprecated, and is trained no more: `trainyard activate model churn` first."
    assert said(cli, "train", "model", "churn", "--wait", code=1) == refusal
    said(cli, "archive", "model", "churn")
    models.becomes("churn", "archived")
    said(cli, "activate", "model", "churn")
    models.becomes("churn", "trained", version=3)
    said(cli, "delete", "model", "churn", "--yes", "--wait")
    assert models.get(third)["metadata"]["name"] == third, "what somebody has posted stays"


def test_a_training_that_fails_gives_its_code_and_keeps_the_last_version(cli: Cli, models: Models) -> None:
    models.keep("churn", trainingConfig={"epochs": 3})
    models.becomes("churn", "trained", version=1)
    fails = {"fake.trainyard.dev/exit-code": "3"}
    template = {"jobTemplate": {"spec": {"template": {"metadata": {"annotations": fails}}}}}
    models.edit_model("churn", training={**template, "enabled": False})
    last = said(cli, "train", "model", "churn", "--wait", "--timeout", "60s", code=4)
    assert last.startswith("churn-train-2 of MLModel churn ended as Error: TrainerFailed")
    assert models.becomes("churn", "failed")["latestVersion"] == 1
    assert "accuracy 0.97" in said(cli, "describe", "model", "churn")


def test_a_model_whose_spec_keeps_it_from_being_trained_is_not_waited_for(cli: Cli, models: Models) -> None:
    models.keep("churn", draft=True, output=None)
    models.becomes("churn", "draft")
    last = said(cli, "train", "model", "churn", "--wait", "--timeout", "30s", code=3)
    assert last.startswith(
        "MLModel churn is not trained. Error InvalidSpec: spec.type: say what is to be trained"
    )
