"""What the chart renders, and which values it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import binaries
from tests.harness.chart import CHART

pytestmark = pytest.mark.timeout(120)


def template(*values: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values, as `--set` takes them."""
    helm: Path = binaries.ensure("helm")["helm"]
    argv = [str(helm), "template", "trainyard", str(CHART), "--kube-version=1.34.4"]
    return subprocess.run(
        [*argv, *(f"--set-json={value}" for value in values)], capture_output=True, text=True, check=False
    )


def objects(kind: str, *values: str) -> list[dict[str, Any]]:
    done = template(*values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == kind]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        pytest.param("ClusterRole", (), id="in all namespaces"),
        pytest.param("Role", ('settings.namespaces=["team"]',), id="in some namespaces"),
    ],
)
def test_the_operator_may_do_with_pods_what_it_does_and_no_more(kind: str, values: tuple[str, ...]) -> None:
    (role,) = [one for one in objects(kind, *values) if one["metadata"]["name"] == "trainyard"]
    verbs = {resource: rule["verbs"] for rule in role["rules"] for resource in rule["resources"]}
    assert sorted(verbs["pods"]) == ["create", "delete", "get", "list", "watch"]
    assert verbs["trainingjobs"] == ["get", "list", "watch"]
    assert verbs["trainingjobs/status"] == ["patch"]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param('settings.logs.store="s3://logs/trainyard"', "store", id="logs in an object store"),
        pytest.param('settings.logs.store="file://relative"', "store", id="logs in a relative folder"),
        pytest.param("settings.logs.keep=3", "keep", id="a setting of logs that there is none of"),
        pytest.param('settings.logLevel="LOUD"', "logLevel", id="a log level of none"),
        pytest.param('settings.imagePullPolicy="Sometimes"', "imagePullPolicy", id="a pull policy of none"),
        pytest.param('settings.namespaces=["a.b"]', "namespaces", id="a namespace that cannot be"),
    ],
)
def test_wrong_values_are_refused_by_their_name(value: str, names: str) -> None:
    done = template(value)
    assert done.returncode != 0
    assert names in done.stderr


def test_right_values_of_logs_are_rendered() -> None:
    values = ('settings.logs.store="file:///var/lib/trainyard/logs"', 'settings.logLevel="CRITICAL"')
    (config,) = objects("ConfigMap", *values)
    settings = yaml.safe_load(config["data"]["settings.yaml"])
    assert settings["logs"] == {"store": "file:///var/lib/trainyard/logs"}
    assert settings["logLevel"] == "CRITICAL"
