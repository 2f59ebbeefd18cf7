"""Which cluster and which images the environment chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import chart, chosen, docker
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError


@pytest.fixture
def elsewhere(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterHandle:
    """A user's cluster that no Docker of this machine runs."""
    for name in (
        "CLUSTER",
        "IMAGES",
        "OPERATOR_IMAGE",
        "AGENT_IMAGE",
        "DATA_IMAGE",
        "TUNER_IMAGE",
        "TRAINER_IMAGE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(docker, "_users", lambda: None)
    return ClusterHandle("production", tmp_path / "config", context="production", made_by_us=False)


@pytest.mark.parametrize("wanted", ["controlplane", "minikube", "context"])
def test_pods_run_on_kind_or_a_context(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", wanted)
    with pytest.raises(HarnessError, match=f"CLUSTER is '{wanted}'; .* kind or context:NAME"):
        chosen.cluster("test-none")


def test_a_context_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("contexts: [{name: staging}]\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("CLUSTER", "context:production")
    with pytest.raises(HarnessError, match="has no context production; it has staging"):
        chosen.cluster("test-none")


def test_an_image_that_is_named_is_taken_as_it_is(
    elsewhere: ClusterHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_IMAGE", "registry.example.com/trainer:7")
    assert chosen.image(elsewhere, "trainer") == "registry.example.com/trainer:7"


def test_a_cluster_elsewhere_needs_a_registry_and_says_so_before_anything_is_built(
    elsewhere: ClusterHandle,
) -> None:
    with pytest.raises(HarnessError, match=r"set IMAGES=REGISTRY/PREFIX .* or OPERATOR_IMAGE"):
        chosen.image(elsewhere, "operator")


def test_pods_of_tests_elsewhere_are_made_of_the_public_python(elsewhere: ClusterHandle) -> None:
    assert chosen.python_image(elsewhere) == "python:3.11-slim"


@pytest.mark.parametrize(
    ("image", "repository", "tag"),
    [
        ("trainyard/operator:1", "trainyard/operator", "1"),
        ("registry:5000/operator", "registry:5000/operator", "latest"),
        ("registry:5000/operator:1", "registry:5000/operator", "1"),
    ],
)
def test_the_chart_is_told_the_operators_image(image: str, repository: str, tag: str) -> None:
    others = {name: f"{name}:1" for name in ("agent", "data", "tuner", "trainer")}
    told = chart.values(operator=image, **others)["image"]
    assert (told["repository"], told["tag"]) == (repository, tag)
