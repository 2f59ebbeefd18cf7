"""`trainyard push dataset`: a folder of this machine becomes the data of a Dataset.

The way there: the folder is read (`localfiles`), a claim and a pod of the user's own take it (`pushclaims`, `pushpod`),
a port-forward reaches that pod (`tunnel`), and `pushing` brings what it does not have. The Dataset is told at the end,
by an annotation: until then nothing of it has changed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from trainyard import __version__
from trainyard.api import names
from trainyard.cli import (
    connection,
    localfiles,
    operatorsettings,
    output,
    pushclaims,
    pushing,
    pushpod,
    pushtarget,
    sharepod,
    sharing,
    transfers,
    waits,
)
from trainyard.cli.amounts import bytes_of, size_of
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode, UsageError
from trainyard.cli.kinds import reference
from trainyard.cli.localfiles import Found
from trainyard.cli.output import Format
from trainyard.cli.pushtarget import Target
from trainyard.cli.tunnel import Tunnel
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError
from trainyard.planning.datasizes import UNPACKED, volume_size

Json = dict[str, Any]

_DOES, _PURPOSE = "takes the files", "datasets are pushed"
_START_SECONDS = 300
_POLL_SECONDS = 1.0
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    folder: Path
    target: Target
    exclude: tuple[str, ...]
    storage_class: str | None
    access_mode: str | None
    size: str | None
    image: str | None
    operator_namespace: str


def command(
    what: connection.DatasetKind,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder, or one file.", show_default=False)
    ],
    name: connection.Dataset,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="Type of the Dataset, when it is not there yet.", show_default=False),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--format", help="Its format, such as csv or coco; default: default.", show_default=False
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Column of a table that is to be predicted.", show_default=False)
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out what has such a name or path, as '*.tmp'; may be given again.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="QUANTITY", help="Of the volume; default: from the data.", show_default=False),
    ] = None,
    storage_class: Annotated[
        str | None, typer.Option(help="StorageClass of the volume.", show_default=False)
    ] = None,
    access_mode: Annotated[
        str | None, typer.Option(help="Access mode of the volume.", show_default=False)
    ] = None,
    agent_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Image of the pod that takes the files; default: what the operator's settings name.",
            show_default=False,
        ),
    ] = None,
    operator_namespace: operatorsettings.Namespace = connection.OPERATOR_NAMESPACE,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is checked and jobs can use it.")
    ] = False,
    timeout: waits.Timeout = None,
    form: output.Output = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Push a FOLDER of this machine into the cluster, as the data of the Dataset NAME.

    The Dataset is made when it is not there. Run again after a break, it sends only what is missing; each file's
    SHA-256 is checked where it arrives. One archive (tar, tar.gz, tar.zst, zip) is unpacked there. With --wait the
    exit code is 0 once jobs can use it, 4 when the check finds something wrong with it.
    """
    waits.check_timeout(timeout, wait=wait)
    if size is not None and not bytes_of(size):
        raise UsageError(f"--size is a quantity such as 500Mi or 20Gi, not {size!r}.")
    wanted = Wanted(
        folder=folder,
        target=Target(name=name, type=kind, format=layout, target=target),
        exclude=tuple(exclude or ()),
        storage_class=storage_class,
        access_mode=access_mode,
        size=size,
        image=agent_image,
        operator_namespace=operator_namespace,
    )
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_push(where, wanted, wait=wait, limit=timeout, form=form))


async def _push(where: Where, wanted: Wanted, *, wait: bool, limit: int | None, form: Format | None) -> int:
    found = localfiles.find(wanted.folder, wanted.exclude)
    for note in found.notes():
        typer.echo(note, err=True)
    name = wanted.target.name
    async with connection.connected(where) as there:
        dataset = await pushtarget.dataset(there, wanted.target, dry_run=True)
        pushtarget.refuse_too_large(dataset, found.size)
        await sharing.may_forward(there, _PURPOSE)
        view = transfers.of(files=len(found.files), size=found.size, doing="reading")
        with view.opened():
            files = await localfiles.digested(found.files, view)
        unpack = localfiles.is_archive(found, wanted.folder)
        content = pushing.Wanted(files=files, sha256=localfiles.digest_of(files), unpack=unpack)
        dataset = await pushtarget.dataset(there, wanted.target, dry_run=False)
        if await pushtarget.has(there, dataset, content.sha256):
            said, after = f"has this very data already: {_amount(found)}", dataset
        else:
            claim, pushed = await _brought(there, dataset, wanted, content)
            after = await pushtarget.told(there, dataset, claim, pushed.published, content.sha256)
            await pushclaims.finished(there, claim)
            before = f", of which {size_of(pushed.there)} were there" if pushed.there else ""
            digest = pushed.published["sha256"]
            said = f"pushed: {_amount(found)}{before}, sha256 {digest}, in the claim {claim}"
        if form is None:
            typer.echo(f"{reference('Dataset', name)} {said}")
        code = ExitCode.OK
        if wait:
            judge = waits.end if after is dataset else waits.looked_at(dataset)
            (reached,) = await waits.reach(there, [after], judge, limit=limit)
            after, code = reached.job, reached.outcome.code
    if form is not None:
        output.print_objects([after], form)
    return code


