"""What containers change on the machine around them, and how it is put back.

Separate from `dockerd`, which knows Docker: these are kernel settings, control groups, mounts and folders
that stay behind when a daemon has ended. Called by `dockerd`, and by `kindcluster` where that daemon is ours, for a
user's own daemon does what it always does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.harness import cache
from tests.harness.errors import HarnessError

SYSCTL = Path("/proc/sys")
CGROUPS = Path("/sys/fs/cgroup")
NETWORK_INTERFACES = Path("/sys/class/net")

# Kernel settings of the whole machine that systemd in a node, the kubelet, kube-proxy or dockerd set.
SETTINGS = (
    "fs/file-max",
    "fs/nr_open",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_INOTIFY_INSTANCES = "fs/inotify/max_user_instances"
_ENOUGH_INOTIFY_INSTANCES = 256


def remember(file: Path, *, folders: Iterable[Path]) -> None:
    """Writes down the settings, and which of `folders` are there, unless this boot's are written down.

    A second start after a crash must not take the changed settings for the machine's own.
    """
    boot = _boot()
    if file.exists() and json.loads(file.read_text())["boot"] == boot:
        return
    record = {
        "boot": boot,
        "settings": settings(),
        "missing": [str(folder) for folder in folders if not folder.exists()],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    cache.write_atomically(file, json.dumps(record, indent=1))


def restore(file: Path) -> None:
    """Puts the settings back, removes the folders that were not there, and forgets `file`."""
    with contextlib.suppress(FileNotFoundError):
        record = json.loads(file.read_text())
        if record["boot"] == _boot():
            _set(changed(record["settings"], settings()))
            for folder in record["missing"]:
                cache.remove_tree(Path(folder))
        file.unlink()


def settings() -> dict[str, str]:
    """The present values of SETTINGS; what this kernel does not have is left out."""
    found = {}
    for name in SETTINGS:
        with contextlib.suppress(OSError):
            found[name] = (SYSCTL / name).read_text().strip()
    return found


def too_few_inotify_instances() -> str | None:
    """What to do where the kubelets of a few clusters use all that there are, and then can follow no log."""
    with contextlib.suppress(OSError, ValueError):
        found = int((SYSCTL / _INOTIFY_INSTANCES).read_text())
        if found < _ENOUGH_INOTIFY_INSTANCES:
            return (
                f"This machine has {found} inotify instances, which about four kind clusters use up, and then no log "
                "of a pod can be followed; to have more: sysctl -w fs.inotify.max_user_instances=512"
            )
    return None


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The earlier values of what is different now."""
    return {name: value for name, value in before.items() if now.get(name, value) != value}


def _set(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        (SYSCTL / name).write_text(value)


def end_cgroup(name: str) -> None:
    """Kills what runs in the control groups called `name` at the top of every hierarchy, and removes them.

    Raises HarnessError if something does not die.
    """
    deadline = time.monotonic() + 10.0
    while pids := [pid for group in _groups(name) for pid in _pids(group)]:
        if time.monotonic() > deadline:
            raise HarnessError(f"Processes of our containers do not end: {pids}.")
        for group in _groups(name):
            # NB: what is frozen (a paused node) is not killed before it is thawed.
            with contextlib.suppress(OSError):
                if (group / "freezer.state").exists():
                    (group / "freezer.state").write_text("THAWED")
        kill(pids)
    # NB: a group's files are the kernel's and go with it; only folders are removed, deepest first.
    for group in reversed(_groups(name)):
        with contextlib.suppress(OSError):
            group.rmdir()


def _groups(name: str) -> list[Path]:
    """The groups and all below them, each before those that are in it."""
    tops = [top for top in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")) if top.is_dir()]
    # NB: os.walk passes over what vanishes meanwhile.
    return [Path(folder) for top in tops for folder, _, _ in os.walk(top)]


def _pids(group: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    return []


def kill(pids: Iterable[int]) -> None:
    """Kills processes and gives them a moment to be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.05)


def remove_bridge(name: str, *, environment: Mapping[str, str]) -> None:
    """Removes a network bridge and the interfaces that are plugged into it, if it is there.

    Those of dead containers would else stay for as long as their connections take to time out.
    """
    bridge = NETWORK_INTERFACES / name
    if bridge.exists():
        for interface in [*(path.name for path in (bridge / "brif").iterdir()), name]:
            argv = ["ip", "link", "delete", interface]
            subprocess.run(argv, capture_output=True, env={**os.environ, **environment})


def mounts_below(table: str, folder: Path) -> list[Path]:
    """The mount points at or below `folder` in a mountinfo table, deepest first."""
    points = [line.split()[4].replace("\\040", " ") for line in table.splitlines()]
    return [Path(point) for point in reversed(points) if Path(point).is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    for point in mounts_below(Path("/proc/self/mountinfo").read_text(), folder):
        subprocess.run(["umount", "--lazy", point], capture_output=True)


def processes_of(program: str, text: str) -> list[int]:
    """The pids of programs whose name begins with `program` and whose arguments have `text` in them."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit():
                first, _, rest = (folder / "cmdline").read_bytes().decode(errors="replace").partition("\0")
                if Path(first).name.startswith(program) and text in rest:
                    found.append(int(folder.name))
    return found


def end_processes_inside(folder: Path) -> None:
    """Kills the processes that run inside a root folder or have its path in their arguments.

    Raises HarnessError if one does not die.
    """
    deadline = time.monotonic() + 10.0
    while pids := [pid for pid in _others() if _is_inside(pid, folder)]:
        if time.monotonic() > deadline:
            raise HarnessError(f"Processes that work in {folder} do not end: {pids}.")
        kill(pids)


def _others() -> list[int]:
    return [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and path.name != str(os.getpid())
    ]


def _is_inside(pid: int, folder: Path) -> bool:
    process = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        if Path(os.readlink(process / "root")).is_relative_to(folder):
            return True
        arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return any(Path(word.rpartition("=")[2]).is_relative_to(folder) for word in arguments)
    return False


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
