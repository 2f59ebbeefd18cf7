"""A folder for half-made things is gone at its end, and after a kill at the next beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import scratch


def folders(own_cache: Path) -> list[str]:
    return sorted(path.name for path in (own_cache / "images").iterdir())


def test_the_folder_is_gone_at_the_end(own_cache: Path) -> None:
    with scratch.folder("node") as folder:
        (folder / "root").mkdir()
    assert folders(own_cache) == []


def test_the_folder_is_gone_after_an_error(own_cache: Path) -> None:
    with pytest.raises(RuntimeError), scratch.folder("node"):
        raise RuntimeError
    assert folders(own_cache) == []


def test_what_a_killed_run_left_is_removed_at_the_next_beginning(own_cache: Path) -> None:
    (own_cache / "images" / ".making-node" / "root").mkdir(parents=True)
    with scratch.folder("node") as folder:
        assert list(folder.iterdir()) == []


def test_only_what_nobody_works_in_is_removed(own_cache: Path) -> None:
    (own_cache / "images" / ".making-old").mkdir(parents=True)
    with scratch.folder("node"):
        scratch.clear_left_behind()
        assert folders(own_cache) == [".making-node"]
