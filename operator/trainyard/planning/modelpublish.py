"""What of a model lies at the targets of spec.publish: which version is to, the job that puts it there, how that ended.

Separate because each target has a life of its own beside that of the model. A target holds one version; another one
replaces it, and what a target no longer names is taken away by what status says of it. Called by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.mlmodel import PublishTarget
from trainyard.planning import modeltasks, publishentries, publishjobs, recordpod
from trainyard.planning.experimentobserved import JobStep
from trainyard.planning.modelobserved import ObservedModel, Part, TaskView
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.modeltasks import Task
from trainyard.planning.modelversions import Versions
from trainyard.planning.plan import Announcement
from trainyard.planning.times import seconds, sooner, stamp

Json = Mapping[str, Any]

#: A version waits so long for its model card to be stored, which goes with it.
CARD_SECONDS = 300.0
_READ_AGAIN_SECONDS = 5.0
_LIMIT = 1024


def plan(
    observed: ObservedModel, versions: Versions, aliases: Mapping[str, int], *, now: float, rules: ModelRules
) -> Part:
    """What is to be done about publishing; `status.published` is its own.

    NB: status tells of a job only once that is there, as with evaluations.
    """
    assert observed.spec is not None
    tasks = observed.of_task("publish", "unpublish")
    round_ = _Round(observed, versions, aliases, tasks, now=now, rules=rules)
    wanted = {target.name: target for target in observed.spec.publish}
    for name in dict.fromkeys([*wanted, *round_.entries]):
        round_.look(name, wanted.get(name))
    listed = [publishentries.clean(entry) for entry in round_.entries.values()]
    return Part(
        status={"published": listed or None},
        jobs=(*round_.steps, *_outdated(tasks, round_.entries.values())),
        requeue_after=round_.later,
        announce=tuple(round_.news),
        problem=" ".join(round_.problems)[:_LIMIT],
    )


@dataclass
class _Round:
    """One look at all targets. `entries` are those of status.published by name."""

    observed: ObservedModel
    versions: Versions
    aliases: Mapping[str, int]
    tasks: Sequence[TaskView]
    now: float = field(kw_only=True)
    rules: ModelRules = field(kw_only=True)
    entries: dict[str, dict[str, Any]] = field(init=False)
    steps: list[JobStep] = field(default_factory=list)
    news: list[Announcement] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    later: float | None = None
    _made: int = 0
    #: Targets of jobs that this look makes, which no entry tells of yet.
    _begun: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries = publishentries.adopted(self.observed, self.tasks)

    def look(self, name: str, target: PublishTarget | None) -> None:
        """Follow the job of a target, and begin the next one where it is due."""
        entry = self.entries.get(name)
        wish = self._wish(name, target, entry)
        if entry is not None and self._is_busy(entry, wish):
            return
        entry = self.entries.get(name)
        if entry is not None and target is None and publishentries.is_gone(entry):
            if self._is_edited():
                del self.entries[name]
            return
        # NB: once more, as what has just ended counts.
        wish = self._wish(name, target, entry)
        if isinstance(wish, str):
            self._waits(name, wish)
        elif wish is not None:
            self._begin(name, wish)
        elif entry is not None and entry["state"] == "Published":
            self.entries[name] = {**entry, "message": publishentries.left_behind(entry)}

    def _wish(self, name: str, target: PublishTarget | None, entry: Json | None) -> _Wish | str | None:
        """What is to be done for a target; a sentence where that has to wait, None where all is as it should be."""
        if target is None:
            return None if entry is None or publishentries.is_gone(entry) else self._removal(name, entry)
        if self._is_archived:
            return None
        said = publishjobs.told(target)
        before = (entry or {}).get("target")
        moved = before and publishjobs.place(before) != publishjobs.place(said)
        if entry is not None and moved and not publishentries.is_gone(entry):
            return self._removal(name, entry)
        version = self._version(target)
        if isinstance(version, str):
            return version
        digest = publishjobs.publish_digest(said, version)
        if entry is not None and (entry.get("specDigest"), entry["state"]) == (digest, "Published"):
            return None
        there = {
            other: one["target"]
            for other, one in self.entries.items()
            if one.get("target") and not publishentries.is_gone(one)
        }
        occupied = [
            other
            for other, one in {**there, **self._begun}.items()
            if other != name and publishjobs.place(one) == publishjobs.place(said)
        ]
        if occupied:
            return f"Target {occupied[0]} is at {target.uri} still, and there is one target in a place."
        # NB: not a part of the digest, as they are of what lies there and not of what is wanted.
        said = publishjobs.with_former(said, before)
        spec = publishjobs.publish_spec(self.observed, name, said, version)
        return _Wish(task="publish", digest=digest, target=said, spec=spec)

    def _removal(self, name: str, entry: Json) -> _Wish:
        target = entry["target"]
        spec = publishjobs.unpublish_spec(self.observed, name, target, entry)
        digest = publishjobs.unpublish_digest(target)
        return _Wish(task="unpublish", digest=digest, target=target, spec=spec)

    def _version(self, target: PublishTarget) -> Json | str:
        """The version that a target asks for; a sentence where there is none to be published."""
        number = self.aliases.get(target.alias) if target.alias else target.version
        if target.alias and number is None:
            return f"Alias {target.alias} stands for no version."
        found = self.versions.numbered(number) if number is not None else self.versions.newest
        if found is None:
            return (
                f"There is no version {number} to publish."
                if number is not None
                else "There is no version yet."
            )
        if not (found.get("uri") and found.get("sha256")):
            return f"Version {found['number']} was told from outside and has no files here that could be published."
        if recordpod.wanted(found):
            left = (seconds(found.get("time")) or 0.0) + CARD_SECONDS - self.now
            if left > 0:
                self.later = sooner(self.later, left)
                return f"Version {found['number']} waits for its model card."
        return found

    def _is_busy(self, entry: dict[str, Any], wish: _Wish | str | None) -> bool:
        """Whether a job still works for the entry, which is brought up to date with it."""
        job = next((one for one in self.tasks if one.name == entry.get("job") and not one.deleting), None)
        if job is not None and not job.finished:
            self.entries[entry["name"]] = working = publishentries.at_work(entry, job)
            if publishentries.is_held_up(job):
                self.problems.append(publishentries.problem(working))
            other = isinstance(wish, _Wish) and wish.digest != job.digest
            if job.task == "publish" and (other or self._is_archived):
                self.steps += modeltasks.unwanted([job])
            return True
        given_up = job is not None and entry["state"] == "Failed" and publishentries.is_given_up(job)
        if not entry.get("job") or not (given_up or entry["state"] == "Pending"):
            return False
        answer = modeltasks.answer(self.observed, job, now=self.now) if job is not None else {}
        if answer is None:
            self.later = sooner(self.later, _READ_AGAIN_SECONDS)
            return True
        ended = publishentries.ended(entry, job, answer, at=stamp(self.now))
        self.entries[entry["name"]] = ended
        self.news.append(publishentries.news(ended))
        return False

    def _waits(self, name: str, why: str) -> None:
        """NB: what lies there goes on to."""
        entry = self.entries.get(name) or {"name": name, "state": "Pending"}
        if entry["state"] == "Unpublished":
            entry = {"name": name, "state": "Pending"}
        self.entries[name] = {**entry, "message": why[:_LIMIT]}

    def _begin(self, name: str, wish: _Wish) -> None:
        entry = self.entries.get(name) or {"name": name, "state": "Pending"}
        again = entry["state"] == "Failed" and entry.get("specDigest") == wish.digest
        tries = int(entry.get("number") or 0) if again else 0
        if again:
            self.problems.append(publishentries.problem(entry))
            left = (seconds(entry.get("time")) or 0.0) + publishentries.pause(tries) - self.now
            if left > 0:
                self.later = sooner(self.later, left)
                return
        problem = modeltasks.problem_of(wish.spec, tuple(self.rules.context.catalog))
        if problem is not None:
            self._waits(name, problem)
            self.problems.append(f"Target {name} of spec.publish: {problem}"[:300])
            return
        step = self._step(name, wish, tries=tries + 1)
        refused = self.observed.refused(step.name, step.digest, now=self.now)
        if refused is not None:
            self._waits(name, f"The API server refuses {step.name}, and is asked again: {refused[0]}")
            self.later = sooner(self.later, refused[1])
            return
        self._made += 1
        self._begun[name] = wish.target
        self.steps.append(step)

    def _step(self, name: str, wish: _Wish, *, tries: int) -> JobStep:
        numbers = [*(one.number for one in self.tasks), *map(publishentries.number, self.entries.values()), 0]
        said = {"name": name, "tries": tries, "target": wish.target}
        return modeltasks.make(
            self.observed,
            wish.task,
            number=max(numbers) + 1 + self._made,
            digest=wish.digest,
            spec=wish.spec,
            annotations={names.PUBLISH_TARGET: orjson.dumps(said).decode()},
        )

    @property
    def _is_archived(self) -> bool:
        return self.observed.spec is not None and self.observed.spec.stage == "archived"

    def _is_edited(self) -> bool:
        """Whether the spec is another than when status was written last."""
        return int(self.observed.status.get("observedGeneration") or 0) != self.observed.generation


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """A job to make for a target."""

    task: Task
    digest: str
    target: Json
    spec: Json


def _outdated(tasks: Iterable[TaskView], entries: Iterable[Json]) -> tuple[JobStep, ...]:
    """Old ended jobs, but none whose end is still to be read."""
    unread = {entry.get("job") for entry in entries if entry["state"] == "Pending"}
    ended = [one for one in tasks if one.name not in unread]
    return modeltasks.outdated(ended, kept=max(3, len({entry.get("job") for entry in entries})))
