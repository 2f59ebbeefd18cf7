"""`trainyard submit`: creates what files say, jobs first of all, and waits for them where that is asked.

Unlike `kubectl apply`, it never changes what is there: a job is run once, and a second one has a name of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trainyard.cli import connection, errors, manifests, output, quickjob, reaching
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exitcodes import ExitCode
from trainyard.cli.failing import CommandError, UsageError
from trainyard.cli.intents import FIELD_MANAGER
from trainyard.cli.manifests import Manifest
from trainyard.cli.output import Format
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

# What runs; anything else that is there already is something that jobs share.
_RUNS = ("TrainingJob", "Experiment")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A manifest, where it goes, and as what."""

    manifest: Manifest
    path: str
    reference: str


class _Exists(Exception):
    """The object is there already, and is shared by jobs."""


def command(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|-",
            help="Manifests: files, folders with files, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "-f", "--filename", metavar="FILE", help="The same, as kubectl says it.", show_default=False
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job.", show_default=False)] = None,
    runtime: quickjob.Runtime = None,
    kind: quickjob.Type = None,
    architecture: quickjob.Architecture = None,
    image: quickjob.Image = None,
    action: quickjob.Action = None,
    parameters: quickjob.Parameters = None,
    datasets: quickjob.Datasets = None,
    parent: quickjob.Parent = None,
    gpus: quickjob.Gpus = None,
    output_claim: quickjob.OutputClaim = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server check it, and create nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the jobs have ended.")] = False,
    timeout: reaching.Timeout = None,
    form: output.Output = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Create TrainingJobs and what belongs to them, from manifests, or one job from options.

    Nothing is created unless the API server would take all of it. A job that is there already is an error; another
    thing that is there, such as a Dataset or a Secret, is left as it is. With --wait the exit code is 0 when all jobs
    are Done, 4 when one ended in Error, 5 when one was cancelled.
    """
    given = [*(sources or []), *(files or [])]
    quick = quickjob.manifest(
        name=name,
        runtime=runtime,
        kind=kind,
        architecture=architecture,
        image=image,
        action=action,
        parameters=parameters or [],
        datasets=datasets or [],
        parent=parent,
        gpus=gpus,
        output_claim=output_claim,
    )
    if bool(given) == (quick is not None):
        raise UsageError(
            "Give manifests, or describe one job by --type, --architecture, --runtime or --image."
        )
    found = [quick] if quick is not None else manifests.read(given)
    if name is not None and quick is None:
        found = manifests.renamed(found, name)
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_submit(where, found, dry_run=dry_run, wait=wait, limit=timeout, form=form))


async def _submit(
    where: Where,
    found: Sequence[Manifest],
    *,
    dry_run: bool,
    wait: bool,
    limit: int | None,
    form: Format | None,
) -> int:
    async with connection.connected(where) as there:
        places = await _places(there, found, namespace=where.namespace)
        checked = await _checked(there, places)
        made = checked if dry_run else [(one, await _create(there, one)) for one, _ in checked]
        if form is None:
            for place, raw in made:
                reference = f"{place.reference}/{raw['metadata']['name']}"
                typer.echo(f"{reference} {'would be created' if dry_run else 'created'}")
        jobs = [raw for place, raw in made if place.manifest.ours and place.manifest.kind == "TrainingJob"]
        codes: list[ExitCode] = []
        shown = [raw for _, raw in made]
        if wait and jobs and not dry_run:
            reached = await reaching.reach(there, jobs, reaching.end, limit=limit)
            codes = [one.outcome.code for one in reached]
            now = {one.job["metadata"]["uid"]: one.job for one in reached}
            shown = [now.get(raw["metadata"]["uid"], raw) for raw in shown]
    if form is not None:
        output.print_objects(shown, form)
    return next((code for code in codes if code), ExitCode.OK)


async def _places(there: Connection, found: Sequence[Manifest], *, namespace: str | None) -> list[_Place]:
    """Where each goes. Raises CommandError for a kind that is not there, or another namespace than the one asked."""
    known: dict[str, list[Json]] = {}
    places = []
    for one in found:
        own = one.raw["metadata"].get("namespace")
        if own and namespace and own != namespace:
            raise CommandError(
                f"{one} says namespace {own} and the command line {namespace}: take one of them out."
            )
        base, plural, namespaced = await _resource(there, one, known)
        parts = [base, *(["namespaces", own or there.namespace] if namespaced else []), plural]
        group = one.raw["apiVersion"].rpartition("/")[0]
        reference = f"{one.kind.lower()}.{group}" if group else one.kind.lower()
        places.append(_Place(manifest=one, path="/".join(parts), reference=reference))
    return places


async def _resource(there: Connection, one: Manifest, known: dict[str, list[Json]]) -> tuple[str, str, bool]:
    if one.ours:
        base, _, plural = resources.path(one.kind).rpartition("/")
        return base, plural, True
    version = one.raw["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if version not in known:
        try:
            known[version] = (await there.client.get(base)).get("resources") or []
        except ApiError as error:
            if error.status != 404:
                raise
            known[version] = []
    for resource in known[version]:
        if resource["kind"] == one.kind and "/" not in resource["name"]:
            return base, resource["name"], resource["namespaced"]
    raise CommandError(f"{one}: this cluster knows no {one.kind} of {version}; is what brings it installed?")


async def _checked(there: Connection, places: Sequence[_Place]) -> list[tuple[_Place, Json]]:
    """Those that are to be created, as the API server would. Raises CommandError when it refuses one."""
    wrong: list[str] = []
    right: list[tuple[_Place, Json]] = []
    for place in places:
        try:
            right.append((place, await _post(there, place, dry_run=True)))
        except _Exists:
            reference = f"{place.reference}/{place.manifest.name}"
            typer.echo(
                f"{reference} is there already and stays as it is; `kubectl apply` changes it.", err=True
            )
        except CommandError as error:
            wrong.append(error.message)
    if not wrong:
        return right
    *others, last = wrong
    for message in others:
        typer.echo(f"Error: {message}", err=True)
    raise CommandError(last)


async def _create(there: Connection, place: _Place) -> Json:
    try:
        return await _post(there, place, dry_run=False)
    except _Exists:
        raise CommandError(
            f"{place.manifest} was created by somebody else meanwhile; submit again."
        ) from None


async def _post(there: Connection, place: _Place, *, dry_run: bool) -> Json:
    params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    one = place.manifest
    try:
        return await there.client.post(
            place.path, one.raw, {**params, "dryRun": "All"} if dry_run else params
        )
    except ApiError as error:
        if error.status == 409 and error.reason == "AlreadyExists":
            if not one.ours or one.kind not in _RUNS:
                raise _Exists from None
            raise CommandError(
                f"{one} exists already: choose another name (--name), or `trainyard delete {one.name}` first."
            ) from None
        if errors.is_not_served(error):
            raise CommandError(errors.NOT_INSTALLED) from None
        if error.status in (400, 422):
            lines = errors.causes(error) or [errors.as_sentence(error.message)]
            raise CommandError("\nError: ".join(f"{one}: {line}" for line in lines)) from None
        raise CommandError(f"{one}: {errors.sentence(error)}") from None
