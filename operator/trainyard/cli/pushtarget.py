"""The Dataset that a folder is pushed to: whether it takes it, what it has already, and how it is told.

Separate from `push`, which brings the data: all of this is about the object. By the annotation that is written at the
end the operator learns that there is something new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer

from trainyard.api import names
from trainyard.cli import errors, pushclaims
from trainyard.cli.amounts import bytes_of, size_of
from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError
from trainyard.cli.intents import FIELD_MANAGER
from trainyard.cli.kinds import reference
from trainyard.cluster import resources
from trainyard.cluster.client import MERGE_PATCH, ApiError

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the command line says of the Dataset; None where it says nothing."""

    name: str
    type: str | None = None
    format: str | None = None
    target: str | None = None

    def spec(self) -> Json:
        """Of one that is to be made."""
        said: Json = {"type": self.type, "format": self.format}
        if self.target is not None:
            said["validation"] = {"target": self.target}
        return {**{key: value for key, value in said.items() if value is not None}, "source": {"upload": {}}}


async def dataset(there: Connection, target: Target, *, dry_run: bool) -> Json:
    """The Dataset, which is made when it is not there. Raises CommandError for one that takes no push."""
    try:
        found = await there.client.get(resources.path("Dataset", there.namespace, target.name))
    except ApiError as error:
        if error.status != 404:
            raise
        if errors.is_not_served(error):
            raise CommandError(errors.NOT_INSTALLED) from None
        return await _made(there, target, dry_run=dry_run)
    _refuse_other(found, target)
    return found


def refuse_too_large(found: Json, size: int) -> None:
    """Raises CommandError for more than the Dataset takes."""
    most = (found["spec"]["source"]["upload"] or {}).get("maxSize")
    limit = bytes_of(str(most)) if most is not None else None
    if limit is not None and size > limit:
        raise CommandError(
            f"Dataset {found['metadata']['name']} takes {most} at most (spec.source.upload.maxSize), and these are "
            f"{size_of(size)}."
        )


def upload(found: Json) -> Json:
    """What the Dataset was told last; empty where that was nothing."""
    try:
        said = json.loads((found["metadata"].get("annotations") or {}).get(names.UPLOAD) or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


async def has(there: Connection, found: Json, sha256: str) -> bool:
    """Whether this was pushed before, and is still there."""
    last = upload(found)
    return last.get("pushed") == sha256 and await pushclaims.exists(there, str(last.get("claim")))


async def told(there: Connection, found: Json, claim: str, published: Json, pushed: str) -> Json:
    """The Dataset, which has been told where its data is."""
    name = found["metadata"]["name"]
    said = {
        "claim": claim,
        "sha256": published["sha256"],
        "bytes": published["bytes"],
        "files": published["files"],
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        # Of what lay here; another one than sha256 where that was an archive.
        "pushed": pushed,
    }
    annotations = {names.UPLOAD: json.dumps(said, separators=(",", ":"))}
    return await changed(there, found, annotations, f"Dataset {name} was deleted meanwhile: push it again.")


async def changed(there: Connection, found: Json, annotations: Json, gone: str) -> Json:
    """The very Dataset with these annotations. Raises CommandError with the sentence `gone` where it is no more."""
    path = resources.path("Dataset", there.namespace, found["metadata"]["name"])
    try:
        return await there.client.request(
            "PATCH",
            path,
            body={"metadata": {"uid": found["metadata"]["uid"], "annotations": annotations}},
            content_type=MERGE_PATCH,
            params={"fieldManager": FIELD_MANAGER},
        )
    except ApiError as error:
        if error.status == 404 or (error.status == 409 and "uid" in error.message.lower()):
            raise CommandError(gone) from None
        raise


async def _made(there: Connection, target: Target, *, dry_run: bool) -> Json:
    if target.type is None:
        raise CommandError(
            f"There is no Dataset {target.name} in namespace {there.namespace}: give its --type (and --format), and it "
            "is made."
        )
    raw = {
        "apiVersion": names.API_VERSION,
        "kind": "Dataset",
        "metadata": {"name": target.name},
        "spec": target.spec(),
    }
    params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    try:
        made = await there.client.post(
            resources.path("Dataset", there.namespace),
            raw,
            {**params, "dryRun": "All"} if dry_run else params,
        )
    except ApiError as error:
        if error.status not in (400, 422):
            raise
        lines = errors.causes(error) or [errors.as_sentence(error.message)]
        raise CommandError(f"Dataset {target.name}: {' '.join(lines)}") from None
    if not dry_run:
        typer.echo(f"{reference('Dataset', target.name)} created", err=True)
    return made


def _refuse_other(found: Json, target: Target) -> None:
    """Raises CommandError for a Dataset that takes no push, or is another one than the command line says."""
    spec, name = found["spec"], target.name
    if found["metadata"].get("deletionTimestamp"):
        raise CommandError(f"Dataset {name} is being deleted: wait until it is gone, or choose another name.")
    if "upload" not in (spec.get("source") or {}):
        raise CommandError(
            f"Dataset {name} has no spec.source.upload, so nothing can be pushed to it: choose another name, or give "
            "it source: {upload: {}}."
        )
    validation = spec.get("validation") or {}
    for option, said, wanted in (
        ("--type", spec.get("type"), target.type),
        ("--format", spec.get("format"), target.format),
        ("--target", validation.get("target"), target.target),
    ):
        if wanted is not None and wanted != said:
            raise CommandError(
                f"Dataset {name} is there with {option} {said or '(none)'}, not {wanted}: leave the option out, or "
                "choose another name."
            )
