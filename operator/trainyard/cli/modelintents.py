"""What a verb asks of an MLModel: the patch, if one is needed, and what there is to say.

Separate from `intents`, which is about what runs: a model has stages and aliases. Free of I/O, and each is idempotent.
Called by `modelverbs` and `modeltrain`.

NB: a patch holds `spec.stage`, `spec.aliases` or the training annotation, nothing else: the object may be Git's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from trainyard.api import names
from trainyard.cli.exits import UsageError
from trainyard.cli.intents import Intent, Refusal, set_back

Json = dict[str, Any]
Stage = Literal["active", "deprecated", "archived"]

#: As the API has it; told here before anything is asked of a cluster.
_ALIAS = re.compile(r"[a-z]([-_a-z0-9]*[a-z0-9])?")
_MOST_ALIAS = 63
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def staged(model: Json, wanted: Stage) -> Intent:
    """The model in this stage."""
    now = model["spec"].get("stage") or "active"
    if now == wanted:
        return Intent(said=f"is {wanted} already")
    notes = list(set_back(model, "stage"))
    training = (model.get("status") or {}).get("training") or {}
    if wanted == "archived" and training.get("startTime") and not training.get("completionTime"):
        notes.append(f"{_training(training)} goes on; `trainyard cancel` ends it.")
    return Intent(said=f"is {wanted}, was {now}", patch={"spec": {"stage": wanted}}, notes=tuple(notes))


def moves(words: Sequence[str]) -> dict[str, int | None]:
    """Aliases and the versions that they are to stand for, of `champion=3`; None for one that goes, `candidate-`.

    Raises UsageError for a word that says neither, and for an alias that is said twice.
    """
    found: dict[str, int | None] = {}
    for word in words:
        name, sign, number = word.partition("=")
        if not sign and word.endswith("-"):
            name = word[:-1]
        elif not _NUMBER.fullmatch(number):
            raise UsageError(
                f"{word!r} is neither ALIAS=VERSION, as champion=3, nor ALIAS-, which removes it."
            )
        if not _ALIAS.fullmatch(name) or len(name) > _MOST_ALIAS:
            raise UsageError(
                f"{name!r} is no alias: lower-case letters, digits, '-' and '_', beginning with a letter, at most "
                f"{_MOST_ALIAS} of them."
            )
        if name in found:
            raise UsageError(f"Alias {name} is said twice: say it once.")
        found[name] = int(number) if sign else None
    return found


def aliased(model: Json, wanted: Mapping[str, int | None]) -> Intent | Refusal:
    """The model with these aliases moved or removed, and all others as they are.

    The patch has the resourceVersion, as it replaces the whole list.
    """
    before = {str(one["name"]): int(one["version"]) for one in model["spec"].get("aliases") or []}
    there = versions(model)
    for alias, number in wanted.items():
        if number is not None and number not in there and before.get(alias) != number:
            return Refusal(said=f"Alias {alias} cannot stand for version {number}: {missing(model, number)}")
    said = [_said(alias, before.get(alias), number) for alias, number in wanted.items()]
    after = dict(before)
    for alias, number in wanted.items():
        if number is None:
            after.pop(alias, None)
        else:
            after[alias] = number
    if after == before:
        return Intent(said=f"stays as it is: {'; '.join(said)}")
    notes = [*set_back(model, "aliases"), *_users(model, [alias for alias in before if alias not in after])]
    patch = {
        "metadata": {"resourceVersion": model["metadata"]["resourceVersion"]},
        "spec": {"aliases": [{"name": alias, "version": number} for alias, number in after.items()]},
    }
    return Intent(said=f"changed: {'; '.join(said)}", patch=patch, notes=tuple(notes))


def trained(model: Json, now: datetime) -> Intent | Refusal:
    """Another training of the model."""
    if (refusal := refused(model)) is not None:
        return refusal
    stamp = now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    patch: Json = {"metadata": {"annotations": {names.TRAIN_REQUESTED_AT: stamp}}}
    training = (model.get("status") or {}).get("training") or {}
    notes = []
    if training.get("startTime") and not training.get("completionTime"):
        notes.append(f"{_training(training)} runs; the new training follows it.")
    return Intent(said="is trained again", patch=patch, notes=tuple(notes))


def refused(model: Json) -> Refusal | None:
    """Why a model is not trained."""
    name, stage = model["metadata"]["name"], model["spec"].get("stage") or "active"
    if model["metadata"].get("deletionTimestamp"):
        return Refusal(said=f"MLModel {name} is being deleted.")
    if stage != "active":
        return Refusal(
            said=f"MLModel {name} is {stage}, and is trained no more: `trainyard activate model {name}` first."
        )
    return None


def versions(model: Json) -> list[int]:
    """The numbers that status lists."""
    return sorted(int(one["number"]) for one in (model.get("status") or {}).get("versions") or [])


def missing(model: Json, number: int) -> str:
    """Why there is no such version, and which there are."""
    name, there = model["metadata"]["name"], versions(model)
    former = (model.get("status") or {}).get("formerVersions") or []
    if any(one.get("number") == number for one in former):
        return (
            f"of version {number} of MLModel {name} only the record is left (spec.versionsRetained); there are "
            f"{', '.join(map(str, there))}."
        )
    known = f"there are {', '.join(map(str, there))}" if there else "it has none yet"
    return f"MLModel {name} has no version {number}; {known}."


def _said(alias: str, before: int | None, number: int | None) -> str:
    if number is None:
        return f"{alias} removed, stood for version {before}" if before else f"there is no alias {alias}"
    if before == number:
        return f"{alias} stands for version {number} already"
    return f"{alias} stands for version {number}" + (f", before for {before}" if before else "")


def _users(model: Json, removed: Sequence[str]) -> Iterator[str]:
    """What of the model's own spec goes by an alias that is removed."""
    spec = model["spec"]
    for alias in removed:
        if (spec.get("monitor") or {}).get("alias") == alias:
            yield f"spec.monitor evaluates the version with the alias {alias}, and waits until there is one."
        for target in spec.get("publish") or []:
            if target.get("alias") == alias:
                yield f"Target {target.get('name')} of spec.publish goes by the alias {alias}."


def _training(training: Json) -> str:
    if training.get("experiment"):
        return f"Experiment {training['experiment']}"
    return f"TrainingJob {training['job']}" if training.get("job") else "A training"
