"""kind is told the same for a public node image as for ours, but for what ours does not bring."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.errors import HarnessError
from tests.harness.kindconfig import configuration, creation, free_networks, routed_networks
from tests.harness.node_image import PUBLIC, NodeImage

PODS, SERVICES = ipaddress.IPv4Network("10.244.0.0/16"), ipaddress.IPv4Network("10.96.0.0/16")


def a_configuration(*, nodes: int = 1, home_made: bool = True) -> dict[str, Any]:
    return configuration(
        nodes=nodes,
        image=NodeImage("an-image", home_made=home_made),
        audit_policy=Path("/cluster/audit.yaml"),
        volumes=Path("/cluster/volumes"),
        pods=PODS,
        services=SERVICES,
    )


def patch_of(config: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = json.loads(config["kubeadmConfigPatches"][0])
    return patch


def test_there_are_as_many_nodes_as_asked_for_and_one_control_plane() -> None:
    roles = [node["role"] for node in a_configuration(nodes=3)["nodes"]]
    assert roles == ["control-plane", "worker", "worker"]


def test_a_home_made_image_shares_volumes_between_all_nodes() -> None:
    for node in a_configuration(nodes=2)["nodes"]:
        mount = {"hostPath": "/cluster/volumes", "containerPath": "/tmp/hostpath_pv"}
        assert mount in node["extraMounts"]


def test_the_controller_manager_sees_the_volumes_it_makes() -> None:
    volumes = patch_of(a_configuration())["controllerManager"]["extraVolumes"]
    assert [volume["mountPath"] for volume in volumes] == ["/tmp/hostpath_pv"]


def test_a_public_image_keeps_its_own_network_and_volumes() -> None:
    config = a_configuration(nodes=2, home_made=False)
    assert config["networking"]["disableDefaultCNI"] is False
    assert config["nodes"][1]["extraMounts"] == []
    assert patch_of(config)["controllerManager"]["extraVolumes"] == []


@pytest.mark.parametrize("home_made", [True, False], ids=["home-made image", "public image"])
def test_requests_are_audited(*, home_made: bool) -> None:
    config = a_configuration(home_made=home_made)
    arguments = patch_of(config)["apiServer"]["extraArgs"]
    assert arguments["audit-log-path"] == "/var/log/kubernetes/audit.log"
    mounted = [mount["containerPath"] for mount in config["nodes"][0]["extraMounts"]]
    assert arguments["audit-policy-file"] in mounted


def test_only_several_nodes_are_soon_given_up() -> None:
    alone, several = (patch_of(a_configuration(nodes=nodes)) for nodes in (1, 2))
    assert "node-monitor-grace-period" not in alone["controllerManager"]["extraArgs"]
    assert several["controllerManager"]["extraArgs"]["node-monitor-grace-period"] == "20s"


def test_networks_are_kinds_own_where_they_are_free() -> None:
    assert free_networks([ipaddress.IPv4Network("192.168.0.0/16")]) == (PODS, SERVICES)


def test_networks_keep_clear_of_what_the_machine_routes() -> None:
    used = [ipaddress.IPv4Network("10.244.7.0/24"), ipaddress.IPv4Network("10.96.0.0/11")]
    pods, services = free_networks(used)
    assert not any(pods.overlaps(one) or services.overlaps(one) for one in used)
    assert not pods.overlaps(services)


def test_a_machine_that_routes_everything_is_told_so() -> None:
    with pytest.raises(HarnessError, match="routes all of it"):
        free_networks([ipaddress.IPv4Network("10.0.0.0/8")])


def test_routes_are_read_without_the_default_one() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "br-1\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert routed_networks(table) == [ipaddress.IPv4Network("172.17.0.0/16")]


@pytest.mark.parametrize(
    "reference", [PUBLIC, "trainyard.dev/node:v1.34.4-0123"], ids=["public", "home-made"]
)
def test_kind_is_called_alike_for_both_images_and_writes_a_kubeconfig_of_its_own(reference: str) -> None:
    words = creation(
        name="dev",
        image=NodeImage(reference, home_made=reference != PUBLIC),
        config=Path("/cluster/kind.yaml"),
        kubeconfig=Path("/cluster/kubeconfig.yaml"),
    )
    assert [str(word) for word in words] == [
        *("create", "cluster", "--name", "dev", "--image", reference),
        *("--config", "/cluster/kind.yaml", "--kubeconfig", "/cluster/kubeconfig.yaml"),
    ]


def test_both_images_differ_in_network_and_volumes_only() -> None:
    ours, public = a_configuration(nodes=2), a_configuration(nodes=2, home_made=False)
    assert {key for key in ours if ours[key] != public[key]} == {
        "networking",
        "nodes",
        "kubeadmConfigPatches",
    }
    assert ours["networking"] | {"disableDefaultCNI": False} == public["networking"]
    ours_patch, public_patch = patch_of(ours), patch_of(public)
    ours_patch["controllerManager"]["extraVolumes"] = []
    assert ours_patch == public_patch
    assert [len(node["extraMounts"]) for node in ours["nodes"]] == [2, 1]
    assert [len(node["extraMounts"]) for node in public["nodes"]] == [1, 0]
