"""What the lines of one log amount to: the trainer's report, the last lines, and where a stream continues.

Separate from `cluster.followed_log`, its caller, because it is the same whether lines come from a stream or from the
store after a restart.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from trainyard.logs.splice import Line, Splicer
from trainyard.logs.store import LogFile
from trainyard.planning.curve import Curve
from trainyard.planning.progress import Report, fold_all
from trainyard.planning.statusline import parse

TAIL_LINES, TAIL_CHARACTERS = 20, 400
_LINES_AT_ONCE = 1000


@dataclass
class LogContent:
    """Of one log, so far. `curve` is the empty one of the metric that its job is compared by, if it is."""

    report: Report | None = None
    curve: Curve | None = None
    splicer: Splicer = field(default_factory=Splicer)
    tail: deque[bytes] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def add(self, lines: list[Line]) -> bool:
        """Takes new lines in; whether one of them was a status line."""
        said = [
            (line, stamp.decode())
            for stamp, text in lines
            # NB: all lines pass here; what is not JSON must cost next to nothing.
            if b"{" in text[:8] and (line := parse(text.decode("utf-8", "replace"))) is not None
        ]
        if said:
            self.report = fold_all(self.report or Report(at=said[0][1], curve=self.curve), said)
        self.tail.extend(text[: TAIL_CHARACTERS * 4] for _, text in lines[-TAIL_LINES:])
        return bool(said)

    def tail_text(self) -> tuple[str, ...]:
        return tuple(text.decode("utf-8", "replace")[:TAIL_CHARACTERS] for text in self.tail)


def replay(file: LogFile, *, curve: Curve | None = None) -> LogContent:
    """The content of a stored log, as if it had just been followed. Blocking: for a thread."""
    content = LogContent(curve=curve)
    file.repair()
    lines = file.lines()
    while some := list(islice(lines, _LINES_AT_ONCE)):
        content.add(some)
    last, complete = file.last_lines()
    content.splicer = Splicer.resumed_from(last, complete=complete)
    return content
