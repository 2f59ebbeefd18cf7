"""The base models of a job: fetched into the pod, or checked where they are mounted, before the trainer starts.

Separate because a model comes from anywhere, as datasets do, and counts as a job's artifacts do: by the SHA-256 of each
file. What is handed on is whole: it gathers beside its folder and is moved there at the end. Called by `fetching`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainyard_agent import credentials, layout, modelsource, trees, troubles
from trainyard_agent.bucket import Bucket
from trainyard_agent.checkpoints import Broken, File
from trainyard_agent.contents import Contents
from trainyard_agent.log import amount, say
from trainyard_agent.modellists import MOST_BYTES, read_list
from trainyard_agent.order import BaseModel, Place
from trainyard_agent.patience import Patience
from trainyard_agent.reading import Changed, Gone, sha256_of
from trainyard_agent.receiving import receive
from trainyard_agent.troubles import ModelFailed, Trouble
from trainyard_agent.volume import clear

#: What makes a model useless however often it is fetched.
_FINAL: frozenset[troubles.Kind] = frozenset({"broken", "mismatch", "hostile", "empty", "unsupported"})
#: Damage on the way looks the same as damage at the store, which is the end.
_TRIES_OF_WRONG = 2
_AT_ONCE = 8
_STORES = ("s3://", "gs://", "abfs://")
_LOST_AND_FOUND = "lost+found"
_MOST_OF_CARD = 4 << 20
#: How long a card is waited for, without which everything goes on.
_CARD_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A base model that is there and right. `sha256` is that of its list, of its one file, or of what datasets are."""

    name: str
    sha256: str
    bytes: int


def bring(models: Sequence[BaseModel], *, cards: Path, patience: Patience) -> list[Brought]:
    """Brings or checks all of them, with their cards in the folder `cards`. Raises ModelFailed for one that is not what
    it should be; Trouble for all else.
    """
    found = []
    for model in models:
        found.append(_bring(model, patience))
        if model.card:
            _bring_card(model, cards / f"{model.folder.name}.card.md")
    return found


def told(models: Sequence[Brought], *, room: int) -> dict[str, Any]:
    """What the last word says of them, in their order. NB: an address may be so long that only a part of it fits."""
    said = {"baseModels": [asdict(model) for model in models]}
    longest = max((len(model.name) for model in models), default=0)
    while longest and len(json.dumps(said)) > room:
        longest -= 16
        said = {"baseModels": [{**asdict(model), "name": model.name[:longest]} for model in models]}
    return said


def _bring(model: BaseModel, patience: Patience) -> Brought:
    is_stored = model.kind == "version" and model.place.uri.startswith(_STORES)
    way = _mounted if model.mounted else _stored if is_stored else modelsource.fetch
    try:
        digest, size = way(model, patience)
    except Broken as error:
        raise _failed(model, "broken", str(error)) from error
    except PermissionError as error:
        raise Trouble(
            "unreadable",
            f"Base model {model.name} cannot be read in {model.place.uri} by the agent, which runs as user"
            f" {os.geteuid()} ({troubles.brief(error)}): let others read it.",
        ) from error
    except (Changed, Gone) as error:
        raise Trouble(
            "changed", f"Base model {model.name} was written to while it was read: {error}."
        ) from error
    except Trouble as trouble:
        if trouble.kind in _FINAL:
            raise _failed(model, trouble.kind, str(trouble).rstrip(".")) from trouble
        if trouble.kind == "full" and not model.mounted:
            raise Trouble(
                "full",
                f"The node has no room for base model {model.name}: raise the ephemeral-storage that the pod asks for.",
            ) from trouble
        raise
    say(f"Base model {model.name}, {amount(size)}, is there and right.")
    return Brought(name=model.name, sha256=digest, bytes=size)


def _failed(model: BaseModel, kind: troubles.Kind, why: str) -> ModelFailed:
    if model.kind == "version":
        cure = "It is not what was stored: take another version, or train the model again."
    else:
        cure = "Check its address in baseModels, and its digest where one is given."
    return ModelFailed(kind, f"Base model {model.name} cannot be used: {why}. {cure}", model=model.name)


