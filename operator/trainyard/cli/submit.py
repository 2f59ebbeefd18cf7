"""`trainyard submit`: creates what files say, jobs first of all, and waits for them where that is asked.

Unlike `kubectl apply`, it never changes what is there: a job is run once, and a second one has a name of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trainyard.cli import connection, errors, kinds, manifests, output, quickjob, waits
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode, UsageError
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
    """A manifest, and where it goes."""

    manifest: Manifest
    path: str

    def reference(self, name: str) -> str:
        return kinds.reference(self.manifest.kind, name, version=self.manifest.raw["apiVersion"])


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
    nodes: quickjob.Nodes = None,
    output_claim: quickjob.OutputClaim = None,
    output_uri: quickjob.OutputUri = None,
    output_secret: quickjob.OutputSecret = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server check it, and create nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until jobs and experiments have ended.")] = False,
    timeout: waits.Timeout = None,
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
    waits.check_timeout(timeout, wait=wait)
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
        nodes=nodes,
        output_claim=output_claim,
        output_uri=output_uri,
        output_secret=output_secret,
    )
    if name == "":
        raise UsageError("A name is empty.")
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
        _refuse_twins(places)
        checked = await _checked(there, places)
        if dry_run:
            made = checked
            if form is None:
                for place, raw in made:
                    typer.echo(f"{place.reference(raw['metadata']['name'])} would be created")
        else:
            made = await _created(there, [place for place, _ in checked], form=form)
        jobs = [raw for place, raw in made if place.manifest.ours and _runs(raw)]
        codes: list[ExitCode] = []
        shown = [raw for _, raw in made]
        if wait and jobs and not dry_run:
            reached = await waits.reach(there, jobs, waits.end, limit=limit)
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
        places.append(_Place(manifest=one, path="/".join(parts)))
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
            _say_shared(place)
        except CommandError as error:
            wrong.append(error.message)
    if not wrong:
        return right
    *others, last = wrong
    for message in others:
        typer.echo(f"Error: {message}", err=True)
    raise CommandError(last)


async def _created(
    there: Connection, places: Sequence[_Place], *, form: Format | None
) -> list[tuple[_Place, Json]]:
    """Creates them one by one, and says each on stdout at once, where no data is wanted.

    Raises CommandError for one that cannot be created, when it has told those that stay.
    """
    made: list[tuple[_Place, Json]] = []
    for place in places:
        try:
            with errors.told():
                raw = await _post(there, place, dry_run=False)
        except _Exists:
            _say_shared(place)
        except CommandError as error:
            if form is not None and made:
                output.print_objects([raw for _, raw in made], form)
            message = f"{error.message} {len(made)} of {len(places)} were created; they stay."
            raise CommandError(message if made else error.message, error.code) from None
        else:
            made.append((place, raw))
            if form is None:
                typer.echo(f"{place.reference(raw['metadata']['name'])} created")
    return made


def _runs(raw: Json) -> bool:
    """Whether it comes to an end: an Experiment without actions is a draft."""
    return raw["kind"] in _RUNS and (raw["kind"] == "TrainingJob" or bool(raw["spec"].get("actions")))


def _refuse_twins(places: Sequence[_Place]) -> None:
    """Raises CommandError for two objects of one name, as the API server finds only one at a time."""
    seen: dict[tuple[str, str], Manifest] = {}
    for place in places:
        if not (name := place.manifest.raw["metadata"].get("name")):
            continue
        first = seen.setdefault((place.path, name), place.manifest)
        if first is not place.manifest:
            raise CommandError(
                f"{place.manifest} is there twice, first in {first.source}: take one of them out."
            )


def _say_shared(place: _Place) -> None:
    reference = place.reference(place.manifest.name)
    typer.echo(f"{reference} is there already and stays as it is; `kubectl apply` changes it.", err=True)


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
            called = f"experiment {one.name}" if one.kind == "Experiment" else one.name
            raise CommandError(
                f"{one} exists already: choose another name (--name), or `trainyard delete {called}` first."
            ) from None
        if errors.is_not_served(error):
            raise CommandError(errors.NOT_INSTALLED) from None
        if error.status in (400, 422):
            lines = errors.causes(error) or [errors.as_sentence(error.message)]
            raise CommandError("\nError: ".join(f"{one}: {line}" for line in lines)) from None
        raise CommandError(f"{one}: {errors.sentence(error)}") from None
