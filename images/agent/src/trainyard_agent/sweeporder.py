"""What the agent is asked to sweep: `TRAINYARD_SWEEP`, one JSON object that the operator writes.

Separate from `order` because it is of an Experiment's pod, which has no attempt. Called by `__main__`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard_agent.order import DEFAULT_SECRETS, Place, plain, read_place, termination_log
from trainyard_agent.troubles import Trouble

VARIABLE = "TRAINYARD_SWEEP"


@dataclass(frozen=True, kw_only=True)
class SweepOrder:
    """The jobs whose checkpoints and artifacts go, and the store, called `store`, that holds them."""

    namespace: str
    output: Place
    store: str
    uids: tuple[str, ...]
    secrets: Path
    termination_log: Path


def read_sweep_order(environ: Mapping[str, str]) -> SweepOrder:
    """The order in `environ`. Raises Trouble for one that cannot be read, before anything is removed."""
    try:
        said = json.loads(environ.get(VARIABLE) or "")
        if not isinstance(said["uids"], list):
            raise TypeError("uids is no list")
        return SweepOrder(
            namespace=said["namespace"],
            output=read_place(said["output"]),
            store=said["store"].rstrip("/"),
            uids=tuple(dict.fromkeys(plain(uid) for uid in said["uids"])),
            secrets=Path(environ.get("TRAINYARD_SECRETS") or DEFAULT_SECRETS),
            termination_log=termination_log(environ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Trouble(
            "broken",
            f"{VARIABLE} cannot be read ({type(error).__name__}: {error}): the agent's image and the operator are of"
            " different versions. Set settings.agent.image to the image of the operator's release.",
        ) from error
