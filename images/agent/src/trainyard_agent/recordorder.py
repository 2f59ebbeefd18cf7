"""Which version of a model is recorded: `TRAINYARD_RECORD`, one JSON object that the operator writes.

Separate from `order` because it is of an MLModel's pod, which has no attempt. Called by `__main__`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_agent.jobfiles import is_plain
from trainyard_agent.order import DEFAULT_SECRETS, Place, plain, read_place, termination_log
from trainyard_agent.troubles import Trouble

VARIABLE = "TRAINYARD_RECORD"


@dataclass(frozen=True, kw_only=True)
class RecordOrder:
    """The version `version` of `model`, whose `artifacts` lie in the folder `uid` of the store, and the digest of their
    list. `record` is what is kept of it.
    """

    namespace: str
    output: Place
    store: str
    uid: str
    artifacts: str
    sha256: str
    model: str
    version: int
    record: Mapping[str, Any]
    secrets: Path
    termination_log: Path

    @property
    def stem(self) -> str:
        """Where record and card go in the store, without their endings."""
        return f"{self.uid}/models/{self.model}-{self.version}"


def read_record_order(environ: Mapping[str, str]) -> RecordOrder:
    """The order in `environ`. Raises Trouble for one that cannot be read, before anything is written."""
    try:
        said = json.loads(environ.get(VARIABLE) or "")
        uid, artifacts, version = plain(said["uid"]), said["artifacts"], said["version"]
        if not is_plain(artifacts) or not artifacts.startswith(f"{uid}/"):
            raise ValueError(f"{artifacts!r} is no folder in {uid}")
        if not isinstance(version, int) or not isinstance(said["record"], dict):
            raise TypeError("version or record")
        return RecordOrder(
            namespace=said["namespace"],
            output=read_place(said["output"]),
            store=said["store"].rstrip("/"),
            uid=uid,
            artifacts=artifacts,
            sha256=said["sha256"].removeprefix("sha256:"),
            model=plain(said["model"]),
            version=version,
            record=said["record"],
            secrets=Path(environ.get("TRAINYARD_SECRETS") or DEFAULT_SECRETS),
            termination_log=termination_log(environ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Trouble(
            "broken",
            f"{VARIABLE} cannot be read ({type(error).__name__}: {error}): the agent's image and the operator are of"
            " different versions. Set settings.agent.image to the image of the operator's release.",
        ) from error
