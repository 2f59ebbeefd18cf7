"""The command `trainyard`, also as the kubectl plugin `kubectl-trainyard`.

Commands are modules of this package, imported when they are called: `--help` stays fast, and `run` in the
operator's pod never imports what only people's commands need.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click

from trainyard import __version__


class _Lazy(NamedTuple):
    module: str
    help: str
    hidden: bool = False


_COMMANDS = {
    "logs": _Lazy("logs", "Print the log of a TrainingJob."),
    "release": _Lazy("release", "Take Trainyard's finalizers off, so that things can be deleted."),
    "run": _Lazy("run", "Run the operator."),
    "runtimes": _Lazy("runtimes", "List the runtimes that jobs can use."),
    "schema": _Lazy("schema", "Print the parameters of an action as JSON schema."),
    "stored-log": _Lazy("stored", "Print a stored log of this machine.", hidden=True),
    "version": _Lazy("version", "Print the version."),
    "watch": _Lazy("watch", "Watch a TrainingJob until it ends."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"{__name__}.{_COMMANDS[cmd_name].module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in _COMMANDS.items() if not lazy.hidden])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trainyard", message="%(prog)s %(version)s")
def main() -> None:
    """Model training on Kubernetes."""
