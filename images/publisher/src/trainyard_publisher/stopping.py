"""SIGTERM as a question that publishing asks between two files.

Separate because a handler must be in place before the slow imports: as process 1 of a container Python would
otherwise ignore the signal. Installed by `running`, asked by `progress`.
"""

from __future__ import annotations

import signal
from types import FrameType


class StopFlag:
    """Set by SIGTERM or SIGINT; never unset."""

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        """Take over SIGTERM and SIGINT for this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def __call__(self) -> bool:
        return self.requested

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
