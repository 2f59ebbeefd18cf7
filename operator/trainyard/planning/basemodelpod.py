"""What a pod mounts and is told of the models that its job starts from (docs/base-models.md).

Separate because three of its parts must agree on where they lie: the volumes, the agent's order, and the trainer's
environment. Called by `planning.podspec` and `planning.podenvironment`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from trainyard.planning import uris
from trainyard.planning.agentpod import WORK_DIR, BaseModelOrder
from trainyard.planning.basemodels import UsedModel

Json = dict[str, Any]

#: A model on a claim is mounted where it is; others are fetched by the agent.
_MOUNTED = "/trainyard/base-models"
_FETCHED = f"{WORK_DIR}/base-models"
#: The folders of cards that lie on claims.
_CARDS = "/trainyard/base-cards"


def mounts(used: Sequence[UsedModel]) -> Iterator[tuple[str, str]]:
    """Addresses of folders on claims, and where each is to be mounted, read-only."""
    for number, model in enumerate(used):
        if uris.is_pvc(model.uri):
            yield model.uri, _folder(number, model)
        if model.card is not None and uris.is_pvc(model.card):
            yield model.card.rpartition("/")[0], f"{_CARDS}/{number}"


def orders(used: Sequence[UsedModel]) -> tuple[BaseModelOrder, ...]:
    """What the agent has to check, and to fetch where it is not mounted."""
    return tuple(
        BaseModelOrder(
            name=model.name,
            folder=_folder(number, model),
            mounted=uris.is_pvc(model.uri),
            uri=model.uri,
            kind=model.kind,
            sha256=model.sha256,
            store=None if uris.is_pvc(model.uri) else model.store,
            card=None if model.card is None or uris.is_pvc(model.card) else model.card,
        )
        for number, model in enumerate(used)
    )


def environment(used: Sequence[UsedModel]) -> dict[str, str]:
    """The trainer's variables; empty without a base model."""
    if not used:
        return {}
    told = [
        {
            "name": model.name,
            "path": _folder(number, model),
            "backbone": model.backbone,
            "card": _card(number, model),
        }
        for number, model in enumerate(used)
    ]
    return {"TRAINYARD_BASE_MODELS": orjson.dumps(told).decode()}


def whole(used: Sequence[UsedModel]) -> str | None:
    """Where the first whole model lies, which stands for the artifacts of a parent."""
    return next((_folder(number, model) for number, model in enumerate(used) if not model.backbone), None)


def _folder(number: int, model: UsedModel) -> str:
    return f"{_MOUNTED if uris.is_pvc(model.uri) else _FETCHED}/{number}"


def _card(number: int, model: UsedModel) -> str | None:
    if model.card is None:
        return None
    if uris.is_pvc(model.card):
        return f"{_CARDS}/{number}/{model.card.rpartition('/')[2]}"
    return f"{_FETCHED}/{number}.card.md"
