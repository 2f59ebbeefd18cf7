"""`trainyard-agent record`: stores the record of a model's version and its model card beside the artifacts.

Separate because it is what outlives the list in the model's status. Both are made of the order and of what lies there
alone, so that it can be killed at any moment and run again: the same again changes nothing. Called by `__main__`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from trainyard_agent import layout, modelcard
from trainyard_agent.bucket import Bucket
from trainyard_agent.checkpoints import Broken, File
from trainyard_agent.jobfiles import VolumeFiles
from trainyard_agent.log import amount, say
from trainyard_agent.modellists import MOST_BYTES, read_list
from trainyard_agent.recordorder import RecordOrder
from trainyard_agent.stores import dumped
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import Volume

#: Larger ones are in no card.
_MOST_READ = 4 << 20
_METRICS, _CONFUSION, _PROFILE = "metrics.json", "confusion_matrix.csv", "profile.json"


def record(order: RecordOrder, store: Volume | Bucket) -> dict[str, Any]:
    """What the last word says: where record and card lie, with their digests. Raises Trouble, and then nothing new is
    there that says anything of this version.
    """
    folder = f"{order.store}/{order.artifacts}"
    _refuse_links(order, store)
    try:
        data = _read(order, store, layout.ARTIFACTS, MOST_BYTES + 1)
        if data is None:
            raise Broken(f"{folder} holds no {layout.ARTIFACTS}")
        _, files = read_list(data, wanted=order.sha256, place=folder)
        metrics = _read_json(order, store, files)
        confusion = _read_listed(order, store, files, _CONFUSION)
    except Broken as error:
        raise Trouble(
            "mismatch",
            f"Version {order.version} of MLModel {order.model} is not what was stored: {error}. No card is written for"
            " it: train the model again.",
        ) from error
    card = modelcard.render(order.record, files=files, metrics=metrics, confusion=confusion)
    told: dict[str, Any] = {
        "record": _put(order, store, ".json", dumped(dict(order.record))),
        "card": _put(order, store, ".md", card.encode(errors="replace")),
    }
    profile = next((one for one in files if one.path == _PROFILE), None)
    if profile is not None:
        told["profile"] = {"path": f"{order.artifacts}/{_PROFILE}", "sha256": profile.sha256}
    return told


def _refuse_links(order: RecordOrder, store: Volume | Bucket) -> None:
    """NB: whoever may write to a claim could have made a link of a folder, which leads to another job."""
    if isinstance(store, Volume):
        for folder in (order.uid, f"{order.uid}/models"):
            if store.path(folder).is_symlink():
                raise Trouble("hostile", f"{store.name}/{folder} is a link: nothing is written through it.")


def _put(order: RecordOrder, store: Volume | Bucket, ending: str, data: bytes) -> dict[str, str]:
    path = f"{order.stem}{ending}"
    if _at_most(order, store, path, len(data) + 1) == data:
        say(f"{store.name}/{path} is there already.")
    else:
        store.write(path, data)
        say(f"{store.name}/{path} is stored, {amount(len(data))}.")
    return {"path": path, "sha256": hashlib.sha256(data).hexdigest()}


def _read_json(order: RecordOrder, store: Volume | Bucket, files: tuple[File, ...]) -> dict[str, Any]:
    """The trainer's summary. NB: a trainer may call anything metrics.json."""
    data = _read_listed(order, store, files, _METRICS)
    try:
        said = json.loads(data) if data is not None else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _read_listed(
    order: RecordOrder, store: Volume | Bucket, files: tuple[File, ...], name: str
) -> bytes | None:
    """An artifact that is listed and not too large; None for any other. Raises Broken where it is not as listed."""
    file = next((one for one in files if one.path == name), None)
    if file is None or file.size > _MOST_READ:
        return None
    data = _read(order, store, name, file.size + 1)
    if data is None:
        raise Broken(f"{name} is not there, and {layout.ARTIFACTS} lists it")
    if (digest := hashlib.sha256(data).hexdigest()) != file.sha256:
        raise Broken(f"{name} has the SHA-256 {digest} and not {file.sha256}")
    return data


def _read(order: RecordOrder, store: Volume | Bucket, name: str, most: int) -> bytes | None:
    return _at_most(order, store, f"{order.artifacts}/{name}", most)


def _at_most(order: RecordOrder, store: Volume | Bucket, path: str, most: int) -> bytes | None:
    """The beginning of a file in the job's folder, which no link leaves; None where there is none."""
    if isinstance(store, Bucket):
        return store.read_at_most(path, most)
    try:
        return VolumeFiles(store.root / order.uid).read(path.removeprefix(f"{order.uid}/"), 0, most)
    except FileNotFoundError:
        return None
