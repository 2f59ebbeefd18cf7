"""What this pod's agent is asked to do: `TRAINYARD_AGENT`, one JSON object that the operator writes.

Separate because it is the whole interface with the operator. Called by `__main__`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainyard_agent.troubles import Trouble

VARIABLE = "TRAINYARD_AGENT"
DEFAULT_TERMINATION_LOG = "/dev/termination-log"
DEFAULT_SECRETS = "/trainyard/secrets"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something is stored: a folder of a mounted volume (`path`), or a folder in an object store (`uri`)."""

    path: Path | None = None
    uri: str = ""
    endpoint: str = ""
    region: str = ""
    account: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where to ask how the attempt ended."""

    url: str
    ca_file: Path
    token_file: Path


@dataclass(frozen=True, kw_only=True)
class Handed:
    """The checkpoint of the parent `job` that is worked on, which has to be found by what `output`, called `store`,
    holds.

    `uids` are the parent's, the present one first, then those before it was restored. It is the newest one, or that of
    `epoch`. A training that `continues` goes on from it as from one of its own; else it goes into `folder`.
    """

    job: str
    uids: tuple[str, ...]
    output: Place
    store: str
    epoch: int | None
    continues: bool
    folder: Path


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A model to start from, which users call `name`. One that is `mounted` lies in `folder`, and is checked there; any
    other is fetched into it from `place`, which `secret` opens.

    A "version" is what a job has stored, a "file" one file, a "folder" whatever lies there. `sha256` is what it must
    have, empty where any will do; `card` is the address of its model card in a bucket, empty without one.
    """

    name: str
    folder: Path
    mounted: bool
    kind: Literal["version", "folder", "file"]
    place: Place
    secret: Path
    sha256: str
    card: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """Whose data it is, where it goes, and how long that may take."""

    namespace: str
    job: str
    uid: str
    origins: tuple[str, ...]
    attempt: int
    rank: int
    ranks: int
    output: Place | None
    store: str
    output_dir: Path
    checkpoint_dir: Path
    resume_dir: Path
    parent: Place | None
    parent_dir: Path
    resumable: bool
    grace_seconds: float
    upload_seconds: float
    verdict: Verdict | None
    secrets: Path
    termination_log: Path
    handed: Handed | None = None
    base_models: tuple[BaseModel, ...] = ()

    @property
    def continues(self) -> bool:
        """Whether it goes on with its parent's training, so that there is no beginning to start from."""
        return self.handed is not None and self.handed.continues

    @property
    def work(self) -> Path:
        """The folder that the agent's containers share, and that lasts as long as the pod."""
        return self.resume_dir.parent

    @property
    def ending(self) -> Path:
        """Made by the preStop hook: the pod's grace period has begun."""
        return self.work / "ending"


def termination_log(environ: Mapping[str, str]) -> Path:
    """Where the last word goes; Kubernetes' default path unless told otherwise."""
    return Path(environ.get("TRAINYARD_TERMINATION_LOG") or DEFAULT_TERMINATION_LOG)


def read_order(environ: Mapping[str, str]) -> Order:
    """The order in `environ`. Raises Trouble for one that cannot be read."""
    try:
        said = json.loads(environ.get(VARIABLE) or "")
        resume_dir = Path(said.get("resumeDir") or "/trainyard/work/resume")
        output_dir = Path(said.get("outputDir") or "/trainyard/output")
        return Order(
            namespace=said["namespace"],
            job=said["job"],
            uid=plain(said["uid"]),
            origins=tuple(plain(uid) for uid in said.get("origins") or ()),
            attempt=int(said["attempt"]),
            rank=int(said.get("rank") or 0),
            ranks=int(said.get("ranks") or 1),
            output=_place(said.get("output")),
            store=(said.get("store") or "").rstrip("/"),
            output_dir=output_dir,
            checkpoint_dir=Path(said.get("checkpointDir") or output_dir / "checkpoints"),
            resume_dir=resume_dir,
            parent=_place(said.get("parent")),
            parent_dir=Path(said.get("parentDir") or resume_dir.parent / "parent"),
            resumable=bool(said.get("resumable", True)),
            grace_seconds=float(said.get("graceSeconds", 30)),
            upload_seconds=float(said.get("uploadSeconds", 300)),
            verdict=_verdict(said.get("verdict")),
            secrets=Path(environ.get("TRAINYARD_SECRETS") or DEFAULT_SECRETS),
            termination_log=termination_log(environ),
            handed=_handed(said.get("handed")),
            base_models=tuple(_base_model(one) for one in said.get("baseModels") or ()),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Trouble(
            "broken",
            f"{VARIABLE} cannot be read ({type(error).__name__}: {error}): the agent's image and the operator are of"
            " different versions. Set settings.agent.image to the image of the operator's release.",
        ) from error


def _handed(said: Mapping[str, Any] | None) -> Handed | None:
    if not said:
        return None
    epoch = said.get("epoch")
    return Handed(
        job=said["job"],
        uids=tuple(plain(uid) for uid in said["uids"]),
        output=read_place(said["output"]),
        store=said["store"].rstrip("/"),
        epoch=int(epoch) if epoch is not None else None,
        continues=bool(said["continues"]),
        folder=Path(said["folder"]),
    )


def _base_model(said: Mapping[str, Any]) -> BaseModel:
    if said["kind"] not in ("version", "folder", "file"):
        raise ValueError(f"{said['kind']!r} is no kind of base model")
    return BaseModel(
        name=said["name"],
        folder=Path(said["folder"]),
        mounted=bool(said["mounted"]),
        kind=said["kind"],
        place=read_place({**said, "path": None}),
        secret=Path(said.get("secrets") or f"{DEFAULT_SECRETS}/none"),
        sha256=(said.get("sha256") or "").removeprefix("sha256:").lower(),
        card=said.get("card") or "",
    )


def _place(said: Mapping[str, Any] | None) -> Place | None:
    return read_place(said) if said else None


def read_place(said: Mapping[str, Any]) -> Place:
    """A store, as orders name it. Raises KeyError."""
    if said.get("path"):
        return Place(path=Path(said["path"]))
    return Place(
        uri=said["uri"].rstrip("/"),
        endpoint=said.get("endpoint") or "",
        region=said.get("region") or "",
        account=said.get("account") or "",
    )


def _verdict(said: Mapping[str, Any] | None) -> Verdict | None:
    if not said:
        return None
    return Verdict(url=said["url"], ca_file=Path(said["caFile"]), token_file=Path(said["tokenFile"]))


def plain(uid: str) -> str:
    """A UID that becomes the name of a folder. Raises ValueError for what could name another one."""
    if not uid or "/" in uid or uid.startswith("."):
        raise ValueError(f"{uid!r} is no UID")
    return uid
