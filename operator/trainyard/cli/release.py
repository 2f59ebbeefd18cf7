"""`trainyard release`: takes our finalizers off, so that everything can be deleted where no operator does it.

Called by the chart's pre-delete hook, and by people whose operator is gone: a pod keeps the finalizer until an
operator has read its verdict, and what holds a pod holds its namespace.

NB: imports nothing of planning and of the API's models, so that it works where the operator ends on an error in those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import aiohttp
import typer

from trainyard.api import names
from trainyard.cli import completing, connection, durations, errors, stopping
from trainyard.cli.connection import Connection, Json, Where
from trainyard.cli.exits import UsageError
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client

_POD = "Pod"
_KINDS = (_POD, "TrainingJob", "Dataset", "Experiment", "MLModel")
_PAGE = 500
_PREFIX = f"{names.GROUP}/"
_PARALLEL = 32
_PAUSE_SECONDS = 1.0
_LIMIT_SECONDS = 120
# Rounds of nothing but refusals. More than one: the hook's permissions are as young as its pod.
_FRUITLESS_ROUNDS = 5
_SHOWN_FAILURES = 20
_TROUBLE = (ApiError, aiohttp.ClientError, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class Held:
    """An object that carries finalizers of ours."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    finalizers: tuple[str, ...]

    @property
    def ours(self) -> list[str]:
        return [one for one in self.finalizers if one.startswith(_PREFIX)]

    def __str__(self) -> str:
        return f"{self.kind.lower() if self.kind == _POD else self.kind} {self.namespace}/{self.name}"


@dataclass
class _Account:
    """How many objects were let go so far, and sentences on what the present round could not do.

    A list that is refused with a status of `skipped` is none of these: 404 is a cluster without our CRDs.
    """

    skipped: frozenset[int]
    released: int = 0
    failures: list[str] = field(default_factory=list)


def command(
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
    namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "-n",
            "--namespace",
            help="Namespace; repeatable. Default: the context's.",
            show_default=False,
            autocompletion=completing.namespaces,
        ),
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="All namespaces.")] = False,
    stop_deployment: Annotated[
        str | None,
        typer.Option(
            metavar="[NAMESPACE/]NAME",
            help="First scale this Deployment, the operator's, to 0 and wait until its pods are gone.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            parser=durations.seconds,
            metavar="TIME",
            help="Give up after so long: seconds, or 90s, 10m, 1h30m; default: 2m.",
            show_default=False,
        ),
    ] = None,
    skip_forbidden: Annotated[
        bool,
        typer.Option(
            "--skip-forbidden", help="Skip what may not be listed. The permissions in a namespace go with it."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be released and change nothing.")
    ] = False,
) -> int:
    """Take Trainyard's finalizers off pods and resources, so that they and their namespaces can be deleted.

    For when the operator is gone for good: a pod that is removed afterwards takes with it how it ended, where the
    job's status does not hold that yet. Running trainings go on. The exit code is 0 when none is left.
    """
    if all_namespaces and namespaces:
        raise UsageError("Give either --namespace or --all-namespaces.")
    where = Where(context=context, kubeconfig=kubeconfig)
    done = _release(
        where,
        namespaces=(None,) if all_namespaces else tuple(namespaces or ()),
        deployment=stop_deployment,
        timeout=timeout or _LIMIT_SECONDS,
        skipped=frozenset({404, 403} if skip_forbidden else {404}),
        dry_run=dry_run,
    )
    return connection.run(done)


async def _release(
    where: Where,
    *,
    namespaces: Sequence[str | None],
    deployment: str | None,
    timeout: int,  # noqa: ASYNC109 -- what is left when the time is over is reported, not raised
    skipped: frozenset[int],
    dry_run: bool,
) -> int:
    async with connection.connected(where) as there:
        within = tuple(namespaces) or (there.namespace,)
        if deployment is not None:
            await _stop(there, deployment, limit=timeout, dry_run=dry_run)
        account = _Account(skipped=skipped)
        try:
            async with asyncio.timeout(timeout):
                await _rounds(there.client, within, account, dry_run=dry_run)
        except TimeoutError:
            account.failures.append(f"Not finished after {timeout} s; run it again.")
    if account.released:
        objects = f"{account.released} object{'' if account.released == 1 else 's'}"
        typer.echo(f"Would release {objects}; nothing was changed." if dry_run else f"Released {objects}.")
    elif not account.failures:
        typer.echo(f"Trainyard holds nothing in {_place(within)}.")
    for failure in account.failures[:_SHOWN_FAILURES]:
        typer.echo(f"Error: {failure}", err=True)
    if (more := len(account.failures) - _SHOWN_FAILURES) > 0:
        typer.echo(f"And {more} more.", err=True)
    return 1 if account.failures else 0


