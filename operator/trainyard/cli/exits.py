"""How commands end: the exit codes, in one place so that scripts can rely on them, and the exceptions that carry one.

Separate because it must cost nothing to import: `--help` and `run` load it too. docs/cli.md has the table of
codes.
"""

from __future__ import annotations

from enum import IntEnum

from trainyard.api.reasons import Phase


class ExitCode(IntEnum):
    """What a command's exit code means."""

    OK = 0
    """The command did what was asked; a job that was waited for is Done, or in the state that was asked for."""
    FAILED = 1
    """The command could not do it: no cluster, no permission, no such job, a refusal."""
    USAGE = 2
    """The command line is wrong."""
    STALLED = 3
    """The job that was waited for will not go on by itself."""
    JOB_FAILED = 4
    """The job that was waited for ended in Error."""
    JOB_CANCELED = 5
    """The job that was waited for was cancelled."""
    TIMED_OUT = 124
    """The time of --timeout has passed (as timeout(1) says it)."""
    INTERRUPTED = 130
    """Ctrl-C."""


_OF_END = {
    Phase.DONE: ExitCode.OK,
    Phase.ERROR: ExitCode.JOB_FAILED,
    Phase.CANCELED: ExitCode.JOB_CANCELED,
}


def of_end(phase: str) -> ExitCode:
    """For a job that has ended in this phase."""
    return _OF_END[Phase(phase)]


class CommandError(Exception):
    """Ends the command: `Error: ` and the sentence on stderr, and this exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class UsageError(CommandError):
    """The command line is wrong in a way that its declaration cannot tell."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.USAGE)
