"""Ends a control plane once the process that owns it is gone, killed or not.

Separate because it must be a process of its own: a killed test run cleans up nothing. (The kernel's
parent-death signal would do it as well for one thread's children, but a thread's end is not a process's
and folders would stay.) Started by `controlplane` as `python -m tests.harness.watchdog NAME PID START`.
"""

from __future__ import annotations

import sys
import time

from tests.harness import controlplane
from tests.harness.processes import Daemon

EVERY_SECONDS = 0.5


def main() -> None:
    name, owner = sys.argv[1], Daemon(pid=int(sys.argv[2]), start_time=int(sys.argv[3]))
    while owner.alive:
        time.sleep(EVERY_SECONDS)
    controlplane.down(name, only_of=owner)


if __name__ == "__main__":
    main()
