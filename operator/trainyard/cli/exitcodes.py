"""The exit codes of every command, in one place, so that scripts can rely on them; docs/cli.md has the same table."""

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
