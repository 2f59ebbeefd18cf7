"""What a verb asks of a job or an Experiment: the patch, if one is needed, and what there is to say.

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


Decide = Callable[[Json, datetime, Json | None], Intent | Refusal]
"""Of a job or an Experiment as it is now; the last is the Experiment of a job, where it has one that can be read."""


def pause(job: Json, now: datetime, experiment: Json | None = None) -> Intent | Refusal:
    name, spec = _name(job), job["spec"]
    if reading.ended(job):
        return _over(job)
    if spec.get("cancel"):
        return Refusal(said=f"{name} is being cancelled; `trainyard resume {_called(job)}` takes that back.")
    if spec.get("suspend"):
        return Intent(said="already paused" if reading.is_paused(job) else "being paused already")
    held = _held_by(experiment)
    if experiment is not None and held == "cancelled":
        return Refusal(
            said=f"{name} is being cancelled with Experiment {_name(experiment)}; "
            f"`trainyard resume {_called(experiment)}` takes that back."
        )
    notes = [*set_back(job, "suspend")]
    if experiment is not None and held:
        notes.append(f"Experiment {_name(experiment)} is paused, too: when it goes on, {name} stays paused.")
    else:
        notes += _begins_anew(job)
    return Intent(said="is being paused", patch={"spec": {"suspend": True}}, notes=tuple(notes))


def cancel(job: Json, now: datetime, experiment: Json | None = None) -> Intent | Refusal:
    if reading.ended(job):
        return _over(job)
    if job["spec"].get("cancel"):
        return Intent(said="being cancelled already")
    notes = tuple(set_back(job, "cancel"))
    return Intent(said="is being cancelled", patch={"spec": {"cancel": True}}, notes=notes)


def resume(job: Json, now: datetime, experiment: Json | None = None) -> Intent | Refusal:
    name, spec, held = _name(job), job["spec"], _held_by(experiment)
    stopped = [field for field in ("suspend", "cancel") if spec.get(field)]
    if reading.ended(job) and phase(job) != Phase.CANCELED:
        return _ended_otherwise(job)
    if not stopped:
        if experiment is not None and held:
            return Refusal(said=f"{name} stays stopped. {_lets_all_go_on(experiment, held)}")
        if not reading.ended(job):
            return Intent(said="is not paused")
        return Refusal(
            said=f"{name} has ended: {headline(job)} `trainyard retry {_called(job)}` tries it again."
        )
    notes = [note for field in stopped for note in set_back(job, field)]
    if phase(job) == Phase.CANCELED and (job.get("status") or {}).get("startTime"):
        notes += _stays_canceled(job)
    said = "goes on"
    if experiment is not None and held:
        said = f"goes on with Experiment {_name(experiment)}"
        notes.append(_lets_all_go_on(experiment, held))
    return Intent(said=said, patch={"spec": {"suspend": False, "cancel": False}}, notes=tuple(notes))


def retry(job: Json, now: datetime, experiment: Json | None = None) -> Intent | Refusal:
    name, spec, held = _name(job), job["spec"], _held_by(experiment)
    if not reading.ended(job):
        if reading.is_paused(job):
            by = experiment if experiment is not None and held and not spec.get("suspend") else job
            return Refusal(
                said=f"{name} is paused and has not failed; `trainyard resume {_called(by)}` lets it go on."
            )
        return Refusal(
            said=f"{name} has not ended ({_where(job)}); `trainyard cancel {_called(job)} --wait` first, then retry it."
        )
    if phase(job) == Phase.DONE:
        return _ended_otherwise(job)
    if experiment is not None and held == "cancelled":
        return Refusal(
            said=f"{name} cannot be tried again as long as Experiment {_name(experiment)} is cancelled; "
            f"`trainyard resume {_called(experiment)}` takes that back."
        )
    stamp = now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    patch: Json = {"metadata": {"annotations": {names.RETRY_REQUESTED_AT: stamp}}}
    notes: list[str] = []
    if spec.get("cancel"):
        patch["spec"] = {"cancel": False}
        notes += set_back(job, "cancel")
    if spec.get("suspend"):
        notes.append(f"{name} is suspended too: `trainyard resume {_called(job)}` lets it start.")
    if experiment is not None and held:
        notes.append(_lets_all_go_on(experiment, held))
    return Intent(said="is tried again", patch=patch, notes=tuple(notes))


def _over(job: Json) -> Intent:
    return Intent(said=f"has ended already: {headline(job)}")


def _ended_otherwise(job: Json) -> Refusal:
    name = _name(job)
    again = (
        "submit it under another name to train again."
        if phase(job) == Phase.DONE
        else f"`trainyard retry {_called(job)}` tries it again."
    )
    return Refusal(said=f"{name} has ended ({_where(job)}); {again}")


def set_back(job: Json, field: str) -> Iterator[str]:
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


def _held_by(experiment: Json | None) -> str:
    """How an Experiment holds its jobs; empty where it does not, and for a job of none."""
    spec = (experiment.get("spec") or {}) if experiment is not None else {}
    return "cancelled" if spec.get("cancel") else "paused" if spec.get("suspend") else ""


def _lets_all_go_on(experiment: Json, held: str) -> str:
    return (
        f"Experiment {_name(experiment)} is {held}, and its jobs with it: `trainyard resume {_called(experiment)}` "
        "lets them go on."
    )


def _begins_anew(job: Json) -> Iterator[str]:
    status = job.get("status") or {}
    if _is_experiment(job) or not status.get("startTime") or status.get("lastCheckpoint"):
        return
    name = _name(job)
    if _can_resume(job["spec"]) is False:
        yield f"Action {job['spec'].get('action', 'train')} cannot resume: {name} will begin anew."
    else:
        yield (
            f"{name} has reported no checkpoint so far; unless it saves one on its way out, it will begin anew."
        )


def _stays_canceled(job: Json) -> Iterator[str]:
    if not _is_experiment(job) and _can_resume(job["spec"]) is False:
        yield (
            f"Action {job['spec'].get('action', 'train')} cannot resume; if it stays cancelled, "
            f"`trainyard retry {_called(job)}` runs it from its beginning."
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


def _called(job: Json) -> str:
    """How a command names it."""
    return f"experiment {_name(job)}" if _is_experiment(job) else _name(job)


def _is_experiment(job: Json) -> bool:
    return job.get("kind") == "Experiment"
