"""A machine's settings, mounts and processes are put back as they were, and nobody else's are touched."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import machine
from tests.harness.client import wait_for


@pytest.fixture
def sysctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc/sys of the test's own."""
    root = tmp_path / "sys"
    (root / "fs").mkdir(parents=True)
    (root / "fs/file-max").write_text("1000\n")
    monkeypatch.setattr(machine, "SYSCTL", root)
    return root


def test_a_changed_setting_is_put_back(sysctl: Path, tmp_path: Path) -> None:
    record = tmp_path / "before.json"
    machine.remember(record, folders=[])
    (sysctl / "fs/file-max").write_text("9223372036854775807\n")

    machine.restore(record)

    assert (sysctl / "fs/file-max").read_text() == "1000"
    assert not record.exists()


@pytest.mark.parametrize(("instances", "enough"), [("128\n", False), ("256\n", True), ("8192\n", True)])
def test_tells_of_too_few_inotify_instances_and_changes_nothing(
    sysctl: Path, instances: str, enough: bool
) -> None:
    setting = sysctl / "fs/inotify/max_user_instances"
    assert machine.too_few_inotify_instances() is None, "a machine without the setting"
    setting.parent.mkdir()
    setting.write_text(instances)
    warning = machine.too_few_inotify_instances()
    assert (warning is None) is enough
    assert warning is None or "sysctl -w fs.inotify.max_user_instances=512" in warning
    assert setting.read_text() == instances


def test_a_second_start_keeps_the_first_record(sysctl: Path, tmp_path: Path) -> None:
    record = tmp_path / "before.json"
    machine.remember(record, folders=[])
    (sysctl / "fs/file-max").write_text("2000\n")
    machine.remember(record, folders=[])

    machine.restore(record)

    assert (sysctl / "fs/file-max").read_text() == "1000"


def test_settings_of_an_earlier_boot_are_forgotten(
    sysctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "before.json"
    machine.remember(record, folders=[])
    (sysctl / "fs/file-max").write_text("2000")
    monkeypatch.setattr(machine, "_boot", lambda: "another")

    machine.restore(record)

    assert (sysctl / "fs/file-max").read_text() == "2000"
    assert not record.exists()


def test_folders_that_were_not_there_are_removed(sysctl: Path, tmp_path: Path) -> None:
    there, new = tmp_path / "there", tmp_path / "new"
    there.mkdir()
    record = tmp_path / "before.json"
    machine.remember(record, folders=[there, new])
    (new / "inside").mkdir(parents=True)

    machine.restore(record)

    assert there.exists()
    assert not new.exists()


def test_restoring_without_a_record_does_nothing(tmp_path: Path) -> None:
    machine.restore(tmp_path / "before.json")


def test_what_a_setting_was_and_no_longer_is() -> None:
    before = {"a": "1", "b": "2", "gone": "3"}
    assert machine.changed(before, {"a": "1", "b": "5", "new": "6"}) == {"b": "2"}


def test_mounts_inside_a_folder_are_found_deepest_first() -> None:
    table = "\n".join(
        [
            "22 1 8:1 / / rw - ext4 /dev/vda rw",
            "23 22 0:5 / /cache/docker rw - tmpfs tmpfs rw",
            r"24 23 0:6 / /cache/docker/a\040b rw - tmpfs tmpfs rw",
            "25 22 0:7 / /cache/docker-of-others rw - tmpfs tmpfs rw",
        ]
    )
    found = machine.mounts_below(table, Path("/cache/docker"))
    assert found == [Path("/cache/docker/a b"), Path("/cache/docker")]


def test_a_process_is_found_by_its_program_and_arguments(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path)]
    process = subprocess.Popen(argv)
    try:
        program = Path(sys.executable).name
        # NB: a moment after its start, its arguments can be read.
        found = wait_for(lambda: machine.processes_of(program, str(tmp_path)), what="the process")
        assert found == [process.pid]
        assert machine.processes_of("containerd", str(tmp_path)) == []
        machine.kill([process.pid])
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def test_killing_what_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    machine.kill([process.pid])


def test_control_groups_that_are_not_there_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    machine.end_cgroup("trainyard")


def test_empty_control_groups_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    (tmp_path / "memory/trainyard/a/b").mkdir(parents=True)
    (tmp_path / "memory/docker").mkdir()

    machine.end_cgroup("trainyard")

    assert sorted(path.name for path in (tmp_path / "memory").iterdir()) == ["docker"]


def test_processes_that_work_in_a_folder_are_ended(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    inside = subprocess.Popen([*argv, f"--file={tmp_path}/root.tar"])
    outside = subprocess.Popen([*argv, f"{tmp_path}-of-others"])
    try:
        wait_for(lambda: b"root.tar" in Path(f"/proc/{inside.pid}/cmdline").read_bytes(), what="arguments")
        machine.end_processes_inside(tmp_path)
        assert inside.wait(10) == -signal.SIGKILL
        assert outside.poll() is None
    finally:
        for process in (inside, outside):
            process.kill()
            process.wait()
