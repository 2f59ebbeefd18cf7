"""What is: everything that the plan of one Dataset rests on, and what it comes to.

Separate because the plan's parts share these shapes; made by `reconcile.dataset` and for planning only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from trainyard.api.dataset import DatasetSpec
from trainyard.planning.dataclaims import ClaimStep, ClaimView
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.observed import Refusal
from trainyard.planning.plan import Plan
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ObservedDataset:
    """One Dataset.

    `claim_exists` is what the API server said of the claim of a pvc:// source, `claim` the one that is pulled onto.
    `puller_lives`: the Dataset that pulls onto it still does. `last_lines` are those of the logs of pods that were
    read, by their UID. `users` are unfinished jobs that have begun with data of it, `used_claims` the claims that they
    or others still mount.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    status: Json
    spec: DatasetSpec | None
    spec_error: str = ""
    unsupported: str | None = None
    finalizers: tuple[str, ...] = ()
    refresh_requested_at: str = ""
    upload: str = ""
    lineage: str = ""
    pods: tuple[PodView, ...] = ()
    claim_exists: bool = False
    claim: ClaimView | None = None
    claim_refused: str = ""
    refusal: Refusal | None = None
    puller_lives: bool = True
    last_lines: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, tuple[PodEvent, ...]] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    used_claims: frozenset[str] = frozenset()

    @property
    def pull(self) -> Json:
        """`status.pull`."""
        return self.status.get("pull") or {}

    @property
    def uploaded(self) -> Json | None:
        """What was brought by a push, where one is wanted; None while there is nothing, or nothing that can be read."""
        if self.spec is None or self.spec.source is None or self.spec.source.upload is None:
            return None
        try:
            told = orjson.loads(self.upload)
        except orjson.JSONDecodeError:
            return None
        return told if isinstance(told, dict) and isinstance(told.get("claim"), str) else None

    @property
    def digest(self) -> str:
        """Of what the spec says of the source and of the check: what has another one is another dataset."""
        assert self.spec is not None
        said = self.spec.model_dump(
            by_alias=True,
            mode="json",
            include={"type", "format", "source", "validation", "env", "cache"},
            exclude_defaults=True,
        )
        # NB: with the upload, as what is pushed again is another content.
        text = orjson.dumps([said, self.upload], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(text).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """What to do now: claims first, then `plan`. `finalizers` is the whole list as it shall read: set before the claims
    when it grows, and last when it shrinks.
    """

    plan: Plan = field(default_factory=Plan)
    claims: tuple[ClaimStep, ...] = ()
    finalizers: tuple[str, ...] | None = None
