"""What is ours at a target: `trainyard.json`, which lies beside what was published.

Separate because folders and the hub both go by it. It is written before the first file is, so that whatever a killed
run has left is known; a file that it does not list is somebody else's and is neither changed nor removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainyard_publisher.problems import Refused

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of ours. `tag` is what the store says of its content; empty while that is not known to be there."""

    sha256: str
    tag: str = ""


@dataclass(kw_only=True)
class Record:
    """`digest` is that of the version that lies there as a whole, empty while none does."""

    owner: str
    number: int = 0
    digest: str = ""
    files: dict[str, Entry] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def dump(self) -> bytes:
        """As it is stored."""
        files = {
            name: {key: value for key, value in (("sha256", one.sha256), ("tag", one.tag)) if value}
            for name, one in sorted(self.files.items())
        }
        said = {
            "trainyard": _FORMAT,
            "owner": self.owner,
            "version": self.number,
            "digest": self.digest,
            "files": files,
            **self.more,
        }
        return json.dumps(said, indent=1).encode() + b"\n"


def read(data: bytes | None, *, place: str) -> Record | None:
    """The record that is stored; None without one. Raises Refused for what is no record of ours."""
    if data is None:
        return None
    try:
        said: Mapping[str, Any] = json.loads(data)
        if said["trainyard"] != _FORMAT:
            raise ValueError(f"format {said['trainyard']}")
        # NB: whoever may write there could have what lies elsewhere removed.
        if climbing := [name for name in said["files"] if {"", ".", ".."} & {*name.split("/")}]:
            raise ValueError(f"it names {climbing[0]!r}")
        return Record(
            owner=str(said["owner"]),
            number=int(said["version"]),
            digest=str(said["digest"]),
            files={
                str(name): Entry(sha256=str(one["sha256"]), tag=str(one.get("tag") or ""))
                for name, one in said["files"].items()
            },
            more={key: said[key] for key in ("created", "tags") if key in said},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{place} has a file trainyard.json that is no record of what was published ({error}): give another uri, "
            "or move it away."
        ) from error


def not_ours(owner: str, place: str) -> Refused:
    """What another target has published is never overwritten."""
    return Refused(
        f"{place} has what {owner} (namespace/model/target) has published: give another uri, or take that target out "
        "first."
    )


def foreign(name: str, place: str) -> Refused:
    """Nor is what was put there by other means."""
    return Refused(
        f"{place} has a file {name} already, which was not published from here and is not overwritten: give another "
        "uri, or move it away."
    )
