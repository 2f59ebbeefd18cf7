"""What the operator asks for, read from the environment.

Separate because it is the contract's "In" half (docs/trainer-contract.md, docs/publishing.md): nothing else looks at
these variables. Called by `running`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from trainyard_publisher.problems import Refused

SCHEMES = ("s3", "gs", "abfs", "pvc", "hf", "oci", "mlflow")
#: Where the operator mounts the target's Secret, and the claim of a pvc:// target.
SECRET, CLAIM = "/trainyard/secrets/target", "/trainyard/target"
#: How long a target that does not answer, or is busy, is asked again.
PATIENCE_SECONDS = 180.0

_ALIAS = re.compile(r"[a-z]([-_a-z0-9]*[a-z0-9])?")
_KNOWN = frozenset(
    {
        *("uri", "endpoint", "region", "account", "aliases", "private", "model", "version", "target"),
        *("formerAliases", "description", "digest", "metadata"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run for one target. `owner` is `<namespace>/<model>/<target>`: what lies at a target is recorded as its own.

    `former` are aliases that were set there and are wanted no longer. `folder` is the version's, and `card` its
    model card, where there is one; both None for unpublish.
    """

    uri: str
    owner: str
    model: str
    version: int
    endpoint: str = ""
    region: str = ""
    account: str = ""
    aliases: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    private: bool = True
    description: str = ""
    digest: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    card: Path | None = None
    secret: Path = Path(SECRET)
    claim: Path = Path(CLAIM)
    patience: float = PATIENCE_SECONDS

    @property
    def scheme(self) -> str:
        return self.uri.partition("://")[0]

    @property
    def place(self) -> str:
        """What follows the scheme, without slashes at its end."""
        return self.uri.partition("://")[2].rstrip("/")


def read(environ: Mapping[str, str], *, action: str) -> Order:
    """The order in `environ`. Raises Refused for what cannot be read."""
    given = _parsed(environ, "TRAINYARD_PARAMETERS", dict)
    if unknown := sorted(given.keys() - _KNOWN):
        raise Refused(f"parameters: there is no {unknown[0]}; there are {', '.join(sorted(_KNOWN))}.")
    uri = _text(given, "uri")
    if uri.partition("://")[0] not in SCHEMES or not uri.partition("://")[2].strip("/"):
        raise Refused(
            f"parameters: uri is to be one of {', '.join(f'{s}://...' for s in SCHEMES)}, not {uri!r}."
        )
    model = _text(given, "model")
    if not model:
        raise Refused("parameters: model is not given: the name of the model.")
    version = given.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise Refused("parameters: version is to be the number of the version, from 1.")
    folder, card = _version(environ) if action == "publish" else (None, None)
    aliases = _aliases(given, "aliases")
    owner = "/".join((environ.get("TRAINYARD_NAMESPACE", ""), model, _text(given, "target") or "default"))
    return Order(
        uri=uri,
        owner=owner,
        model=model,
        version=version,
        endpoint=_text(given, "endpoint").rstrip("/"),
        region=_text(given, "region"),
        account=_text(given, "account"),
        aliases=aliases,
        former=tuple(one for one in _aliases(given, "formerAliases") if one not in aliases),
        private=_yes(given, "private"),
        description=_text(given, "description"),
        digest=_text(given, "digest"),
        metadata=_map(given, "metadata"),
        folder=folder,
        card=card,
        secret=Path(environ.get("TRAINYARD_TARGET_SECRET") or SECRET),
        claim=Path(environ.get("TRAINYARD_TARGET_DIR") or CLAIM),
        patience=_seconds(environ),
    )


def folder_of(place: str) -> str:
    """The folder in `<bucket or claim>/<folder>`, without slashes around it. Raises Refused where it climbs out."""
    folder = unquote(place).partition("/")[2].strip("/")
    if folder and any(part in ("", ".", "..") for part in folder.split("/")):
        raise Refused(f"uri: the folder {folder!r} has a part that is no name.")
    return folder


def _seconds(environ: Mapping[str, str]) -> float:
    text = environ.get("TRAINYARD_PATIENCE_SECONDS") or str(PATIENCE_SECONDS)
    try:
        return float(text)
    except ValueError as error:
        raise Refused(f"TRAINYARD_PATIENCE_SECONDS is to be a number of seconds, not {text!r}.") from error


def _version(environ: Mapping[str, str]) -> tuple[Path, Path | None]:
    models = _parsed(environ, "TRAINYARD_BASE_MODELS", list)
    path = models[0].get("path") if models and isinstance(models[0], Mapping) else None
    if not isinstance(path, str) or not Path(path).is_dir():
        raise Refused(
            "There is no version to publish: name it in baseModels, as {model: ..., version: ..., "
            "isPtmBackbone: false}."
        )
    card = models[0].get("card")
    return Path(path), Path(card) if isinstance(card, str) and Path(card).is_file() else None


def _parsed(environ: Mapping[str, str], name: str, kind: type) -> Any:
    text = environ.get(name, "").strip()
    if not text:
        return kind()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} is no JSON: {error}.") from error
    if not isinstance(value, kind):
        raise Refused(f"{name} must be a JSON {'object' if kind is dict else 'array'}.")
    return value


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(f"parameters: {name} must be a text.")
    return value or ""


def _yes(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, True)
    if not isinstance(value, bool):
        raise Refused(f"parameters: {name} must be true or false.")
    return value


def _map(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise Refused(f"parameters: {name} must be an object.")
    return value


def _aliases(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name) or []
    if not isinstance(value, list) or not all(
        isinstance(one, str) and _ALIAS.fullmatch(one) for one in value
    ):
        raise Refused(f"parameters: {name} must be a list of names: lower-case letters, digits, '-' and '_'.")
    return tuple(dict.fromkeys(value))
