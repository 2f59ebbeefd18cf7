"""`trainyard card model NAME`: the model card of a version, as it is stored beside its artifacts; or its record.

It is read by the same way as artifacts are downloaded: a pod of the user's own has the claim, or the bucket's Secret
(`sharing`), and a port-forward reaches it (`tunnel`).
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trainyard import __version__
from trainyard.cli import (
    completing,
    connection,
    modelcards,
    offers,
    operatorsettings,
    sharepod,
    sharing,
    versionstores,
)
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import UsageError
from trainyard.cli.logpods import find_pod, newest_attempt
from trainyard.cli.modelcards import Stored
from trainyard.cli.reading import printable
from trainyard.cli.tunnel import Tunnel
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]


def command(
    kind: connection.ModelKind,
    name: connection.Model,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="NUMBER", help="Of this version; default: the newest.", show_default=False
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(
            metavar="ALIAS",
            help="Of the version that has this alias.",
            show_default=False,
            autocompletion=completing.aliases_of,
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Print the record of the version, which is JSON, instead.")
    ] = False,
    secret: versionstores.Secret = None,
    agent_image: sharing.AgentImage = None,
    timeout: sharing.Timeout = None,
    operator_namespace: operatorsettings.Namespace = connection.OPERATOR_NAMESPACE,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Print the model card of a version of the MLModel NAME, in Markdown: data, metrics, lineage, how to load it.

    Also of versions that status lists no longer (spec.versionsRetained): their cards and records stay in the store.
    """
    if version is not None and alias is not None:
        raise UsageError("Give --version or --alias, not both.")
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    text = connection.run(
        _read(
            where,
            name,
            version=version,
            alias=alias,
            record=record,
            secret=secret,
            image=agent_image,
            operator_namespace=operator_namespace,
            limit=timeout or sharing.LIMIT_SECONDS,
        )
    )
    # NB: what is in it are texts of strangers.
    typer.echo("\n".join(printable(line) for line in text.rstrip("\n").split("\n")))


async def _read(
    where: Where,
    name: str,
    *,
    version: int | None,
    alias: str | None,
    record: bool,
    secret: str | None,
    image: str | None,
    operator_namespace: str,
    limit: int,
) -> str:
    async with connection.connected(where) as there:
        model = await there.object("MLModel", name)
        number = modelcards.number_of(model, version=version, alias=alias)
        found = modelcards.stored(model, number, pod=await _recording(there, model, number))
        job, pod = await _job(there, model, found)
        settings = await operatorsettings.read(there, operator_namespace)
        place = await versionstores.checked(there, model, number, found.place, secret=secret)
        await sharing.check(there, place)
        helper = sharepod.build(
            job,
            pod,
            place,
            uid=found.uid,
            image=sharepod.image_of(pod, settings, given=image, default=f"trainyard/agent:{__version__}"),
            suffix=sharepod.suffix(),
        )
        async with (
            sharing.running(there, helper, limit=limit) as helper_name,
            Tunnel(
                client=there.client,
                namespace=there.namespace,
                pod=helper_name,
                port=sharepod.PORT,
                purpose="model cards are read",
            ) as tunnel,
        ):
            return await offers.text(tunnel, found.record if record else found.path)


async def _recording(there: Connection, model: Json, number: int) -> Json | None:
    """The pod that stores the card, as long as there is one that may be looked at."""
    name = modelcards.pod_name(model["metadata"]["name"], number)
    try:
        return await there.client.get(resources.path("Pod", there.namespace, name))
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return None


async def _job(there: Connection, model: Json, found: Stored) -> tuple[Json, Json | None]:
    """The job that made the version, with one of its pods; where it is gone, the model stands for it."""
    if found.job:
        try:
            job = await there.client.get(resources.path("TrainingJob", there.namespace, found.job))
        except ApiError as error:
            if error.status not in (403, 404):
                raise
        else:
            if job["metadata"]["uid"] == found.uid:
                return job, await find_pod(there, job, attempt=newest_attempt(job), rank=0)
    return modelcards.job_like(model), None
