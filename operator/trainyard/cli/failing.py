"""The exception by which a command ends with a sentence.

Separate because it must cost nothing to import: `--help` and `run` load it too.
"""

from __future__ import annotations

from trainyard.cli.exitcodes import ExitCode


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