async def _brought(
    there: Connection, dataset: Json, wanted: Wanted, content: pushing.Wanted
) -> tuple[str, pushing.Pushed]:
    """The claim that has the data now."""
    settings = await operatorsettings.read(there, wanted.operator_namespace)
    image = sharepod.image_of(None, settings, given=wanted.image, default=f"trainyard/agent:{__version__}")
    rules = settings.get("data") or {}
    for _ in range(_TRIES):
        await _until_nobody_else_pushes(there, dataset)
        claim = await pushclaims.ready(
            there,
            dataset,
            _claim(dataset, wanted, content, rules),
            told=pushtarget.upload(dataset).get("claim"),
        )
        token = pushpod.token()
        pod = pushpod.pod(
            dataset,
            claim=claim,
            image=image,
            token=token,
            node_selector=rules.get("nodeSelector"),
            tolerations=rules.get("tolerations") or (),
        )
        try:
            async with sharing.running(
                there, pod, limit=_START_SECONDS, does=_DOES, idle=pushpod.IDLE_SECONDS
            ) as pod_name:
                return claim, await _sent(there, pod_name, token, content)
        except pushing.Occupied:
            # NB: a push that broke off before the Dataset was told of it, and of other data than this one.
            await pushclaims.remove(there, claim)
        except asyncio.CancelledError:
            typer.echo(
                f"What has come stays in the claim {claim}: run it again, and the rest is sent.", err=True
            )
            raise
    raise CommandError(
        "Somebody else pushes to this Dataset at the same time: try again when that has ended."
    )


async def _sent(there: Connection, pod: str, token: str, content: pushing.Wanted) -> pushing.Pushed:
    def opened() -> Tunnel:
        return Tunnel(
            client=there.client,
            namespace=there.namespace,
            pod=pod,
            port=pushpod.PORT,
            token=token,
            does=_DOES,
            purpose=_PURPOSE,
        )

    view = transfers.of(files=len(content.files), size=content.size, doing="sending")
    with view.opened():
        return await pushing.push(content, opened, view)


def _claim(dataset: Json, wanted: Wanted, content: pushing.Wanted, rules: Json) -> Json:
    """A new claim, as the command line says, else the Dataset, else the operator's settings."""
    cache = dataset["spec"].get("cache") or {}
    unpacked = localfiles.unpacked_size(wanted.folder) if content.unpack else None
    if content.unpack and unpacked is None:
        unpacked = UNPACKED * content.size
    size = volume_size(content.size, files=len(content.files), unpacked=unpacked)
    storage_class = wanted.storage_class or cache.get("storageClassName") or rules.get("storageClassName")
    return pushpod.claim(
        dataset,
        name=pushpod.claim_name(),
        storage=wanted.size or cache.get("size") or size,
        storage_class=storage_class or None,
        access_mode=wanted.access_mode or cache.get("accessMode") or rules.get("accessMode"),
    )


async def _until_nobody_else_pushes(there: Connection, dataset: Json) -> None:
    """Waits for the pod of another push: one that was killed leaves one that ends soon. Raises CommandError."""
    name = pushpod.pod_name(dataset["metadata"]["name"])
    path = resources.path("Pod", there.namespace, name)
    until, said = time.monotonic() + 2 * pushpod.IDLE_SECONDS, False
    while True:
        try:
            pod = await there.client.get(path)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        uid = (pod["metadata"].get("labels") or {}).get(names.LABEL_DATASET_UID)
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        going = bool(pod["metadata"].get("deletionTimestamp"))
        if uid == dataset["metadata"]["uid"] and ended and not going:
            await there.client.delete(path)
        if not (said or ended or going):
            typer.echo(
                f"Waiting for the pod {name} of another push, which ends {pushpod.IDLE_SECONDS} s after that has.",
                err=True,
            )
            said = True
        if time.monotonic() > until:
            raise CommandError(
                f"Another push to Dataset {dataset['metadata']['name']} goes on in the pod {name}: wait for its end, "
                f"or `kubectl delete pod {name}`, and run this again."
            )
        await asyncio.sleep(_POLL_SECONDS)


def _amount(found: Found) -> str:
    number = "1 file" if len(found.files) == 1 else f"{len(found.files)} files"
    return f"{number}, {size_of(found.size)}"
