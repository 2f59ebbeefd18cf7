"""Entries of the cache are whole or absent, made once, and named by their inputs' content."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.harness import cache
from tests.harness.errors import HarnessError

REPOSITORY = Path(__file__).parents[3]

BUILD_SLOWLY = """
import sys, time
from pathlib import Path
from tests.harness import cache
def build(folder):
    (folder / "half").write_text("half")
    print("half", flush=True)
    time.sleep(float(sys.argv[1]))
    with open(sys.argv[2], "a") as file:
        file.write("built\\n")
cache.built("bin", "abc", build)
"""


def start_slow_build(seconds: float, journal: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", BUILD_SLOWLY, str(seconds), str(journal)]
    return subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE)


def test_the_root_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "trainyard"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.root() == Path("/home/somebody/.cache/trainyard")


def test_an_entry_is_built_once(own_cache: Path) -> None:
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "program").write_text("content")

    first = cache.built("bin", "abc", build)
    second = cache.built("bin", "abc", build)

    assert first == second == own_cache / "bin" / "abc"
    assert (first / "program").read_text() == "content"
    assert len(calls) == 1


def test_a_build_that_fails_leaves_no_entry(own_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise HarnessError("no network")

    with pytest.raises(HarnessError, match="no network"):
        cache.built("bin", "abc", fail)
    assert not cache.entry("bin", "abc").exists()
    assert [path.name for path in (own_cache / "bin").iterdir()] == [".abc.lock"]


def test_what_a_killed_build_left_is_harmless(own_cache: Path, tmp_path: Path) -> None:
    with start_slow_build(600, tmp_path / "journal") as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"half\n"
        assert not cache.entry("bin", "abc").exists()
        killed.kill()

    made = cache.built("bin", "abc", lambda folder: None)

    assert list(made.iterdir()) == []


def test_two_processes_build_the_same_entry_once(own_cache: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with start_slow_build(0.5, journal) as one, start_slow_build(0.5, journal) as other:
        assert (one.wait(20), other.wait(20)) == (0, 0)
    assert journal.read_text() == "built\n"


def test_two_threads_build_the_same_entry_once(own_cache: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        time.sleep(0.1)
        built.append(folder)

    threads = [threading.Thread(target=cache.built, args=("bin", "abc", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_held_lock_is_refused_to_those_who_do_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "one.lock"
    with cache.lock(path), pytest.raises(HarnessError, match="locked"), cache.lock(path, wait=False):
        pass
    with cache.lock(path, wait=False):
        pass


def test_a_digest_is_of_content_and_not_of_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("same")
    digest = cache.digest_of(tmp_path / "a")
    assert digest == cache.digest_of(tmp_path / "b")

    file = tmp_path / "b" / "sub" / "file"
    file.write_text("other")
    assert cache.digest_of(tmp_path / "b") != digest
    file.write_text("same")
    file.chmod(0o755)
    assert cache.digest_of(tmp_path / "b") != digest
    file.chmod(0o644)
    file.rename(file.with_name("renamed"))
    assert cache.digest_of(tmp_path / "b") != digest


def test_a_digest_tells_where_one_input_ends_and_the_next_begins() -> None:
    assert cache.digest_of("ab", "c") != cache.digest_of("a", "bc")
    assert cache.digest_of("a") == cache.digest_of(b"a")


def test_a_file_is_replaced_whole_and_private_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    cache.write_atomically(path, "new", mode=0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "/etc"])
def test_a_cluster_cannot_be_called(name: str) -> None:
    with pytest.raises(HarnessError, match="cannot be the name"):
        cache.cluster_folder(name)


def test_a_tree_with_read_only_folders_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "modules" / "inner"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    folder.chmod(0o500)
    cache.remove_tree(tmp_path / "modules")
    cache.remove_tree(tmp_path / "modules")
    assert list(tmp_path.iterdir()) == []
