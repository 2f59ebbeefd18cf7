"""What people see of a search and a chain that a real operator has run on fake nodes."""

from __future__ import annotations

import json

import pytest

from tests.commandline import Cli
from tests.experiments import PARAMETERS
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.integration.experiments import Experiments, step
from tests.objects import found

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("operator")]

LAST = '{"metrics": {"accuracy": 0.97}, "keyMetric": {"name": "accuracy", "value": 0.97}}'


@pytest.fixture
def cli(plane_with_nodes: ControlPlane, namespace: str) -> Cli:
    return Cli(plane_with_nodes.admin, namespace)


def exported(cli: Cli, name: str) -> Json:
    result = cli("export", "experiment", name, "--to", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    return dict(json.loads(result.stdout))


def gone(experiments: Experiments) -> bool:
    experiments.client.delete(experiments.path("trainingjobs"))
    return not experiments.client.list(experiments.path("trainingjobs"))


def test_a_search_is_told_whole_also_when_its_jobs_are_gone(
    operator: Operator, experiments: Experiments, cli: Cli
) -> None:
    automl = {
        "algorithm": "random",
        "space": PARAMETERS,
        "maxRecommendations": 4,
        "parallelism": 2,
        "seed": 11,
    }
    experiments.begin(
        "tune",
        actions=[step("train")],
        automl=automl,
        objective={"metric": "accuracy"},
        fake={"message": LAST},
    )
    result = cli("watch", "experiment", "tune", "--timeout", "90")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "accuracy 0.97" in result.stdout
    before = exported(cli, "tune")
    assert [(run["number"], run["state"], run["value"]) for run in before["runs"]] == [
        (number, "success", 0.97) for number in range(4)
    ]
    assert {name for run in before["runs"] for name in run["parameters"]} == {
        one["name"] for one in PARAMETERS
    }
    assert (before["metric"], before["goal"], before["seed"]) == ("accuracy", "Maximize", 11)
    assert before["best"] in before["runs"]
    described = cli("describe", "experiment", "tune").stdout
    assert "4: 4 succeeded" in described
    titles, row = (line.split() for line in cli("get", "experiments").stdout.splitlines())
    assert row[:3] == ["tune", "Done", "Completed"]
    assert row[titles.index("PROGRESS") :][-3:-1] == ["accuracy", "0.97"]

    found(lambda: gone(experiments), what="the jobs to be gone", timeout=60)
    after = exported(cli, "tune")
    assert [run["jobExists"] for run in after["runs"]] == [False] * 4
    for key in ("number", "rung", "state", "value", "parameters", "job"):
        assert [run[key] for run in after["runs"]] == [run[key] for run in before["runs"]], key
    assert experiments.told("tune")["phase"] == "Done", "nothing is run again"


def test_a_chain_is_told_by_its_steps(operator: Operator, experiments: Experiments, cli: Cli) -> None:
    actions = [step("train"), step("evaluate", "train")]
    experiments.begin("chain", actions=actions, fake={"message": LAST}, objective={"metric": "accuracy"})
    assert cli("watch", "exp/chain", "--timeout", "90").exit_code == 0
    lines = [line.split() for line in cli("describe", "exp", "chain").stdout.splitlines()]
    for name in ("train", "evaluate"):
        (line,) = (line for line in lines if line[:3] == [name, name, f"chain-{name}"])
        assert line[3:7] == ["Done", "Completed", "accuracy", "0.97"]
    runs = exported(cli, "chain")["runs"]
    assert [(run["step"], run["job"], run["state"], run["value"]) for run in runs] == [
        ("train", "chain-train", "success", 0.97),
        ("evaluate", "chain-evaluate", "success", 0.97),
    ]
    result = cli("logs", "experiment", "chain", "--from", "pod")
    assert result.stderr.splitlines()[0] == "chain-evaluate of experiment chain:"
