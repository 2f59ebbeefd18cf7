"""What the operator asks for, read from the environment.

Separate because it is the contract's "In" half (docs/trainer-contract.md): no other part of the actions looks at
environment variables. Called by `running` before anything heavy is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_data.actions.problems import Refused

DEFAULT_TERMINATION_LOG = "/dev/termination-log"
_ROLES = ("input", "inference", "eval", "calibration")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run of one action on one dataset. Types and formats are empty where nobody has said them."""

    action: str
    parameters: Mapping[str, Any]
    dataset: str
    folder: Path
    type: str
    format: str
    output_type: str
    output_format: str
    output_dir: Path | None


def read_order(environ: Mapping[str, str], *, action: str) -> Order:
    """The order in `environ`. Raises Refused for a variable that cannot be read, and without one dataset."""
    parameters = _mapping(environ, "TRAINYARD_PARAMETERS")
    data_dir = environ.get("TRAINYARD_DATA_DIR", "")
    if not data_dir:
        raise Refused("There is no data: TRAINYARD_DATA_DIR is not set. Name a dataset in datasets.input.")
    dataset = _dataset(_mapping(environ, "TRAINYARD_DATASETS"), Path(data_dir))
    folder = Path(data_dir) / dataset
    if not folder.is_dir():
        raise Refused(f"The folder of dataset {dataset} does not exist in TRAINYARD_DATA_DIR.")
    output = environ.get("TRAINYARD_OUTPUT_DIR", "")
    return Order(
        action=action,
        parameters=parameters,
        dataset=dataset,
        folder=folder,
        type=environ.get("TRAINYARD_INPUT_TYPE", ""),
        format=environ.get("TRAINYARD_INPUT_FORMAT", ""),
        output_type=environ.get("TRAINYARD_OUTPUT_TYPE", ""),
        output_format=environ.get("TRAINYARD_OUTPUT_FORMAT", ""),
        output_dir=Path(output) if output else None,
    )


def termination_log(environ: Mapping[str, str]) -> Path:
    """Where the verdict is written; Kubernetes' default path unless told otherwise."""
    return Path(environ.get("TRAINYARD_TERMINATION_LOG", "") or DEFAULT_TERMINATION_LOG)


def _dataset(roles: Mapping[str, Any], data_dir: Path) -> str:
    """The name of the one dataset to work on: the role input, else the only one that there is."""
    given: list[Any] = [roles[role] for role in _ROLES if roles.get(role)]
    train = roles.get("train") or []
    given += train if isinstance(train, list) else [train]
    if roles.get("input"):
        given = [roles["input"]]
    if not roles and data_dir.is_dir():
        given = [path.name for path in sorted(data_dir.iterdir()) if path.is_dir()]
    if len(given) != 1:
        raise Refused("An action works on one dataset: name it in datasets.input.")
    name = given[0]
    if not isinstance(name, str) or name in {".", ".."} or "/" in name:
        raise Refused(f'TRAINYARD_DATASETS names "{name}", which is not a plain folder name.')
    return name


def _mapping(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    text = environ.get(name, "").strip()
    if not text:
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} is not JSON: {error}. It must be a JSON object.") from error
    if not isinstance(value, dict):
        raise Refused(f"{name} must be a JSON object, not {type(value).__name__}.")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON knows")
