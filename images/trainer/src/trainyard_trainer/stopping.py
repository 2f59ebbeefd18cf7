"""SIGTERM as a question that the training asks between two mini steps.

Separate because a handler must be in place before the slow imports: as process 1 of a container Python
would otherwise ignore the signal. Installed by `__main__`, asked by every action.
"""

from __future__ import annotations

import signal
from types import FrameType


class StopRequested(Exception):
    """SIGTERM came where there is nothing to save. The message, if any, says how far it was."""


class StopFlag:
    """Set by SIGTERM or SIGINT; never unset."""

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        """Take over SIGTERM and SIGINT for this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def raise_if_requested(self) -> None:
        """Raises StopRequested once a signal has come."""
        if self.requested:
            raise StopRequested

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
