"""Which dataset is surveyed or pulled: `TRAINYARD_DATA`, one JSON object that the operator writes.

Separate because it is the whole interface of `survey` and `pull` with the operator. Called by `__main__`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_agent.order import DEFAULT_SECRETS, Place, termination_log
from trainyard_agent.troubles import Trouble, without_credentials

VARIABLE = "TRAINYARD_DATA"
DEFAULT_VOLUME = "/trainyard/volume"
#: The folder of the mounted Secret, in the folder of all.
SECRET = "source"

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One of a list of files. `path` is where it goes, empty for its own name; `sha256` what it must have, if known."""

    url: str
    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data is: `place.uri`, or `files`. Empty strings stand for what was not said."""

    place: Place
    revision: str
    sha256: str
    file_type: str
    filters: tuple[str, ...]
    files: tuple[RemoteFile, ...]

    @property
    def name(self) -> str:
        """What users call it. NB: the query of an address may be a signature, which lets anybody in."""
        address = self.place.uri or (self.files[0].url if self.files else "")
        return without_credentials(address).partition("?")[0] or "The source"


@dataclass(frozen=True, kw_only=True)
class DataOrder:
    """`listing` is the digest that the survey gave; empty where it is not known."""

    namespace: str
    dataset: str
    source: Source
    volume: Path
    listing: str
    secret: Path
    termination_log: Path


def read_data_order(environ: Mapping[str, str]) -> DataOrder:
    """The order in `environ`. Raises Trouble for one that cannot be read."""
    try:
        said = json.loads(environ.get(VARIABLE) or "")
        return DataOrder(
            namespace=said["namespace"],
            dataset=said["dataset"],
            source=_source(said["source"]),
            volume=Path(said.get("volume") or DEFAULT_VOLUME),
            listing=_digest(said.get("listing")),
            secret=Path(environ.get("TRAINYARD_SECRETS") or DEFAULT_SECRETS) / SECRET,
            termination_log=termination_log(environ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Trouble(
            "broken",
            f"{VARIABLE} cannot be read ({type(error).__name__}: {error}): the agent's image and the operator are of"
            " different versions. Set settings.agent.image to the image of the operator's release.",
        ) from error


def _source(said: Mapping[str, Any]) -> Source:
    return Source(
        place=Place(
            uri=said.get("uri") or "",
            endpoint=(said.get("endpoint") or "").rstrip("/"),
            region=said.get("region") or "",
            account=said.get("account") or "",
        ),
        revision=said.get("revision") or "",
        sha256=_digest(said.get("sha256")),
        file_type=_one_of(said.get("fileType"), "", "file", "folder"),
        filters=tuple(str(pattern) for pattern in said.get("filters") or ()),
        files=tuple(
            RemoteFile(url=one["url"], path=one.get("path") or "", sha256=_digest(one.get("sha256")))
            for one in said.get("files") or ()
        ),
    )


def _digest(said: str | None) -> str:
    digest = (said or "").lower()
    if digest and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{said!r} is no SHA-256")
    return digest


def _one_of(said: str | None, *allowed: str) -> str:
    value = said or ""
    if value not in allowed:
        raise ValueError(f"{said!r} is none of {', '.join(filter(None, allowed))}")
    return value
