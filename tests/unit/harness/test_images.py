"""An image is called by its sources: another source is another image, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import images, kindcontainers
from tests.harness.errors import HarnessError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the sources of the trainer's image."""
    folder = tmp_path / "images" / "trainer"
    (folder / "src").mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "trainer"\n')
    (folder / "src" / "main.py").write_text("print(1)\n")
    monkeypatch.setattr(images, "REPOSITORY", tmp_path)
    return tmp_path


def test_the_same_sources_are_the_same_image(repository: Path) -> None:
    first = images.reference("trainer")
    (repository / "images" / "trainer" / "src" / "main.py").touch()
    (repository / "images" / "trainer" / "tests").mkdir()
    assert images.reference("trainer") == first


@pytest.mark.parametrize("file", ["Dockerfile", "pyproject.toml", "src/main.py", "src/new.py"])
def test_another_source_is_another_image(repository: Path, file: str) -> None:
    first = images.reference("trainer")
    with (repository / "images" / "trainer" / file).open("a") as opened:
        opened.write("# changed\n")
    assert images.reference("trainer") != first


def test_a_missing_source_is_named(repository: Path) -> None:
    (repository / "images" / "trainer" / "Dockerfile").unlink()
    with pytest.raises(HarnessError, match="Dockerfile is not there"):
        images.reference("trainer")


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("trainer:1", "docker.io/library/trainer:1"),
        ("trainyard/trainer:1", "docker.io/trainyard/trainer:1"),
        ("trainyard.dev/python:1", "trainyard.dev/python:1"),
        ("localhost/trainer:1", "localhost/trainer:1"),
        ("registry:5000/trainer:1", "registry:5000/trainer:1"),
    ],
)
def test_an_images_full_name_is_containerds(image: str, full: str) -> None:
    assert kindcontainers.full_name(image) == full
