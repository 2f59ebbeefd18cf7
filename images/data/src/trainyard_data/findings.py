"""What is wrong with a dataset.

Separate because readers, checks and actions all tell it, and because how much of it is kept is bounded here: the
first problem with its place, a few more for the log, and how many files have one. Readers add to it and go on.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Findings that are kept to be told in the log; of the others only the number of their files is.
KEPT = 100
_LONGEST = 900
TOO_LARGE = (
    "Reading it takes more memory than the check has (the setting data.limits.memory of the operator)."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: `path` is inside the dataset's folder, `line` counts from 1. `message` is a sentence."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}{f', line {self.line}' if self.line else ''}: {self.message}"


def printable(text: str) -> str:
    """A text from a file as one that can be written: JSON can say halves of letters, which UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


class BadData(Exception):
    """A file that cannot be read on. `finding` says where and why."""

    def __init__(self, path: str, line: int | None, message: str) -> None:
        self.finding = Finding(path, line, message)
        super().__init__(str(self.finding))


class Findings:
    """Collects findings in the order in which they are found; memory does not grow with their number."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._paths: set[str] = set()
        self._count = 0

    def add(self, path: str, line: int | None, message: str) -> None:
        """One more; a message longer than the API takes is cut."""
        path, message = printable(path), printable(message)
        message = message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"
        self._count += 1
        self._paths.add(path)
        if len(self._kept) < KEPT:
            self._kept.append(Finding(path, line, message))

    def bad(self, error: BadData) -> None:
        self.add(error.finding.path, error.finding.line, error.finding.message)

    @property
    def first(self) -> Finding | None:
        return self._kept[0] if self._kept else None

    @property
    def kept(self) -> tuple[Finding, ...]:
        return tuple(self._kept)

    @property
    def files(self) -> int:
        """Files (or folders) with something wrong."""
        return len(self._paths)

    def __len__(self) -> int:
        return self._count