async def _stop(there: Connection, deployment: str, *, limit: float, dry_run: bool) -> None:
    namespace, _, name = deployment.rpartition("/")
    namespace = namespace or there.namespace
    if dry_run:
        typer.echo(f"Would stop deployment {namespace}/{name}.")
        return
    try:
        await stopping.stop(there.client, namespace, name, limit=limit)
    except _TROUBLE as error:
        # NB: no reason to give up: finalizers that a living operator sets meanwhile are found by the next round.
        typer.echo(f"Error: Could not stop deployment {namespace}/{name}. {_sentence(error)}", err=True)


async def _rounds(
    client: Client, namespaces: tuple[str | None, ...], account: _Account, *, dry_run: bool
) -> None:
    """Rounds until nothing of ours is left, or nothing more can be done."""
    fruitless = 0
    while fruitless < _FRUITLESS_ROUNDS:
        before, account.failures = account.released, []
        held = await _held(client, namespaces, account)
        if dry_run:
            for item in held:
                typer.echo(f"Would release {item}.")
            account.released = len(held)
            return
        await _let_go(client, held, account)
        if account.failures:
            await asyncio.sleep(_PAUSE_SECONDS)
        elif not held:
            return
        fruitless = fruitless + 1 if account.released == before else 0


async def _held(client: Client, namespaces: tuple[str | None, ...], account: _Account) -> list[Held]:
    """What carries finalizers of ours, by the metadata of everything there is."""
    found = []
    for namespace in namespaces:
        for kind in _KINDS:
            try:
                found += [item async for item in _all(client, kind, namespace) if item.ours]
            except ApiError as error:
                if error.status not in account.skipped:
                    account.failures.append(_unseen(kind, namespace, error))
            except (aiohttp.ClientError, TimeoutError) as error:
                account.failures.append(_unseen(kind, namespace, error))
    return found


async def _all(client: Client, kind: str, namespace: str | None) -> AsyncIterator[Held]:
    """NB: of pods too all, not only those with our labels: one that has lost them holds its namespace as well."""
    path, token = resources.path(kind, namespace), ""
    while True:
        params = {"limit": str(_PAGE), **({"continue": token} if token else {})}
        page = await client.request("GET", path, params=params, headers=connection.METADATA_ONLY)
        for raw in page.get("items") or ():
            yield _as_held(kind, raw)
        token = page["metadata"].get("continue") or ""
        if not token:
            return


def _as_held(kind: str, raw: Json) -> Held:
    metadata = raw["metadata"]
    return Held(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


async def _let_go(client: Client, held: Sequence[Held], account: _Account) -> None:
    limit = asyncio.Semaphore(_PARALLEL)

    async def let_go(item: Held) -> None:
        async with limit:
            try:
                await _patch(client, item)
            except ApiError as error:
                if error.status != 404:
                    account.failures.append(f"Could not release {item}. {_sentence(error)}")
            except (aiohttp.ClientError, TimeoutError) as error:
                account.failures.append(f"Could not release {item}. {_sentence(error)}")
            else:
                account.released += 1
                typer.echo(f"Released {item}.")

    await asyncio.gather(*(let_go(item) for item in held))


async def _patch(client: Client, item: Held) -> None:
    """Takes our finalizers off this very object, and nobody else's."""
    path = resources.path(item.kind, item.namespace, item.name)
    if item.kind == _POD:
        off = {"uid": item.uid, "$deleteFromPrimitiveList/finalizers": item.ours}
        await client.strategic_merge_patch(path, {"metadata": off})
        return
    # Custom resources know no strategic merge: the list is replaced, and so fenced by its version.
    others = [one for one in item.finalizers if one not in item.ours]
    metadata = {"uid": item.uid, "resourceVersion": item.version, "finalizers": others}
    await client.merge_patch(path, {"metadata": metadata})


def _unseen(kind: str, namespace: str | None, error: BaseException) -> str:
    return f"Could not look for objects of kind {kind} in {_place((namespace,))}. {_sentence(error)}"


def _place(namespaces: Sequence[str | None]) -> str:
    named = [one for one in namespaces if one is not None]
    return f"namespace {', '.join(named)}" if named else "any namespace"


def _sentence(error: BaseException) -> str:
    if isinstance(error, ApiError):
        return errors.sentence(error)
    return errors.unreachable(error)
