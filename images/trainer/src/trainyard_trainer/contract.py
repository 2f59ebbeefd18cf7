"""What the operator asks for, read from the environment.

Separate because it is the contract's "In" half (docs/trainer-contract.md): nothing else looks at
environment variables. Called by `__main__` before anything heavy is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_trainer.problems import Refused

DEFAULT_TERMINATION_LOG = "/dev/termination-log"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
_DEFAULT_RENDEZVOUS_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which of the processes that train one model this one is. `coordinator`, host:port, is where rank 0 is met.

    `seconds` is how long the others are waited for.
    """

    rank: int = 0
    ranks: int = 1
    coordinator: str = ""
    seconds: int = _DEFAULT_RENDEZVOUS_SECONDS


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A model that lies at `path`, a folder or a file. One that is no `backbone` is a whole model, to be worked on."""

    name: str
    path: Path
    backbone: bool


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run of one action. Folders that were not given are None: nothing is kept there.

    A run that `continues` goes on with its parent's training, by the checkpoint in `resume_dir`; in `parent_checkpoint`
    is one to work on instead of the model that the parent has left.
    """

    action: str
    type: str
    parameters: Mapping[str, Any]
    data_dir: Path | None
    datasets: Mapping[str, tuple[str, ...]]
    output_dir: Path | None
    checkpoint_dir: Path | None
    resume_dir: Path | None
    parent_dir: Path | None
    parent_checkpoint: Path | None = None
    continues: bool = False
    base_models: tuple[BaseModel, ...] = ()
    place: Place = Place()


def read_order(environ: Mapping[str, str]) -> Order:
    """The order in `environ`. Raises Refused for a variable that cannot be read."""
    return Order(
        action=environ.get("TRAINYARD_ACTION", "") or "train",
        type=environ.get("TRAINYARD_TYPE", ""),
        parameters=_mapping(environ, "TRAINYARD_PARAMETERS"),
        data_dir=_folder(environ, "TRAINYARD_DATA_DIR"),
        datasets=_datasets(_mapping(environ, "TRAINYARD_DATASETS")),
        output_dir=_folder(environ, "TRAINYARD_OUTPUT_DIR"),
        checkpoint_dir=_folder(environ, "TRAINYARD_CHECKPOINT_DIR"),
        resume_dir=_folder(environ, "TRAINYARD_RESUME"),
        parent_dir=_folder(environ, "TRAINYARD_PARENT_DIR"),
        parent_checkpoint=_folder(environ, "TRAINYARD_PARENT_CHECKPOINT"),
        continues=environ.get("TRAINYARD_CONTINUES", "") == "true",
        base_models=_base_models(environ),
        place=read_place(environ),
    )


def read_place(environ: Mapping[str, str]) -> Place:
    """Rank and number of ranks in `environ`; jax's own names count before ours.

    Raises Refused for what is no such number, or for several ranks that are not told where to meet.
    """
    ranks = _number(environ, ("JAX_NUM_PROCESSES", "TRAINYARD_WORLD_SIZE"), default=1, least=1)
    rank = _number(environ, ("JAX_PROCESS_ID", "TRAINYARD_RANK"), default=0, least=0)
    if rank >= ranks:
        raise Refused(
            f"This is rank {rank} of {ranks}: ranks count from 0. Set JAX_NUM_PROCESSES and JAX_PROCESS_ID."
        )
    coordinator = environ.get("JAX_COORDINATOR_ADDRESS", "")
    host, _, port = coordinator.rpartition(":")
    if ranks > 1 and not (host and port.isdecimal()):
        raise Refused(
            f"There are {ranks} ranks, and JAX_COORDINATOR_ADDRESS does not say where they meet"
            f' (it is "{coordinator}"). Set it to HOST:PORT of rank 0.'
        )
    return Place(
        rank=rank,
        ranks=ranks,
        coordinator=coordinator,
        seconds=_number(
            environ, ("TRAINYARD_RENDEZVOUS_SECONDS",), default=_DEFAULT_RENDEZVOUS_SECONDS, least=1
        ),
    )


def termination_log(environ: Mapping[str, str]) -> Path:
    """Where the verdict is written; Kubernetes' default path unless told otherwise."""
    return Path(environ.get("TRAINYARD_TERMINATION_LOG", "") or DEFAULT_TERMINATION_LOG)


def thread_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables to set so that numpy uses one thread, unless the job's environment says otherwise.

    NB: before numpy is imported. Its libraries count the node's CPUs, not the container's limit, and 64
    threads on a limit of one CPU are throttled to a crawl.
    """
    threads = environ.get("OMP_NUM_THREADS") or "1"
    return {name: threads for name in _THREAD_VARIABLES if not environ.get(name)}


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "")
    return Path(value) if value else None


def _number(environ: Mapping[str, str], names: Sequence[str], *, default: int, least: int) -> int:
    """The whole number in the first of the variables that is set."""
    for name in names:
        if text := environ.get(name, "").strip():
            if not text.isdecimal() or int(text) < least:
                raise Refused(f'{name} must be a whole number of at least {least}, but is "{text}".')
            return int(text)
    return default


def _mapping(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    text = environ.get(name, "").strip()
    if not text:
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise Refused(f"{name} is not JSON: {error}. It must be a JSON object.") from error
    if not isinstance(value, dict):
        raise Refused(f"{name} must be a JSON object, not {type(value).__name__}.")
    return value


def _base_models(environ: Mapping[str, str]) -> tuple[BaseModel, ...]:
    name = "TRAINYARD_BASE_MODELS"
    text = environ.get(name, "").strip()
    if not text:
        return ()
    try:
        return tuple(
            BaseModel(name=str(told["name"]), path=Path(told["path"]), backbone=bool(told["backbone"]))
            for told in json.loads(text)
        )
    except (ValueError, LookupError, TypeError) as error:
        raise Refused(
            f"{name} cannot be read ({type(error).__name__}: {error}). It must be a JSON list of objects with name,"
            " path and backbone."
        ) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON knows")


def _datasets(roles: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Folder names by role. A role may hold one name or a list; an empty role is left out."""
    datasets: dict[str, tuple[str, ...]] = {}
    for role, value in roles.items():
        names = [value] if isinstance(value, str) else value
        if names is None:
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Refused(f"TRAINYARD_DATASETS: {role} must be a folder name or a list of them.")
        for name in filter(None, names):
            if name in {".", ".."} or "/" in name:
                raise Refused(f'TRAINYARD_DATASETS: {role} names "{name}", which is not a plain folder name.')
        if kept := tuple(filter(None, names)):
            datasets[role] = kept
    return datasets
