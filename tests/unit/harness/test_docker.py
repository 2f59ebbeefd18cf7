"""With a user's Docker the same commands are run as with ours, against the daemon that the user has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import binaries, debian, docker, dockerd, images, node_image
from tests.harness.docker import Engine
from tests.harness.errors import HarnessError
from tests.harness.node_image import NodeImage

REGISTRY = "registry.example.com/team"


class Recorder:
    """A `docker` that writes down how it is called, and succeeds but for the calls that begin with `refused`."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "docker"
        self._calls = folder / "calls"
        self._refused = folder / "refused"
        self._refused.touch()
        self.program.write_text(
            "#!/bin/sh\n"
            f'echo "${{DOCKER_HOST-unset}} $*" >> {self._calls}\n'
            f'while read -r line; do case "$*" in "$line"*) exit 1;; esac; done < {self._refused}\n'
        )
        self.program.chmod(0o755)

    def refuse(self, *calls: str) -> None:
        self._refused.write_text("".join(f"{call}\n" for call in calls))

    def calls(self) -> list[str]:
        """The arguments of each call, in order."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [line.partition(" ")[2] for line in lines]

    def addresses(self) -> set[str]:
        return {line.partition(" ")[0] for line in self._calls.read_text().splitlines()}


@pytest.fixture
def recorder(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """A user's Docker, first on PATH."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    docker._users.cache_clear()
    yield Recorder(folder)
    docker._users.cache_clear()


@pytest.fixture
def engine(recorder: Recorder) -> Engine:
    return docker.ensure()


def test_a_users_docker_that_answers_is_taken_as_it_is(
    recorder: Recorder, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.example.com:2376")
    engine.run("ps")
    assert (engine.client, engine.ours, engine.environment) == (recorder.program, False, {})
    assert recorder.calls() == ["version --format {{.Server.Version}}", "ps"]
    assert "tcp://docker.example.com:2376" in recorder.addresses()


def test_ours_is_reached_at_its_own_address(recorder: Recorder) -> None:
    Engine(client=recorder.program, address=dockerd.address()).run("ps")
    assert recorder.addresses() == {dockerd.address()}


@pytest.mark.usefixtures("engine")
def test_a_users_docker_that_does_not_answer_is_none(recorder: Recorder) -> None:
    docker._users.cache_clear()
    recorder.refuse("version")
    assert docker._users() is None


def test_the_public_node_image_is_pulled_where_it_can_be(recorder: Recorder, engine: Engine) -> None:
    recorder.refuse("image inspect")
    assert node_image.choose(engine) == NodeImage(node_image.PUBLIC, home_made=False)
    assert recorder.calls()[-1] == f"pull --quiet {node_image.PUBLIC}"


def test_a_home_made_node_image_that_is_there_is_kept(recorder: Recorder, engine: Engine) -> None:
    ours = node_image.home_made_reference()
    assert node_image.choose(engine) == NodeImage(ours, home_made=True)
    assert recorder.calls()[-1] == f"image inspect --format {{{{.Id}}}} {ours}"


def test_without_the_public_image_and_without_debian_it_says_what_is_needed(
    recorder: Recorder, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "usable", lambda: False)
    recorder.refuse("image inspect", "pull")
    with pytest.raises(HarnessError, match=r"kindest/node:v1\.34\.\d+@sha256:\w+ cannot be pulled"):
        node_image.choose(engine)


def test_the_public_node_image_is_of_our_kubernetes_and_of_our_kind() -> None:
    tag, _, digest = node_image.PUBLIC.partition(":")[2].partition("@")
    assert tag.split(".")[:2] == binaries.version("kubelet").split(".")[:2]
    assert digest.startswith("sha256:")
    assert binaries.version("kind") == "v0.33.0", "take PUBLIC from the release notes of this kind"
    assert binaries.ON_PATH["kind"].minimum == (0, 33)


def test_an_image_is_pushed_under_the_users_prefix(recorder: Recorder, engine: Engine) -> None:
    pushed = images.push(engine, "trainyard/operator:0123", f"{REGISTRY}/")
    assert pushed == f"{REGISTRY}/trainyard-operator:0123"
    assert recorder.calls()[-2:] == [f"tag trainyard/operator:0123 {pushed}", f"push {pushed}"]


def test_a_registry_that_refuses_is_a_sentence_with_the_log(recorder: Recorder, engine: Engine) -> None:
    recorder.refuse("push")
    with pytest.raises(HarnessError, match=r"docker\.log"):
        images.push(engine, "trainyard/operator:0123", REGISTRY)
