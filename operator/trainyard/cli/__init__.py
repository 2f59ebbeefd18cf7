"""The command `trainyard`, also as the kubectl plugin `kubectl-trainyard`.

Commands are modules of this package, imported when they are called: `--help` stays fast, and `run` in the
operator's pod never imports what only people's commands need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from trainyard import __version__
from trainyard.cli.exits import CommandError, ExitCode


class _Lazy(NamedTuple):
    module: str
    help: str
    function: str = "command"
    hidden: bool = False


_COMMANDS = {
    "submit": _Lazy("submit", "Create TrainingJobs and what belongs to them."),
    "get": _Lazy("get", "List jobs, datasets, experiments and models, or show one."),
    "describe": _Lazy("describe", "Show objects in full; of a dataset, what is in it."),
    "watch": _Lazy("watch", "Watch a TrainingJob until it ends."),
    "logs": _Lazy("logs", "Print the log of a TrainingJob."),
    "download": _Lazy("download", "Download the artifacts of a TrainingJob, or a checkpoint."),
    "pause": _Lazy("verbs", "Pause TrainingJobs: they save a checkpoint and give up their nodes.", "pause"),
    "resume": _Lazy("verbs", "Let paused or cancelled TrainingJobs go on.", "resume"),
    "cancel": _Lazy("verbs", "Cancel TrainingJobs; their record and logs stay.", "cancel"),
    "retry": _Lazy("verbs", "Try TrainingJobs that have failed again.", "retry"),
    "delete": _Lazy("delete", "Delete jobs, experiments and models with their record."),
    "recommend": _Lazy("recommend", "Find out which type of model suits a dataset."),
    "train": _Lazy("modeltrain", "Train a model again, which makes a new version."),
    "card": _Lazy("card", "Print the model card of a version."),
    "alias": _Lazy("modelverbs", "Move aliases of a model between its versions.", "alias"),
    "deprecate": _Lazy("modelverbs", "Deprecate models: in use, and trained no more.", "deprecate"),
    "archive": _Lazy("modelverbs", "Archive models: kept as a record.", "archive"),
    "activate": _Lazy("modelverbs", "Take models into use again.", "activate"),
    "push": _Lazy("push", "Push a folder of this machine into a dataset."),
    "refresh": _Lazy("refresh", "Have the sources of datasets looked at again."),
    "plot": _Lazy("plot", "Draw what an experiment has found, as a picture or a page."),
    "export": _Lazy("export", "Write the runs of an experiment as JSON or CSV, or to MLflow."),
    "runtimes": _Lazy("runtimes", "List the runtimes that jobs can use."),
    "schema": _Lazy("schema", "Print the parameters of an action as JSON schema."),
    "release": _Lazy("release", "Take Trainyard's finalizers off, so that things can be deleted."),
    "run": _Lazy("run", "Run the operator."),
    "version": _Lazy("", "Print the version.", "print_version"),
    "stored-log": _Lazy("stored", "Print a stored log of this machine.", hidden=True),
}
_PLUGIN = "kubectl-trainyard"
_COMPLETION = ("install_completion", "show_completion")


class LazyGroup(TyperGroup):
    """Knows its commands by name, and tells what goes wrong in one line.

    NB: contexts and commands are of the library's private copy of click, hence Any.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        lazy = _COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module = f"{__name__}.{lazy.module}" if lazy.module else __name__
        function = getattr(import_module(module), lazy.function)
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cmd_name, hidden=lazy.hidden, context_settings=ctx.command.context_settings)(function)
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # NB: by names only, or the library would look for the nearest among commands that are not loaded.
        if args and args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from trainyard.planning.nearest import hint

            visible = [name for name, lazy in _COMMANDS.items() if not lazy.hidden]
            raise CommandError(f"There is no command {args[0]}: {hint(args[0], visible)}", ExitCode.USAGE)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in _COMMANDS.items() if not lazy.hidden])

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        from typer.core import CompletionItem  # type: ignore[attr-defined]  # not declared as exported

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=lazy.help)
            for name, lazy in _COMMANDS.items()
            if name.startswith(incomplete) and not lazy.hidden
        ]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        if prog_name is None and Path(sys.argv[0]).stem == _PLUGIN:
            # NB: kubectl completes its plugins by itself, see `completing`.
            prog_name = "kubectl trainyard"
            self.params = [param for param in self.params if param.name not in _COMPLETION]
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except CommandError as error:
            _fail(error.message, error.code)
        except typer.TyperException as error:
            where = getattr(getattr(error, "ctx", None), "command_path", "")
            # NB: pydantic, by which the library reads values, begins with that word of its own.
            message = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
            _fail(f"{message}. See {where} --help." if where else f"{message}.", error.exit_code)
        except typer.Abort:
            _fail("Nothing was done.", ExitCode.FAILED)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


def _fail(message: str, code: int) -> None:
    typer.echo(f"Error: {message}", err=True)
    sys.exit(code)


main = typer.Typer(
    cls=LazyGroup,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version() -> None:
    """Print the version."""
    typer.echo(f"trainyard {__version__}")


def _print_version(wanted: bool) -> None:
    if wanted:
        print_version()
        raise typer.Exit


@main.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Model training on Kubernetes."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
