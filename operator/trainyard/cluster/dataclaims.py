"""What is done to the claims that hold pulled datasets.

Separate from `cluster.execute` because a claim belongs to several Datasets: each change is fenced by the version that
it was planned on, and letting go of one removes it only where it is the last owner's. Called by `reconcile.dataset`.
"""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.cluster import failpoints, resources
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import StaleError
from trainyard.planning.dataclaims import ClaimStep, ClaimView

Json = dict[str, Any]

_KIND = "PersistentVolumeClaim"
#: Codes by which the API server, a quota or a policy refuses a new claim.
_REFUSED = frozenset({400, 403, 413, 422})


async def look(client: Client, namespace: str, name: str) -> ClaimView | None:
    """The claim, or None where there is none."""
    try:
        return ClaimView.from_raw(await client.get(resources.path(_KIND, namespace, name)))
    except ApiError as error:
        if error.status == 404:
            return None
        raise


async def do(
    client: Client,
    namespace: str,
    step: ClaimStep,
    *,
    uid: str,
    failpoint: failpoints.Pass = failpoints.never,
) -> str | None:
    """Does one step for the Dataset of this UID; why it was refused, if a new claim was.

    Raises StaleError when the claim has changed since it was seen, ApiError for what passes by itself.
    """
    failpoint("before-claim")
    refused = await _done(client, namespace, step, uid=uid)
    failpoint("after-claim")
    return refused


async def _done(client: Client, namespace: str, step: ClaimStep, *, uid: str) -> str | None:
    if step.verb == "let_go":
        await _let_go(client, namespace, step.name, uid=uid)
        return None
    try:
        if step.verb == "make":
            await client.post(resources.path(_KIND, namespace), dict(step.body or {}))
        elif step.seen is not None:
            fence = {"uid": step.seen.uid, "resourceVersion": step.seen.version}
            await client.merge_patch(
                resources.path(_KIND, namespace, step.name), {"metadata": {**fence, **(step.metadata or {})}}
            )
    except ApiError as error:
        if error.status in (404, 409):
            raise StaleError(f"claim {step.name}: {error}") from error
        if step.verb == "make" and (error.status in _REFUSED or "failed calling webhook" in error.message):
            return error.message
        raise
    return None


async def _let_go(client: Client, namespace: str, name: str, *, uid: str) -> None:
    """NB: one that we have not made stays, whoever owns it."""
    seen = await look(client, namespace, name)
    if seen is None or seen.deleting or not seen.managed or not seen.is_owned_by(uid):
        return
    where = resources.path(_KIND, namespace, name)
    fence = {"uid": seen.uid, "resourceVersion": seen.version}
    others = [dict(owner) for owner in seen.owners if owner.get("uid") != uid]
    try:
        if others:
            annotations = {names.PULLER: ""} if seen.puller == uid else {}
            body = {**fence, "ownerReferences": others, "annotations": annotations}
            await client.merge_patch(where, {"metadata": body})
        else:
            await client.delete(where, {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": fence})
    except ApiError as error:
        if error.status == 409:
            raise StaleError(f"claim {name}: {error}") from error
        if error.status != 404:
            raise
