"""`trainyard export experiment NAME --to json|csv|mlflow`: every run of every trial and step, for other programs."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trainyard.cli import connection, experimentjobs
from trainyard.cli.connection import Where
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.experimenthistory import History

_URI = "MLFLOW_TRACKING_URI"
_NEEDED = "Writing to MLflow needs its client: pip install 'trainyard[mlflow]', then run it again."


class Target(StrEnum):
    """What is written."""

    JSON = "json"
    CSV = "csv"
    MLFLOW = "mlflow"


def command(
    kind: connection.ExperimentKind,
    name: connection.Experiment,
    target: Annotated[Target, typer.Option("--to", help="What to write.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With json or csv: where to; default: stdout.", show_default=False),
    ] = None,
    mlflow_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="With mlflow: a tracking server, as https://mlflow.example.com, or a folder; default: "
            f"${_URI}.",
            show_default=False,
        ),
    ] = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Write every run of the Experiment NAME: its trial, rung, job, state, value, parameters, times and curve.

    To MLflow a second time it adds what is new, and no run twice. That needs the extra `mlflow`:
    pip install 'trainyard[mlflow]'.
    """
    wants_mlflow = target is Target.MLFLOW
    if wants_mlflow and out is not None:
        raise UsageError("--out is for json and csv; with --to mlflow give --mlflow-uri.")
    if not wants_mlflow and mlflow_uri is not None:
        raise UsageError(f"--mlflow-uri is for --to mlflow; with --to {target} give --out FILE.")
    uri = (mlflow_uri or os.environ.get(_URI) or "") if wants_mlflow else ""
    if wants_mlflow and not uri:
        raise UsageError(f"Say where MLflow is: --mlflow-uri URI, or {_URI} in the environment.")
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} for --out; make it first.")
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    history = connection.run(_history(where, name))
    if wants_mlflow:
        to_mlflow(history, uri)
    else:
        _to_file(history, target, out)


async def _history(where: Where, name: str) -> History:
    async with connection.connected(where) as there:
        return await experimentjobs.gathered(there, name)


def _to_file(history: History, target: Target, out: Path | None) -> None:
    from trainyard.cli import exportrows, pictures

    text = exportrows.as_csv(history) if target is Target.CSV else exportrows.as_json(history)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        pictures.write(out, text.encode())
    except OSError as error:
        raise CommandError(f"The file cannot be written: {error}.") from None
    typer.echo(f"{out} has {_runs(len(history.runs))}.", err=True)


def to_mlflow(history: History, uri: str) -> None:
    """Raises CommandError without the extra, and with what MLflow says."""
    if not history.runs:
        raise CommandError(f"Experiment {history.experiment} has no run yet.")
    try:
        from trainyard.cli import mlflowexport
    except ImportError:
        raise CommandError(_NEEDED) from None
    done = mlflowexport.send(history, uri)
    typer.echo(
        f"{uri} has the experiment {mlflowexport.experiment_name(history)}: {_runs(done.created)} added, "
        f"{done.updated} brought up to date, {done.same} there already."
    )


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
