"""`trainyard recommend`: which type of model suits a Dataset, measured by a job on the cluster.

Separate from `recommendations`, which knows what a recommendation is, because this makes the job, waits for it, and
reads what its trainer has found from its log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from trainyard.cli import (
    completing,
    connection,
    durations,
    keptlog,
    livelog,
    output,
    posting,
    quickjob,
    recommendations,
    waits,
)
from trainyard.cli.connection import Connection, Where
from trainyard.cli.excerpts import Excerpt
from trainyard.cli.exits import CommandError, ExitCode, UsageError
from trainyard.cli.kinds import dataset as dataset_name
from trainyard.cli.kinds import reference
from trainyard.cli.livelog import Printer
from trainyard.cli.logpods import find_pod, newest_attempt
from trainyard.logs.splice import Line

Json = dict[str, Any]

# NB: a container runtime cuts a line into records of 16 KiB, and it is these that the kubelet counts as lines.
_TAIL = 32


def command(
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="The Dataset to measure on.",
            parser=dataset_name,
            show_default=False,
            autocompletion=completing.datasets,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column to predict; default: target or label, else the last one.",
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE[,TYPE...]",
            help=f"Types to choose from; default: {', '.join(recommendations.CANDIDATES)}.",
            show_default=False,
        ),
    ] = None,
    time_budget: Annotated[
        int | None,
        typer.Option(
            parser=durations.seconds,
            metavar="TIME",
            help="Time to measure, as 90s or 10m; with too little of it rules decide; default: 5m.",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=20,
            metavar="NUMBER",
            help="Parts of the data for the cross-validation; default: 5.",
            show_default=False,
        ),
    ] = None,
    parameters: quickjob.Parameters = None,
    name: Annotated[str | None, typer.Option(help="Name of the job.", show_default=False)] = None,
    timeout: waits.Timeout = None,
    form: Annotated[
        Literal["json", "yaml"] | None,
        typer.Option("-o", "--output", help="Print it for programs.", show_default=False),
    ] = None,
    operator_namespace: Annotated[
        str, typer.Option(help="Namespace of the operator, which keeps the logs of pods that are gone.")
    ] = connection.OPERATOR_NAMESPACE,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Find out which type of model suits a Dataset: all candidates are fitted to it and compared by cross-validation.

    A TrainingJob of action recommend does it, and stays as a record. The exit code is 0 with a recommendation, 4 when
    the job ended in Error, 5 when it was cancelled, 124 when --timeout has passed.
    """
    if name == "":
        raise UsageError("A name is empty.")
    said: Json = {
        "target": target,
        "candidates": recommendations.candidates(candidates or []),
        "time_budget_seconds": time_budget,
        "folds": folds,
    }
    given = {key: value for key, value in said.items() if value} | quickjob.nested(parameters or [])
    body = recommendations.job(dataset=dataset, name=name, parameters=given)
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(
        _recommend(where, dataset, body, limit=timeout, form=form, operator_namespace=operator_namespace)
    )


async def _recommend(
    where: Where, dataset: str, body: Json, *, limit: int | None, form: str | None, operator_namespace: str
) -> int:
    async with connection.connected(where) as there:
        await there.object("Dataset", dataset)
        job = await posting.job(there, body)
        name = job["metadata"]["name"]
        typer.echo(f"{reference('TrainingJob', name)} created", err=True)
        (reached,) = await waits.reach(there, [job], waits.end, limit=limit)
        if reached.outcome.code is not ExitCode.OK:
            return reached.outcome.code
        lines = await _said(there, reached.job, operator_namespace)
    found = recommendations.last(lines)
    if found is None:
        raise CommandError(
            f"TrainingJob {name} is Done, and its log ends without a recommendation: `trainyard logs {name}` has it."
        )
    shown = recommendations.checked(found, job=name)
    if form is not None:
        output.print_data({"job": name, "dataset": dataset, **shown}, form=form)
    else:
        recommendations.show(shown)
    return ExitCode.OK


async def _said(there: Connection, job: Json, operator_namespace: str) -> list[Line]:
    """The last lines of the trainer's log: of its pod, or where that is gone, of what is kept."""
    attempt = newest_attempt(job)
    end = _End()
    pod = await find_pod(there, job, attempt=attempt, rank=0)
    if pod is not None:
        await livelog.print_log(there, pod, Excerpt(tail=_TAIL), end, follow=False)
    if not end.found:
        log = keptlog.Kept(attempt=attempt, rank=0, operator_namespace=operator_namespace)
        await keptlog.print_kept(there, job, log, Excerpt(tail=_TAIL), end)
    return end.found


class _End(Printer):
    """Lines that are not printed but kept."""

    def __init__(self) -> None:
        super().__init__(timestamps=False)
        self.found: list[Line] = []

    def lines(self, lines: Iterable[Line]) -> None:
        self.found += lines
