"""What the chart installs for Prometheus and Grafana, when it is asked to."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.harness.chart import CHART
from tests.integration.test_chart import objects, template

pytestmark = pytest.mark.timeout(120)

RULES = CHART / "rules" / "trainyard.yaml"
DASHBOARD = CHART / "dashboards" / "trainyard.json"


def one(kind: str, *values: str, named: str = "trainyard") -> dict[str, Any]:
    (found,) = [each for each in objects(kind, *values) if each["metadata"]["name"] == named]
    return found


def test_nothing_is_installed_that_a_cluster_without_them_would_refuse() -> None:
    done = template()
    assert done.returncode == 0, done.stderr
    assert "monitoring.coreos.com" not in done.stdout
    assert "grafana" not in done.stdout


def test_the_service_monitor_scrapes_the_port_of_the_service() -> None:
    values = ("metrics.serviceMonitor.enabled=true", 'metrics.serviceMonitor.labels={"release":"prom"}')
    monitor = one("ServiceMonitor", *values)
    service = one("Service")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert monitor["metadata"]["labels"]["release"] == "prom"


def test_the_alerts_are_the_rules_file_as_it_is() -> None:
    rule = one("PrometheusRule", "alerts.enabled=true")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())


def test_the_dashboard_is_found_by_its_label_and_is_the_file_as_it_is() -> None:
    config = one("ConfigMap", "dashboard.enabled=true", named="trainyard-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["trainyard.json"]) == json.loads(DASHBOARD.read_text())


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param("alerts.enable=true", "enable", id="a misspelt switch"),
        pytest.param('metrics.serviceMonitor.interval="often"', "interval", id="an interval that is none"),
        pytest.param('dashboard.labels={"a":1}', "labels", id="a label that is no string"),
    ],
)
def test_wrong_values_of_monitoring_are_refused_by_their_name(value: str, names: str) -> None:
    done = template(value)
    assert done.returncode != 0
    assert names in done.stderr
