"""OCI registries as targets: a model as an artifact, in the layout of the CNCF's ModelPack specification.

Separate because the media types and the manifest are that specification's (github.com/modelpack/model-spec, v1); each
file is a layer of its own and as it is, so that `oras pull` gives the files back by their names. Called by `running`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from trainyard_publisher.order import Order
from trainyard_publisher.problems import Refused
from trainyard_publisher.registry import MANIFEST, Manifest, Repository
from trainyard_publisher.reporting import Reporter
from trainyard_publisher.result import Published
from trainyard_publisher.version import File, Version, checked

ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
FILEPATH = "org.cncf.model.filepath"
TITLE = "org.opencontainers.image.title"
#: By which it is known whose a manifest is.
OWNER = "dev.trainyard.owner"

_WEIGHT, _SETTINGS, _DOC, _CODE = (
    f"application/vnd.cncf.model.{kind}.v1.raw" for kind in ("weight", "weight.config", "doc", "code")
)
#: NB: what is not named here is a part of the model.
_MEDIA = {
    ".md": _DOC,
    ".txt": _DOC,
    ".csv": _DOC,
    ".png": _DOC,
    ".pdf": _DOC,
    ".py": _CODE,
    ".json": _SETTINGS,
    ".yaml": _SETTINGS,
    ".yml": _SETTINGS,
}
#: Bytes of a manifest that every registry takes.
_MOST_MANIFEST = 4 << 20


def publish(order: Order, version: Version, reporter: Reporter) -> Published:
    """Puts the version there under the uri's tag and the aliases, where it does not lie there already."""
    repository = Repository(order)
    tags = (repository.reference.tag, *(one for one in order.aliases if one != repository.reference.tag))
    config = _config(order, version)
    manifest = _manifest(order, version, config)
    if len(manifest) > _MOST_MANIFEST:
        raise Refused(
            f"The version has {len(version.all)} files, too many for the manifest of an OCI artifact."
        )
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    # NB: first: where a registry removes the manifest with its tag, the tags that are wanted are set anew.
    left = _untagged(repository, order, keep=tags)
    stand = {tag: repository.manifest(tag) for tag in tags}
    for tag, there in stand.items():
        if there is not None and (owner := _owner(there.content)) != order.owner:
            whose = f"is of {owner} (namespace/model/target)" if owner else "was not published from here"
            raise Refused(
                f"Tag {tag} of {repository.reference.repository} {whose} and is not moved: give another tag or alias, "
                "or remove that one first."
            )
    missing = [tag for tag, there in stand.items() if there is None or there.digest != digest]
    sent = 0
    if missing:
        sent = _bring(repository, version, config, reporter)
        for tag in missing:
            repository.tag(tag, manifest)
    place = f"oci://{repository.reference.registry}/{repository.reference.repository}"
    return Published(
        uri=f"{place}@{digest}",
        digest=digest,
        version=repository.reference.tag,
        sent=sent,
        left=tuple(left),
        why=next(iter(left.values()), ""),
    )


def unpublish(order: Order, reporter: Reporter) -> str:
    """Removes the manifests that the target has published: the one of `digest`, and whatever has a tag."""
    repository = Repository(order)
    named = [name for name in (order.digest, repository.reference.tag, *order.aliases) if name]
    found = _manifests(repository, named)
    # NB: an alias that the target has no more may stand for a former version.
    others = _manifests(repository, [tag for tag in repository.tags() if tag not in named])
    ours = sorted({there.digest for there in [*found, *others] if _owner(there.content) == order.owner})
    for number, digest in enumerate(ours, start=1):
        reporter.file(number, len(ours), digest)
        repository.delete(digest)
    stays = len({there.digest for there in found}.difference(ours))
    kept = f"; {stays} that others have published under its tags stay" if stays else ""
    return f"{len(ours)} manifests are deleted from {repository.reference.repository}{kept}"


def _untagged(repository: Repository, order: Order, *, keep: Iterable[str]) -> dict[str, str]:
    """Removes the tags of ours that are wanted no longer; those that the registry keeps, and why."""
    left = {}
    for tag in (one for one in order.former if one not in keep):
        there = repository.manifest(tag)
        if there is not None and _owner(there.content) == order.owner and (why := repository.untag(tag)):
            left[tag] = why
    return left


def _bring(repository: Repository, version: Version, config: bytes, reporter: Reporter) -> int:
    """Sends the files that are not there; their number."""
    sent = 0
    for number, file in enumerate(version.all, start=1):
        reporter.file(number, len(version.all), file.name)
        if not repository.has(file.sha256):
            repository.send(file.sha256, file=checked(file))
            sent += 1
    digest = hashlib.sha256(config).hexdigest()
    if not repository.has(digest):
        repository.send(digest, data=config)
    return sent


def _config(order: Order, version: Version) -> bytes:
    """NB: without the time of publishing, so that the same version always has the same digest."""
    told: Mapping[str, Any] = order.metadata
    descriptor = {
        "createdAt": told.get("time"),
        "name": order.model,
        "title": told.get("displayName"),
        "version": str(version.number),
        "revision": told.get("uid"),
        "description": order.description,
        "licenses": [told["license"]] if isinstance(told.get("license"), str) else None,
    }
    settings = {"architecture": told.get("architecture"), "format": _format(version)}
    config = {
        "descriptor": {key: value for key, value in descriptor.items() if value},
        "config": {key: value for key, value in settings.items() if value},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256}" for file in version.all]},
    }
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()


def _manifest(order: Order, version: Version, config: bytes) -> bytes:
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": {
            "mediaType": CONFIG,
            "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
            "size": len(config),
        },
        "layers": [_layer(file) for file in version.all],
        "annotations": {
            TITLE: order.model,
            "org.opencontainers.image.version": str(version.number),
            OWNER: order.owner,
            "dev.trainyard.artifacts-digest": version.digest,
        },
    }
    return json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode()


def _layer(file: File) -> dict[str, Any]:
    media = _MEDIA.get(PurePosixPath(file.name).suffix.lower(), _WEIGHT)
    return {
        "mediaType": media,
        "digest": f"sha256:{file.sha256}",
        "size": file.size,
        "annotations": {FILEPATH: file.name, TITLE: file.name},
    }


def _format(version: Version) -> str:
    """The format of the weights by the ending of the largest file of them."""
    weights = [file for file in version.files if PurePosixPath(file.name).suffix.lower() not in _MEDIA]
    largest = max(weights, key=lambda file: file.size, default=None)
    return PurePosixPath(largest.name).suffix.lower().lstrip(".") if largest is not None else ""


def _manifests(repository: Repository, names: Iterable[str]) -> list[Manifest]:
    return [there for name in names if (there := repository.manifest(name)) is not None]


def _owner(manifest: Mapping[str, Any]) -> str:
    return str((manifest.get("annotations") or {}).get(OWNER) or "")
