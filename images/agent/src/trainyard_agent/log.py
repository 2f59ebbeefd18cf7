"""What the agent says to people: plain lines on stderr.

Separate because threads speak at once, and a line must stay a line. Called by everything that does something.
"""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """One line. The kubelet adds the time."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def amount(size: float) -> str:
    """Bytes as people read them: `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
