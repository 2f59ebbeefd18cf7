"""What is done to the TrainingJobs of an Experiment, and to the jobs and Experiments of a model.

Separate because `cluster.execute` makes pods and writes status for every kind, and this is done for two of them. Each
change is idempotent: names are derived, deletions and patches carry the UID. Called by `reconcile.experiment` and
`reconcile.model`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from trainyard.cluster import failpoints, resources
from trainyard.cluster.cache import Cache
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.experimentobserved import JobStep

Json = dict[str, Any]

_REFUSED = frozenset({400, 403, 413, 422})
_STRICT = {"fieldValidation": "Strict"}


class Children:
    """`made` is told of each job that was made or changed, as it is then."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        made: Callable[[str, Json], None],
        failpoint: failpoints.Pass = failpoints.never,
    ) -> None:
        self._client = client
        self._cache = cache
        self._made = made
        self._failpoint = failpoint

    async def do(self, namespace: str, step: JobStep) -> ApiError | None:
        """Does one step; the API server's refusal, if a new job was refused. Raises ApiError for what passes by itself.

        NB: one of its name that is there already is in the cache then; another's is a refusal.
        """
        self._failpoint(f"before-job-{step.verb}")
        refused = await self._done(namespace, step)
        self._failpoint(f"after-job-{step.verb}")
        return refused

    async def _done(self, namespace: str, step: JobStep) -> ApiError | None:
        where = resources.path(step.kind, namespace, step.name)
        try:
            if step.verb == "make":
                answer = await self._client.post(
                    resources.path(step.kind, namespace), dict(step.body), _STRICT
                )
                self._made(step.kind, answer)
            elif step.verb == "patch":
                metadata = {**(step.body.get("metadata") or {}), "uid": step.uid}
                answer = await self._client.merge_patch(where, {**step.body, "metadata": metadata})
                self._made(step.kind, answer)
            else:
                body = {
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": {"uid": step.uid},
                    "propagationPolicy": "Background",
                }
                self._is_deleted(namespace, step, await self._client.delete(where, body))
        except ApiError as error:
            if step.verb == "make":
                if error.status == 409 and error.reason == "AlreadyExists":
                    there = await self._client.get(where)
                    mine = _owner_of(there) == _owner_of(step.body)
                    self._cache.restore(step.kind, there)
                    self._made(step.kind, there)
                    return None if mine else error
                if error.status in _REFUSED or "failed calling webhook" in error.message:
                    return error
                raise
            if error.status in (404, 409):  # gone, or another one has the name: both are what was wanted
                if step.verb == "remove" and _says_gone(error, step):
                    self._cache.remove(step.kind, namespace=namespace, name=step.name, uid=step.uid)
                return None
            raise
        return None

    def _is_deleted(self, namespace: str, step: JobStep, answer: Json) -> None:
        """NB: the watch may tell of it late, and until then it would be deleted again with each look. One that a
        finalizer holds is in the answer. After Success no event of its UID is news, however new.
        """
        if answer.get("kind") == step.kind:
            self._made(step.kind, answer)
        elif answer.get("status") == "Success":
            self._cache.remove(
                step.kind, namespace=namespace, name=step.name, uid=step.uid, version=sys.maxsize
            )


def _says_gone(error: ApiError, step: JobStep) -> bool:
    """Whether a refusal is about the object itself. NB: a kind that is not served, as between a CRD's end and its
    return, is 404 as well, and names no object.
    """
    if error.status == 404:
        return (error.body.get("details") or {}).get("name") == step.name
    return "UID in precondition" in error.message


def _owner_of(raw: Mapping[str, Any]) -> str:
    owners = raw["metadata"].get("ownerReferences") or ()
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), "")
