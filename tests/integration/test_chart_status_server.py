"""What the chart renders for the status server, and how it is switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_chart import named, objects, template
from trainyard import settings
from trainyard.settings import StatusServer

pytestmark = pytest.mark.timeout(120)

OFF = [
    pytest.param("settings.statusServer.enabled=false", id="by its switch"),
    pytest.param("rbac.tokenReviews=false", id="where tokens cannot be looked into"),
]


def rendered(folder: Path, *values: str) -> StatusServer:
    """The settings of the status server as the operator reads them."""
    (config,) = objects("ConfigMap", *values)
    file = folder / "settings.yaml"
    file.write_text(config["data"]["settings.yaml"])
    return settings.load(file).status_server


def ports(kind: str, *values: str) -> dict[str, Any]:
    (one,) = objects(kind, *values)
    spec = one["spec"]
    found = spec["ports"] if kind == "Service" else spec["template"]["spec"]["containers"][0]["ports"]
    return {port["name"]: port.get("port", port.get("containerPort")) for port in found}


def secret_rule(*values: str) -> dict[str, Any]:
    (role,) = named(objects("Role", *values), "trainyard-status-server")
    (rule,) = role["rules"]
    return dict(rule)


def test_pods_reach_it_at_the_service_by_https(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert found.enabled
    assert found.url == "https://trainyard.default.svc:8443"
    assert (found.secret, found.namespace) == ("trainyard-status-server", "default")
    assert ports("Service") == {"http": 8081, "status": 8443}
    assert ports("Deployment")["status"] == found.port == 8443


def test_another_port_of_the_pod_leaves_that_of_the_service(tmp_path: Path) -> None:
    values = ("settings.statusServer.port=9443", "settings.statusServer.requestsPerSecond=3")
    found = rendered(tmp_path, *values)
    assert (found.port, found.requests_per_second) == (9443, 3)
    assert found.url == "https://trainyard.default.svc:8443"
    assert ports("Service", *values)["status"] == 8443
    assert ports("Deployment", *values)["status"] == 9443


def test_its_secret_comes_without_data_that_an_upgrade_would_take_away() -> None:
    (secret,) = objects("Secret")
    assert secret["metadata"]["name"] == "trainyard-status-server"
    assert secret["metadata"]["annotations"] == {"trainyard.dev/generated": "true"}
    assert not secret.keys() & {"data", "stringData"}


def test_the_operator_may_fill_that_secret_and_no_other() -> None:
    rule = secret_rule()
    assert (rule["resources"], rule["resourceNames"]) == (["secrets"], ["trainyard-status-server"])
    assert rule["verbs"] == ["get", "patch"]


def test_a_certificate_of_the_users_is_read_and_never_written(tmp_path: Path) -> None:
    own = 'statusServer.existingSecret="server-tls"'
    assert not objects("Secret", own)
    assert rendered(tmp_path, own).secret == "server-tls"
    rule = secret_rule(own)
    assert (rule["resourceNames"], rule["verbs"]) == (["server-tls"], ["get"])


@pytest.mark.parametrize(
    "values", [(), ('settings.namespaces=["team"]',)], ids=["everywhere", "in one namespace"]
)
def test_the_operator_may_ask_whose_a_token_is(values: tuple[str, ...]) -> None:
    (role,) = named(objects("ClusterRole", *values), "trainyard-tokenreviews")
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [(["tokenreviews"], ["create"])]
    (binding,) = named(objects("ClusterRoleBinding", *values), "trainyard-tokenreviews")
    assert [subject["name"] for subject in binding["subjects"]] == ["trainyard"]


@pytest.mark.parametrize("value", OFF)
def test_switched_off_nothing_of_it_is_left(value: str, tmp_path: Path) -> None:
    assert not rendered(tmp_path, value).enabled
    assert "status" not in ports("Service", value) | ports("Deployment", value)
    assert not objects("Secret", value)
    assert not named(objects("Role", value), "trainyard-status-server")
    assert not named(objects("ClusterRole", value), "trainyard-tokenreviews")


def test_without_roles_of_the_charts_it_is_on_and_has_none(tmp_path: Path) -> None:
    assert rendered(tmp_path, "rbac.create=false").enabled
    assert not objects("Role", "rbac.create=false", "release.enabled=false")
    assert not objects("ClusterRole", "rbac.create=false", "rbac.aggregate=false")


@pytest.mark.parametrize(
    "value",
    [
        'settings.statusServer.url="http://insecure:80"',
        "settings.statusServer.requestsPerSecond=0",
        'settings.statusServer.secrets="x"',
        'statusServer.existingSecret="A b"',
    ],
)
def test_wrong_values_are_refused_by_their_name(value: str) -> None:
    done = template(value)
    assert done.returncode != 0
    assert value.partition("=")[0].rpartition(".")[2] in done.stderr
