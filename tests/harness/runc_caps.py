"""Runs runc after taking out of its request the capabilities that this machine does not have.

Separate because dockerd starts it as a program (`dockerd` registers it as the default runtime), with
nothing of the harness importable. Docker 20.10 gives a privileged container every capability that the
kernel knows; where the machine's own bounding set lacks one, runc would fail with "unable to apply caps".
What is taken out could not have been had, so nothing gets more rights, and nothing less.

Called as `runc_caps.py RUNC ARGUMENT...`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# In the kernel's order: a capability's number is its place (include/uapi/linux/capability.h).
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(f"CAP_{name}" for name in NAMES.split())


def bounding_set(status: str) -> frozenset[str]:
    """The names in the `CapBnd` line of a /proc/PID/status."""
    line = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    mask = int(line.split()[1], 16)
    return frozenset(name for number, name in enumerate(CAPABILITIES) if mask >> number & 1)


def limit(process: dict[str, Any], have: frozenset[str]) -> None:
    """Takes from an OCI process description the capabilities that are not in `have`."""
    for kind, names in (process.get("capabilities") or {}).items():
        process["capabilities"][kind] = [name for name in names or () if name in have]


def request_file(arguments: list[str]) -> Path | None:
    """The file that describes the process of a runc command: the bundle's for create and run, exec's own."""

    def value(*options: str) -> str | None:
        for index, argument in enumerate(arguments):
            name, equals, rest = argument.partition("=")
            if name in options:
                return rest if equals else "".join(arguments[index + 1 : index + 2])
        return None

    if "create" in arguments or "run" in arguments:
        return Path(value("--bundle", "-b") or ".") / "config.json"
    if "exec" in arguments and (process := value("--process", "-p")):
        return Path(process)
    return None


def main(runc: str, *arguments: str) -> None:
    file = request_file(list(arguments))
    if file is not None and file.exists():
        request = json.loads(file.read_text())
        have = bounding_set(Path("/proc/self/status").read_text())
        limit(request["process"] if file.name == "config.json" else request, have)
        file.write_text(json.dumps(request))
    os.execv(runc, [runc, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
