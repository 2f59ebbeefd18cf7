"""What a kind cluster needs and cannot have is said in a sentence, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import debian, docker, dockerd, kindcluster
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError


@pytest.fixture
def no_docker(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "_users", lambda: None)


@pytest.mark.usefixtures("no_docker")
def test_without_docker_and_without_root_it_says_what_is_needed(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(
        HarnessError, match=r"does not run as root: start Docker, or run as root on Debian 12"
    ):
        kindcluster.up("test-none")


@pytest.mark.usefixtures("no_docker")
def test_without_docker_and_without_apt_it_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(debian, "usable", lambda: False)
    with pytest.raises(HarnessError, match="there is no apt"):
        kindcluster.up("test-none")


@pytest.mark.parametrize("name", ["", "Upper", "-dash", "a_b", "../up"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(HarnessError, match="name of lower-case letters"):
        kindcluster.up(name)


def test_a_cluster_needs_a_node() -> None:
    with pytest.raises(HarnessError, match="needs a node"):
        kindcluster.up("test-none", nodes=0)


@pytest.mark.usefixtures("no_docker")
def test_deleting_what_is_not_there_starts_nothing(own_cache: Path) -> None:
    kindcluster.down("test-none")
    assert not dockerd.left_behind()
    assert not dockerd.data_folder().exists()


@pytest.mark.usefixtures("no_docker")
def test_a_users_nodes_are_not_patched(tmp_path: Path) -> None:
    handle = ClusterHandle("mine", tmp_path / "config", context="mine", made_by_us=False)
    with pytest.raises(HarnessError, match="not ours to patch"):
        kindcluster.offer_gpus(handle)


@pytest.mark.usefixtures("no_docker")
def test_an_image_for_a_cluster_elsewhere_has_to_be_pushed(tmp_path: Path) -> None:
    handle = ClusterHandle("mine", tmp_path / "config", context="mine", made_by_us=False)
    with pytest.raises(HarnessError, match="push it to a registry"):
        kindcluster.load(handle, "trainyard/trainer:1")


@pytest.mark.usefixtures("no_docker")
def test_the_folder_of_another_kind_of_cluster_is_left_alone(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerd, "possible", lambda: None)
    state = own_cache / "clusters" / "test-none" / "controlplane.json"
    state.parent.mkdir(parents=True)
    state.touch()
    with pytest.raises(HarnessError, match="another kind of cluster's"):
        kindcluster.up("test-none")
    assert state.exists()
