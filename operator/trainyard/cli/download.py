"""`trainyard download`: a job's artifacts, or a checkpoint, on this machine, each file checked against its digest; of
an Experiment those of the job whose artifacts it has, of an MLModel those of a version.

The way there: a pod of the user's own reads the store (`sharing`), a port-forward reaches it (`tunnel`), what there is
is text that is not trusted (`offers`, `filelists`), and `fetching` writes the files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from trainyard import __version__
from trainyard.cli import (
    completing,
    connection,
    experimentjobs,
    fetching,
    filelists,
    kinds,
    modelcards,
    offers,
    operatorsettings,
    outputs,
    sharepod,
    sharing,
    transfers,
    versionstores,
)
from trainyard.cli.amounts import size_of
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.filelists import File
from trainyard.cli.logpods import find_pod, newest_attempt
from trainyard.cli.offers import Choice, Found
from trainyard.cli.tunnel import Tunnel, TunnelCut

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    folder: Path
    choice: Choice
    listing: bool
    overwrite: bool
    image: str | None
    operator_namespace: str
    limit: int
    version: int | None = None
    alias: str | None = None
    secret: str | None = None


def command(
    job: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB [FOLDER]",
            help="A TrainingJob; or, as experiment NAME or exp/NAME, the best trial or the last step of an Experiment; "
            "or, as model NAME, a version of an MLModel. Where to; default: ./JOB.",
            show_default=False,
            autocompletion=completing.runs,
        ),
    ],
    attempt: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of which attempt; default: the one that ended the job.", show_default=False
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="best|latest|EPOCH",
            help="A checkpoint instead of the artifacts; with --artifact beside them.",
            show_default=False,
        ),
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Only artifacts whose path or name matches, as '*.onnx'; may be given again.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="NUMBER", help="Of a model: this version; default: the newest.", show_default=False
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(
            metavar="ALIAS", help="Of a model: the version that has this alias.", show_default=False
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Print what would be downloaded, with digests.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there with another content.")
    ] = False,
    secret: versionstores.Secret = None,
    agent_image: sharing.AgentImage = None,
    timeout: sharing.Timeout = None,
    operator_namespace: operatorsettings.Namespace = connection.OPERATOR_NAMESPACE,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Download the artifacts of the TrainingJob JOB, or a checkpoint, and check every file's digest.

    Of an Experiment those that its status.artifacts names: of its best trial, or of its last step. Of an MLModel those
    of a version, also when the job that made it is gone.
    """
    which, folder = _meant(job)
    _check_options(which[0], of_model=(version, alias), of_job=(attempt, checkpoint))
    if secret is not None and which[0] != "MLModel":
        raise UsageError("--secret is for models: name one, as model NAME.")
    if checkpoint is not None and not offers.is_checkpoint(checkpoint):
        raise UsageError(f"--checkpoint is best, latest or the number of an epoch, not {checkpoint!r}.")
    wanted = Wanted(
        folder=folder or Path(which[1]),
        choice=Choice(attempt=attempt, checkpoint=checkpoint, patterns=tuple(artifact or ())),
        listing=listing,
        overwrite=overwrite,
        image=agent_image,
        operator_namespace=operator_namespace,
        limit=timeout or sharing.LIMIT_SECONDS,
        version=version,
        alias=alias,
        secret=secret,
    )
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    connection.run(_download(where, which, wanted))


def _meant(words: list[str]) -> tuple[tuple[str, str], Path | None]:
    """Whose artifacts, and where to. Raises UsageError for too many words."""
    named = 2 if len(words) > 1 and kinds.known(words[0]) in (*kinds.RUNS, "MLModel") else 1
    if len(words) > named + 1:
        raise UsageError(
            f"This is for one job and one folder, and there are {len(words)}: {' '.join(words)}."
        )
    return kinds.run(words[:named], also=("MLModel",)), Path(words[named]) if len(words) > named else None


def _check_options(kind: str, *, of_model: Sequence[object], of_job: Sequence[object]) -> None:
    """Raises UsageError for options of another kind, or two that say the same."""
    said = sum(one is not None for one in of_model)
    if kind != "MLModel" and said:
        raise UsageError("--version and --alias are for models: name one, as model NAME.")
    if said > 1:
        raise UsageError("Give --version or --alias, not both.")
    if kind == "MLModel" and any(one is not None for one in of_job):
        raise UsageError(
            "A version is what its job has left at its end: take --version or --alias, or the job for --attempt and "
            "--checkpoint."
        )