def _stored(model: BaseModel, patience: Patience) -> tuple[str, int]:
    """Fetches what a job has stored in a bucket, and nothing that its list does not name."""
    bucket = _bucket(model, model.place, patience)
    data = bucket.read_at_most(layout.ARTIFACTS, MOST_BYTES + 1)
    if data is None:
        raise Broken(f"{bucket.name} holds no {layout.ARTIFACTS}")
    digest, files = read_list(data, wanted=model.sha256, place=bucket.name)
    size = sum(file.size for file in files)
    gathering = model.folder.with_name(f".{model.folder.name}.part")
    gathering.mkdir(parents=True, exist_ok=True)
    modelsource.check_room(gathering, size - sum(one.size for one in trees.files(gathering)))
    say(f"Fetching {len(files)} files, {amount(size)}, from {bucket.name} ...")
    for left in reversed(range(_TRIES_OF_WRONG)):
        try:
            receive(bucket, files, source="", to=gathering)
            break
        except Broken:
            if not left:
                raise
    (gathering / layout.ARTIFACTS).write_bytes(data)
    clear(model.folder)
    gathering.rename(model.folder)
    return digest, size


def _mounted(model: BaseModel, patience: Patience) -> tuple[str, int]:
    """Reads what lies on a volume. NB: a trainer finds all that is there, so that nothing may be that is not listed."""
    top, place = model.folder, model.place.uri
    if top.is_file():
        return _unlisted([trees.Local(path=top, name=top.name, size=top.stat().st_size)], model)
    listing = top / layout.ARTIFACTS
    if not listing.is_file():
        if model.kind == "version":
            raise Broken(f"{place} holds no {layout.ARTIFACTS}")
        return _unlisted(trees.files(top, leave_out=lambda name: name == _LOST_AND_FOUND), model)
    with listing.open("rb") as file:
        digest, files = read_list(file.read(MOST_BYTES + 1), wanted=model.sha256, place=place)
    known = {file.path for file in files}
    for one in trees.files(top, leave_out=_is_no_artifact):
        if one.name not in known:
            raise Broken(f"{one.name} lies in {place}, and its {layout.ARTIFACTS} does not list it")
    size = sum(one.size for one in files)
    say(f"Checking {len(files)} files, {amount(size)}, in {place} ...")
    real = top.resolve()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda one: _check(one, real, place), files):
            pass
    return digest, size


def _check(file: File, top: Path, place: str) -> None:
    path = top / file.path
    if not path.resolve().is_relative_to(top):
        raise Broken(f"{file.path} in {place} is a link that leaves the folder")
    if not path.is_file():
        raise Broken(f"{file.path} is not in {place}, and its {layout.ARTIFACTS} lists it")
    if (size := path.stat().st_size) != file.size:
        raise Broken(f"{file.path} in {place} has {size} bytes and not {file.size}")
    if (digest := sha256_of(path)) != file.sha256:
        raise Broken(f"{file.path} in {place} has the SHA-256 {digest} and not {file.sha256}")


def _is_no_artifact(name: str) -> bool:
    """What lies in an attempt's folder beside artifacts. Hidden files are those of file systems and killed agents."""
    top = name.partition("/")[0]
    return (
        name in (layout.ARTIFACTS, layout.CHECKPOINTS, _LOST_AND_FOUND)
        or layout.rank(top) is not None
        or name.rpartition("/")[2].startswith(".")
    )


def _unlisted(files: Sequence[trees.Local], model: BaseModel) -> tuple[str, int]:
    """Digest and bytes of what has no list. Raises Broken where it is not the one that the model must have."""
    place = model.place.uri
    if not files:
        raise Broken(f"there is nothing in {place}")
    contents = Contents(Path(tempfile.gettempdir()))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one, digest in zip(files, pool.map(lambda one: sha256_of(one.path), files), strict=True):
            contents.add(one.name, size=one.size, sha256=digest)
    return modelsource.digest_of(contents, model, place=place), contents.total().bytes


def _bring_card(model: BaseModel, to: Path) -> None:
    """Puts the model's card beside it, where it can be had."""
    try:
        data = _card(model)
        if data is None or len(data) > _MOST_OF_CARD:
            say(f"The card of base model {model.name} is not in {model.card}.")
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(data)
    except Exception as error:
        say(f"The card of base model {model.name} could not be had: {troubles.of(error, place=model.card)}")


def _card(model: BaseModel) -> bytes | None:
    folder, _, name = model.card.rpartition("/")
    place = Place(
        uri=folder, endpoint=model.place.endpoint, region=model.place.region, account=model.place.account
    )
    bucket = _bucket(model, place, Patience(tolerance=_CARD_SECONDS))
    return bucket.read_at_most(name, _MOST_OF_CARD + 1)


def _bucket(model: BaseModel, place: Place, patience: Patience) -> Bucket:
    return Bucket(
        place, name=place.uri, options=lambda: credentials.options(place, model.secret), patience=patience
    )
