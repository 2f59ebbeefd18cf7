"""What a verb asks of a job: the patch, if one is needed, and what there is to say.

Separate and free of I/O because this is where the verbs differ: each is idempotent, and none may take back what
another one has asked for. Called by `verbs`.

NB: a patch holds `spec.cancel`, `spec.suspend` and the retry annotation, nothing else: the object may be Git's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Phase
from trainyard.cli import reading
from trainyard.cli.reading import headline, phase

Json = dict[str, Any]

#: Under which name the API server keeps what commands change.
FIELD_MANAGER = "trainyard-cli"
# What applies manifests again and again without the word Apply in managedFields.
_SYNCING = ("argocd", "kustomize-controller", "helm", "flux", "fleet")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What is done: `said` on stdout, `notes` on stderr. Without a patch nothing needs to be done."""

    said: str
    patch: Json | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why it is not done, and what would be."""

    said: str


Decide = Callable[[Json, datetime], Intent | Refusal]


def pause(job: Json, now: datetime) -> Intent | Refusal:
    name, spec = _name(job), job["spec"]
    if reading.ended(job):
        return _over(job)
    if spec.get("cancel"):
        return Refusal(said=f"{name} is being cancelled; `trainyard resume {name}` takes that back.")
    if spec.get("suspend"):
        return Intent(said="already paused" if reading.is_paused(job) else "being paused already")
    notes = [*_set_back(job, "suspend"), *_begins_anew(job)]
    return Intent(said="is being paused", patch={"spec": {"suspend": True}}, notes=tuple(notes))


def cancel(job: Json, now: datetime) -> Intent | Refusal:
    if reading.ended(job):
        return _over(job)
    if job["spec"].get("cancel"):
        return Intent(said="being cancelled already")
    notes = tuple(_set_back(job, "cancel"))
    return Intent(said="is being cancelled", patch={"spec": {"cancel": True}}, notes=notes)


def resume(job: Json, now: datetime) -> Intent | Refusal:
    name, spec = _name(job), job["spec"]
    stopped = [field for field in ("suspend", "cancel") if spec.get(field)]
    if reading.ended(job) and phase(job) != Phase.CANCELED:
        return _ended_otherwise(job)
    if not stopped:
        if not reading.ended(job):
            return Intent(said="is not paused")
        return Refusal(said=f"{name} has ended: {headline(job)} `trainyard retry {name}` tries it again.")
    notes = [note for field in stopped for note in _set_back(job, field)]
    if phase(job) == Phase.CANCELED and (job.get("status") or {}).get("startTime"):
        notes += _stays_canceled(job)
    return Intent(said="goes on", patch={"spec": {"suspend": False, "cancel": False}}, notes=tuple(notes))


def retry(job: Json, now: datetime) -> Intent | Refusal:
    name, spec = _name(job), job["spec"]
    if not reading.ended(job):
        if reading.is_paused(job):
            return Refusal(
                said=f"{name} is paused and has not failed; `trainyard resume {name}` lets it go on."
            )
        return Refusal(
            said=f"{name} has not ended ({_where(job)}); `trainyard cancel {name} --wait` first, then retry it."
        )
    if phase(job) == Phase.DONE:
        return _ended_otherwise(job)
    stamp = now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    patch: Json = {"metadata": {"annotations": {names.RETRY_REQUESTED_AT: stamp}}}
    notes: list[str] = []
    if spec.get("cancel"):
        patch["spec"] = {"cancel": False}
        notes += _set_back(job, "cancel")
    if spec.get("suspend"):
        notes.append(f"{name} is suspended too: `trainyard resume {name}` lets it start.")
    return Intent(said="is tried again", patch=patch, notes=tuple(notes))


def _over(job: Json) -> Intent:
    return Intent(said=f"has ended already: {headline(job)}")


def _ended_otherwise(job: Json) -> Refusal:
    name = _name(job)
    again = (
        "submit it under another name to train again."
        if phase(job) == Phase.DONE
        else f"`trainyard retry {name}` tries it again."
    )
    return Refusal(said=f"{name} has ended ({_where(job)}); {again}")


def _set_back(job: Json, field: str) -> Iterator[str]:
    """Who says this field in a manifest that is applied again and again, and so will undo the change."""
    for entry in job["metadata"].get("managedFields") or []:
        manager = str(entry.get("manager") or "")
        declared = f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        syncs = entry.get("operation") == "Apply" or manager.startswith(_SYNCING)
        if declared and syncs and manager != FIELD_MANAGER:
            yield (
                f"{manager} declares spec.{field} of {_name(job)} and will set it back when it syncs: take the field "
                "out of the manifest, or change it there."
            )


def _begins_anew(job: Json) -> Iterator[str]:
    status = job.get("status") or {}
    if not status.get("startTime") or status.get("lastCheckpoint"):
        return
    name = _name(job)
    if _can_resume(job["spec"]) is False:
        yield f"Action {job['spec'].get('action', 'train')} cannot resume: {name} will begin anew."
    else:
        yield (
            f"{name} has reported no checkpoint so far; unless it saves one on its way out, it will begin anew."
        )


def _stays_canceled(job: Json) -> Iterator[str]:
    if _can_resume(job["spec"]) is False:
        yield (
            f"Action {job['spec'].get('action', 'train')} cannot resume; if it stays cancelled, "
            f"`trainyard retry {_name(job)}` runs it from its beginning."
        )


def _can_resume(spec: Json) -> bool | None:
    """By the release's catalogue; None where that does not know the job's runtime."""
    # NB: loaded here only, as the catalogue and the models of the API take as long as the command itself.
    from pydantic import ValidationError

    from trainyard import catalog
    from trainyard.api.trainingjob import TrainingJobSpec
    from trainyard.planning.runtime import Unresolved, resolve

    try:
        found = resolve(TrainingJobSpec.model_validate(spec), catalog.built_in())
    except ValidationError:
        return None
    return None if isinstance(found, Unresolved) else found[1].resumable


def _where(job: Json) -> str:
    status = job.get("status") or {}
    return " ".join(part for part in (phase(job), status.get("reason")) if part)


def _name(job: Json) -> str:
    return str(job["metadata"]["name"])