async def _download(where: Where, which: tuple[str, str], wanted: Wanted) -> None:
    if wanted.folder.exists() and not wanted.folder.is_dir():
        raise CommandError(f"{wanted.folder} is a file; name a folder, or one that is to be made.")
    async with connection.connected(where) as there:
        job, model, number = await _job(there, which, wanted)
        name = job["metadata"]["name"]
        if wanted.choice.attempt is not None and wanted.choice.attempt > newest_attempt(job):
            raise CommandError(
                f"TrainingJob {name} has no attempt {wanted.choice.attempt}; its newest is {newest_attempt(job)}."
            )
        pod = await find_pod(there, job, attempt=newest_attempt(job), rank=0)
        settings = await operatorsettings.read(there, wanted.operator_namespace)
        place = outputs.place(job, pod, settings)
        if model is not None:
            place = await versionstores.checked(there, model, number, place, secret=wanted.secret)
        uid, question = offers.asked(job, place, wanted.choice)
        await sharing.check(there, place)
        helper = sharepod.build(
            job,
            pod,
            place,
            uid=uid,
            image=sharepod.image_of(
                pod, settings, given=wanted.image, default=f"trainyard/agent:{__version__}"
            ),
            suffix=sharepod.suffix(),
        )
        async with sharing.running(there, helper, limit=wanted.limit) as helper_name:

            def opened() -> Tunnel:
                return Tunnel(
                    client=there.client, namespace=there.namespace, pod=helper_name, port=sharepod.PORT
                )

            async with opened() as tunnel:
                found = await offers.found(tunnel, job, place, uid, question, wanted.choice)
                if wanted.listing:
                    _print(found)
                    return
                await _bring(found, wanted, opened)


async def _job(there: Connection, which: tuple[str, str], wanted: Wanted) -> tuple[Json, Json | None, int]:
    """The job that has left it; of a version something like that job, which may be gone, the model and the number."""
    kind, name = which
    if kind == "MLModel":
        model = await there.object("MLModel", name)
        number = modelcards.number_of(model, version=wanted.version, alias=wanted.alias)
        typer.echo(f"Version {number} of model {name}:", err=True)
        return modelcards.as_job(model, number), model, number
    if kind != "Experiment":
        return await there.training_job(name), None, 0
    job = await experimentjobs.kept(there, name)
    typer.echo(f"{job['metadata']['name']} of experiment {name}:", err=True)
    return job, None, 0


def _print(found: Found) -> None:
    from rich.table import Table

    from trainyard.cli import output

    table = Table("PATH", "SIZE", "SHA256", box=None, pad_edge=False)
    for file in found.files:
        table.add_row(file.path, size_of(file.size), file.sha256)
    output.print_table(table)
    typer.echo(f"{_amount(found.files)}: the {found.what}.", err=True)


async def _bring(found: Found, wanted: Wanted, opened: Callable[[], Tunnel]) -> None:
    folder = fetching.Folder(wanted.folder)
    if not wanted.overwrite and (taken := fetching.occupied(folder, found.files, found.texts)):
        raise CommandError(
            f"{len(taken)} files are there with another content ({offers.few(taken)}): choose another FOLDER, or "
            "replace them by --overwrite."
        )
    if (why := fetching.missing_room(folder, found.files)) is not None:
        raise CommandError(why)
    view = transfers.of(files=len(found.files), size=filelists.total(found.files))
    staying = asyncio.create_task(_stay(opened))
    try:
        with view.opened():
            result = await fetching.fetch(found.files, folder, opened, view, overwrite=wanted.overwrite)
    finally:
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
    if result.problems:
        shown = " ".join(result.problems[: offers.SHOWN])
        raise CommandError(f"{len(result.problems)} of {len(found.files)} files could not be had. {shown}")
    for text in found.texts:
        folder.target(text.path).write_text(text.content, encoding="utf-8")
    there = f", of which {result.there} were there" if result.there else ""
    typer.echo(
        f"{wanted.folder} has the {found.what}: {_amount(found.files)}{there}. The sha256 of each is right."
    )


async def _stay(opened: Callable[[], Tunnel]) -> None:
    """Lets the pod know that we are here, also while nothing is fetched, as when files on this machine are read."""
    async with opened() as tunnel:
        while True:
            with suppress(TunnelCut, CommandError):
                await tunnel.json("/alive")
            await asyncio.sleep(sharepod.IDLE_SECONDS / 5)


def _amount(files: list[File]) -> str:
    number = "1 file" if len(files) == 1 else f"{len(files)} files"
    return f"{number}, {size_of(filelists.total(files))}"
