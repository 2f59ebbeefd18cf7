"""The pod that proposes the next trials of a bayesian search, and what it answers.

Separate because it is the contract with the tuner image (docs/automl.md): the operator itself never imports what
proposes.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from trainyard.api import names
from trainyard.planning import experimentpod, stepjobs
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.podview import PodView
from trainyard.search.space import Space, SpaceError

Json = dict[str, Any]
Point = tuple[str, ...]

STAGE = "propose"
#: Of the 128 KiB that Linux allows one string of the environment.
_ROOM = 120 * 1024
#: The operator packs it between other objects: the greatest level takes twenty times as long, for a seventh less.
_LEVEL = 1


@dataclass(frozen=True, kw_only=True)
class TunerRules:
    """From the settings: the tuner's image, what its container may use, and where it runs."""

    image: str = "trainyard/tuner:0.1.0"
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    image_pull_policy: str | None = None


def order(
    space: Space,
    *,
    minimize: bool,
    seed: int,
    first: int,
    count: int,
    history: Sequence[tuple[Point, float | None]],
    pending: Sequence[Point],
) -> str:
    """What the tuner is told, so that it fits: of too long a history the older half goes, but for its best."""
    told: Json = {
        "space": space.as_json(),
        "minimize": minimize,
        "seed": seed,
        "first": first,
        "count": count,
        "history": [[list(point), value] for point, value in history],
        "pending": [list(point) for point in pending],
    }
    while True:
        text = base64.b64encode(zlib.compress(orjson.dumps(told), _LEVEL)).decode()
        if len(text) <= _ROOM or len(told["history"]) < 2:
            return text
        told["history"] = _halved(told["history"], minimize=minimize)


def pod(observed: ObservedExperiment, told: str, *, first: int, rules: TunerRules) -> Json:
    """The pod that proposes trials from number `first` on."""
    body = _body(observed, told, first=first, rules=rules)
    body["metadata"]["annotations"] = {names.SPEC_HASH: _made_with(observed, rules)}
    return body


def is_outdated(pod: PodView, observed: ObservedExperiment, rules: TunerRules) -> bool:
    """Whether a pod has not begun and would be made otherwise now: the image, or where and with what it may run. NB: of
    one without the digest it is not known, be it that something at admission takes annotations off.
    """
    return not pod.begun and not pod.over and pod.spec_hash not in ("", _made_with(observed, rules))


def _made_with(observed: ObservedExperiment, rules: TunerRules) -> str:
    """Digest of all that a pod is made with but what it is told."""
    return stepjobs.digest(_body(observed, "", first=0, rules=rules)["spec"])


def _body(observed: ObservedExperiment, told: str, *, first: int, rules: TunerRules) -> Json:
    main = experimentpod.container(
        names.PROPOSE_CONTAINER,
        rules.image,
        verb="propose",
        env=[{"name": "TRAINYARD_SEARCH", "value": told}],
        requests=rules.requests,
        limits=rules.limits,
        image_pull_policy=rules.image_pull_policy,
    )
    return experimentpod.pod(
        observed,
        STAGE,
        first,
        main,
        nodeSelector=dict(rules.node_selector),
        tolerations=[dict(one) for one in rules.tolerations],
    )


def proposed(line: str, space: Space) -> list[Point] | None:
    """The points of the tuner's answer; None for what is none of this space."""
    try:
        found = orjson.loads(line)["proposals"]
        return [space.accepted(point) for point in found] or None
    except (orjson.JSONDecodeError, KeyError, TypeError, SpaceError):
        return None


def _halved(history: list[Any], *, minimize: bool) -> list[Any]:
    """The newer half, and the best quarter of the older one."""
    middle = len(history) // 2
    older = [entry for entry in history[:middle] if entry[1] is not None]
    older.sort(key=lambda entry: entry[1], reverse=not minimize)
    return older[: middle // 4] + history[middle:]
