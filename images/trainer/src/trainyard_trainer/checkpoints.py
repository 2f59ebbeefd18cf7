"""Checkpoint folders: closed whole, verified before use, the oldest removed.

Separate because the format is shared with the agent, which uploads and fetches these folders
(docs/trainer-contract.md, "Checkpoints"). Called by `training` and `resuming`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_trainer.files import sha256_of, sync_folder, written_whole

MANIFEST = "manifest.json"
STATE = "state.joblib"
_NAME = re.compile(r"epoch-\d{6,}")
_UNFINISHED = re.compile(r"\.epoch-\d{6,}\.tmp")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A closed checkpoint: `epoch` epochs are done, and `step` mini steps in all. It is one of `ranks` parts."""

    epoch: int
    step: int
    path: Path
    ranks: int = 1

    def reported(self) -> dict[str, Any]:
        """As a status line names it."""
        return {"epoch": self.epoch, "step": self.step, "path": str(self.path)}


def begin(folder: Path, *, resumed: Checkpoint | None) -> None:
    """Remove from `folder` what does not belong to the training that begins now.

    That is what a killed process left unfinished, and every checkpoint that the one resumed from does not
    follow: of two trainings in one folder, the newest epoch could belong to the wrong one.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path)
    continues = resumed is not None and resumed.path.resolve().parent == folder.resolve()
    for path in _newest_first(folder):
        if not continues or resumed is None or _epoch_of(path) > resumed.epoch:
            _remove(path)


def save(
    folder: Path, state: Any, *, epoch: int, step: int, keep: int, rank: int = 0, ranks: int = 1
) -> Checkpoint:
    """Write `state` as `folder/epoch-<n>`; afterwards remove all but the newest `keep` checkpoints.

    The folder gets its name last, so whoever sees the name sees a whole checkpoint. Of several ranks each has a folder
    of its own, and the checkpoint is whole once every rank has closed its part.
    """
    import joblib

    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"epoch-{epoch:06d}"
    temporary = folder / f".{final.name}.tmp"
    temporary.mkdir()
    with written_whole(temporary / STATE) as file:
        joblib.dump(state, file)
    manifest = {
        "epoch": epoch,
        "step": step,
        "rank": rank,
        "worldSize": ranks,
        "files": [
            {
                "path": STATE,
                "size": (temporary / STATE).stat().st_size,
                "sha256": sha256_of(temporary / STATE),
            }
        ],
    }
    with written_whole(temporary / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=2).encode())
    temporary.rename(final)
    sync_folder(folder)
    for old in _newest_first(folder)[keep:]:
        _remove(old)
    return Checkpoint(epoch=epoch, step=step, path=final, ranks=ranks)


def newest_complete(
    folder: Path, *, log: Callable[[str], None], latest: int | None = None
) -> Checkpoint | None:
    """The newest checkpoint in `folder` whose files are all there and right; `folder` may be one itself.

    With `latest` none of a later epoch. Broken ones are skipped, each with a line in the log.
    """
    for candidate in _candidates(folder):
        if latest is not None and candidate != folder and _epoch_of(candidate) > latest:
            continue
        found, wrong = inspect(candidate)
        if found is not None:
            return found
        log(f"Skipping the checkpoint {candidate}: {wrong}.")
    return None


def inspect(path: Path) -> tuple[Checkpoint | None, str]:
    """The checkpoint at `path` and an empty string, or None and what is wrong with it."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        files = [
            (str(entry["path"]), int(entry["size"]), str(entry["sha256"])) for entry in manifest["files"]
        ]
        found = Checkpoint(
            epoch=int(manifest["epoch"]),
            step=int(manifest["step"]),
            path=path,
            ranks=int(manifest["worldSize"]),
        )
    except FileNotFoundError:
        return None, f"it has no {MANIFEST}, so it was never closed"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"its {MANIFEST} cannot be read ({type(error).__name__}: {error})"
    if STATE not in {name for name, _, _ in files}:
        return None, f"it holds no {STATE}, so another trainer wrote it"
    for name, size, digest in files:
        file = path / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not file.is_file():
            return None, f"{name} is missing"
        if file.stat().st_size != size:
            return None, f"{name} has {file.stat().st_size} bytes instead of {size}"
        if sha256_of(file) != digest:
            return None, f"{name} has another SHA-256 than its manifest says"
    return found, ""


def load_state(checkpoint: Checkpoint) -> Any:
    """What was given to `save`. NB: a pickle, so only ever from this job's own folder."""
    import joblib

    return joblib.load(checkpoint.path / STATE)


def _candidates(folder: Path) -> list[Path]:
    if (folder / MANIFEST).is_file():
        return [folder]
    return _newest_first(folder) if folder.is_dir() else []


def _newest_first(folder: Path) -> list[Path]:
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(named, key=_epoch_of, reverse=True)


def _epoch_of(path: Path) -> int:
    return int(path.name.removeprefix("epoch-"))


def _remove(path: Path) -> None:
    """Remove a checkpoint, its manifest first: a half-removed one must not look complete."""
    (path / MANIFEST).unlink(missing_ok=True)
    # Whoever is reading the other files may hold them open for a moment (NFS); leftovers have no manifest.
    shutil.rmtree(path, ignore_errors=True)
