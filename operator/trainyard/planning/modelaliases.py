"""Which versions the aliases of a model stand for.

Separate because base models, monitoring and publishing all go by it. Called by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.planning.modelobserved import ObservedModel
from trainyard.planning.modelversions import Versions
from trainyard.planning.plan import Announcement
from trainyard.planning.times import stamp


@dataclass(frozen=True, kw_only=True)
class Aliases:
    """`stand_for` is what each alias stands for; `states` as status has them; `problem` names those that stand for
    nothing.
    """

    stand_for: Mapping[str, int]
    states: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""
    news: tuple[Announcement, ...] = ()


def moved(observed: ObservedModel, versions: Versions, *, now: float) -> Aliases:
    """The aliases of the spec. One that is given to a version that there is not goes on to stand for what it did.

    A version is there while status lists it; of a former one only the record is left to be read.
    """
    assert observed.spec is not None
    before = {one["name"]: one for one in observed.status.get("aliases") or ()}
    states, lost, news = [], [], []
    for alias in observed.spec.aliases:
        old = before.get(alias.name)
        if versions.numbered(alias.version) is None:
            kept = old if old is not None and versions.numbered(old["version"]) is not None else None
            lost.append(
                f"alias {alias.name} is to stand for version {alias.version}, which is not there"
                + (f" and still stands for version {kept['version']}" if kept else "")
            )
            if kept:
                states.append(kept)
            continue
        if old is not None and old["version"] == alias.version:
            states.append(old)
            continue
        states.append({"name": alias.name, "version": alias.version, "time": stamp(now)})
        was = f" It stood for version {old['version']} before." if old is not None else ""
        news.append(
            Announcement(
                type="Normal",
                reason="AliasMoved",
                message=f"Alias {alias.name} stands for version {alias.version}.{was}",
            )
        )
    there = ", ".join(str(one["number"]) for one in versions.listed) or "none"
    problem = f"spec.aliases: {'; '.join(lost)}. Versions that there are: {there}." if lost else ""
    return Aliases(
        stand_for={one["name"]: int(one["version"]) for one in states},
        states=tuple(states),
        problem=problem,
        news=tuple(news),
    )
