"""Where a job's artifacts are, and how a pod reaches them, from what the job, its pod and the operator's settings say.

Separate and free of I/O because an output can be the job's own or the operator's default, and because status, which
others can write, may only choose among the job's own folders. Called by `download`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.cli.exits import CommandError
from trainyard.cli.reading import headline

Json = dict[str, Any]

_FOLDER = re.compile(r"/(?P<uid>[0-9A-Za-z][-0-9A-Za-z]{0,62})/attempt-(?P<attempt>\d{1,9})(?:/.*)?")
_REACHED = ("endpoint", "region", "account")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A store: a claim of the job's namespace, or a bucket with the Secret (if any) that opens it."""

    store: str
    claim: str | None = None
    reached: tuple[tuple[str, str], ...] = ()
    secret: str | None = None

    def order(self) -> Json:
        """As the agent is told."""
        return {"path": "/trainyard/output"} if self.claim else {"uri": self.store, **dict(self.reached)}


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What an address in status points at: an attempt of the job, or of the one that it was before a restore."""

    uid: str
    attempt: int


def place(job: Json, pod: Json | None, settings: Json) -> Place:
    """Raises CommandError for a job without an output."""
    if output := job["spec"].get("output") or settings.get("output"):
        return _of_output(output)
    if pod is not None and (found := _of_pod(pod)) is not None:
        return found
    # NB: a claim needs nothing else to be mounted; a bucket does.
    for uri in _addresses(job):
        if uri.startswith("pvc://"):
            claim = uri.removeprefix("pvc://").partition("/")[0]
            return Place(store=f"pvc://{claim}", claim=claim)
    name = job["metadata"]["name"]
    raise CommandError(
        f"TrainingJob {name} has no output, so nothing of it is kept: give it spec.output and submit it again."
    )


def artifacts(job: Json, store: str) -> Folder | None:
    """The folder of the artifacts that the job ended with."""
    return next((found for uri in _addresses(job)[:1] if (found := folder(uri, store))), None)


def best(job: Json, store: str) -> Folder | None:
    """The folder of the best checkpoint."""
    return folder(((job.get("status") or {}).get("best") or {}).get("uri") or "", store)


def latest(job: Json, store: str) -> Folder | None:
    """The folder of the newest checkpoint."""
    return folder(((job.get("status") or {}).get("lastCheckpoint") or {}).get("uri") or "", store)


def folder(uri: str, store: str) -> Folder | None:
    """The job's folder in an address; None for one that is not of this store."""
    match = _FOLDER.fullmatch(uri.removeprefix(store)) if uri.startswith(f"{store}/") else None
    return Folder(uid=match["uid"], attempt=int(match["attempt"])) if match else None


def digests(job: Json) -> dict[str, str]:
    """The digests that status has, by address; of a folder it is that of its manifest."""
    found = (job.get("status") or {}).get("artifacts") or []
    return {str(one.get("uri") or "").rstrip("/"): str(one["sha256"]) for one in found if one.get("sha256")}


def unfinished(job: Json) -> str:
    """Why there are no artifacts, and what there may be."""
    name = job["metadata"]["name"]
    return (
        f"TrainingJob {name} has no finished artifacts: {headline(job)} `--checkpoint latest` gets its newest "
        "checkpoint, `--attempt N` what that attempt has left."
    )


def agent(pod: Json | None) -> Json:
    """The agent's container in a pod of the job; empty where there is none."""
    spec = (pod or {}).get("spec") or {}
    found = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return next((one for one in found if one.get("name") == names.AGENT_CONTAINER), {})


def _of_output(output: Json) -> Place:
    if claim := output.get("claimName"):
        return Place(store=f"pvc://{claim}", claim=claim)
    return Place(
        store=str(output.get("uri") or "").rstrip("/"),
        reached=reached(output),
        secret=(output.get("secretRef") or {}).get("name"),
    )


def _of_pod(pod: Json) -> Place | None:
    """What the operator told the agent of the job's own pod, where the output was its default."""
    told = next(
        (e.get("value") for e in agent(pod).get("env") or [] if e.get("name") == "TRAINYARD_AGENT"), None
    )
    try:
        said = json.loads((told or "").replace("$$", "$"))
        store, output = str(said["store"]), said["output"]
        if output.get("path"):
            claim = store.removeprefix("pvc://").partition("/")[0]
            return Place(store=store, claim=claim)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    volumes = {one["name"]: one for one in pod["spec"].get("volumes") or []}
    secret = (volumes.get("trainyard-secret-output") or {}).get("secret") or {}
    return Place(store=store, reached=reached(output), secret=secret.get("secretName"))


def reached(said: Json) -> tuple[tuple[str, str], ...]:
    """Where the service of a bucket is, as an output says it."""
    return tuple((key, str(said[key])) for key in _REACHED if said.get(key))


def _addresses(job: Json) -> list[str]:
    found = (job.get("status") or {}).get("artifacts") or []
    return [str(one.get("uri") or "").rstrip("/") for one in found]
