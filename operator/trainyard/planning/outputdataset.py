"""The Dataset that a job makes: created once the job is Done, exactly once, and never over another one.

Separate because it outlives the run: whatever the job's plan is, `planning.trainingjob` hands it through
`with_output_dataset`. That a Dataset is to be made is in the very status that says Done; it is created only when that
is written, and what came of it is recorded only when the Dataset has been seen. So an operator that dies in between
creates it after its return, and one that a user deletes later is not made again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.reasons import ConditionType, Phase, Reason
from trainyard.api.trainingjob import OutputDataset, TrainingJobSpec
from trainyard.planning import attempts, conditions, datasetinputs, podspec, uris, useddatasets
from trainyard.planning.finding import Finding
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.times import sooner

Json = dict[str, Any]

#: Where an action leaves the new dataset, in the folder of its artifacts (docs/dataset-actions.md).
FOLDER = "dataset"
#: Reasons of Events.
CREATED, REFUSED, EXISTS = "DatasetCreated", "DatasetRefused", "DatasetExists"
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 120.0
#: The watch tells of a Dataset that was created well within this time.
_SEEN_SECONDS = 5.0
_MESSAGE_LIMIT = 1024


def with_output_dataset(observed: ObservedJob, plan: Plan, *, now: float) -> Plan:
    """`plan` with what the job's Dataset adds to it: the intent, its creation, what came of it."""
    spec = observed.spec
    if observed.deleting or spec is None or spec.output_dataset is None:
        return plan
    status = observed.status if plan.status is None else plan.status
    if not (status.get("completionTime") and conditions.is_true(status, ConditionType.SUCCEEDED)):
        return plan
    wanted = spec.output_dataset
    entry = status.get("outputDataset")
    if entry is None:
        uri = _uri(observed, spec, status)
        if uri is None:
            return plan
        intent = {"name": wanted.name, "uri": uri, "state": "Pending"}
        return _told(plan, status, intent, requeue_after=0.0)
    if not pending(observed.status):
        return plan
    there = observed.output_dataset
    if there is None:
        return _create(observed, spec, wanted, plan, status, entry, now=now)
    if there.job_uid in (observed.uid, *observed.origins):
        made = {"name": wanted.name, "uri": entry["uri"], "state": "Created", "uid": there.uid}
        news = Announcement(
            type="Normal", reason=CREATED, message=f"Dataset {wanted.name} is made of {entry['uri']}."
        )
        return _told(plan, status, made, news)
    if there.deleting:
        return plan  # its end rings
    message = (
        f"There is another Dataset {wanted.name} already, and it is left as it is. What this job has made is at "
        f"{entry['uri']}: a Dataset of another name with this as source.uri makes it known."
    )
    news = Announcement(type="Warning", reason=EXISTS, message=message[:_MESSAGE_LIMIT])
    return _told(plan, status, {**entry, "state": "NameTaken", "message": message[:_MESSAGE_LIMIT]}, news)


def pending(status: Mapping[str, Any]) -> bool:
    """Whether a Dataset is still to be made for a job that is Done."""
    return (status.get("outputDataset") or {}).get("state") == "Pending"


def name_is_taken(observed: ObservedJob) -> Finding | None:
    """Make sure that what the job makes will have its name, before it costs a run."""
    there = observed.output_dataset
    if there is None or there.job_uid in (observed.uid, *observed.origins):
        return None
    wanted = observed.spec.output_dataset if observed.spec is not None else None
    if wanted is None:
        return None
    if there.deleting:
        message = f"Dataset {wanted.name} is being deleted; the job starts when it is gone."
    else:
        message = (
            f"There is a Dataset {wanted.name} already, and a job never overwrites one. Delete it, or give "
            "spec.outputDataset another name."
        )
    return Finding(phase=Phase.PENDING, reason=Reason.DATASET_EXISTS, message=message)


def _create(
    observed: ObservedJob,
    spec: TrainingJobSpec,
    wanted: OutputDataset,
    plan: Plan,
    status: Mapping[str, Any],
    entry: Mapping[str, Any],
    *,
    now: float,
) -> Plan:
    refusal = observed.refusal
    if refusal is not None:
        message = (
            f"Dataset {wanted.name} cannot be created: {refusal.message} It is tried again by itself. The data is "
            f"at {entry['uri']}."
        )[:_MESSAGE_LIMIT]
        pause = min(_FIRST_PAUSE * 2 ** min(refusal.count - 1, 8), _LONGEST_PAUSE)
        due = refusal.last_at + pause - now
        if entry.get("message") != message:
            news = Announcement(type="Warning", reason=REFUSED, message=message)
            return _told(plan, status, {**entry, "message": message}, news, requeue_after=max(due, 0.0))
        if due > 0:
            return dataclasses.replace(plan, requeue_after=sooner(plan.requeue_after, due))
    body = _body(observed, spec, wanted, entry["uri"])
    return dataclasses.replace(plan, make=body, requeue_after=sooner(plan.requeue_after, _SEEN_SECONDS))


def _told(
    plan: Plan,
    status: Mapping[str, Any],
    entry: Mapping[str, Any],
    *news: Announcement,
    requeue_after: float | None = None,
) -> Plan:
    later = plan.requeue_after if requeue_after is None else sooner(plan.requeue_after, requeue_after)
    return dataclasses.replace(
        plan,
        status={**status, "outputDataset": dict(entry)},
        announce=(*plan.announce, *news),
        requeue_after=later,
    )


def _uri(observed: ObservedJob, spec: TrainingJobSpec, status: Mapping[str, Any]) -> str | None:
    """Where the data lies; None for a job that kept nothing."""
    artifacts = status.get("artifacts") or []
    kept = artifacts[0].get("uri") if artifacts else None
    if kept is None:
        kept = podspec.output_uri(observed, spec, attempt=attempts.newest(status, observed.pods))
    return uris.below(kept, FOLDER) if kept is not None else None


def _body(observed: ObservedJob, spec: TrainingJobSpec, wanted: OutputDataset, uri: str) -> Json:
    """The Dataset to POST. NB: without an owner: the data outlives the record of how it was made."""
    source: Json = {"uri": uri}
    if spec.output is not None and not uris.is_pvc(uri):
        source["fileType"] = "folder"
        reached = spec.output.model_dump(by_alias=True, exclude_none=True)
        source |= {key: value for key, value in reached.items() if key not in ("uri", "claimName")}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Dataset",
        "metadata": {
            "name": wanted.name,
            "namespace": observed.namespace,
            "labels": {names.LABEL_JOB: observed.name, names.LABEL_JOB_UID: observed.uid},
            "annotations": {names.LINEAGE: orjson.dumps(lineage(observed, spec)).decode()},
        },
        "spec": {"type": wanted.type, "format": wanted.format, "source": source},
    }


def lineage(observed: ObservedJob, spec: TrainingJobSpec) -> Json:
    """How the Dataset came to be, as `status.lineage` of it has it."""
    entries = observed.status.get("attempts") or []
    digest = next((e["parametersDigest"] for e in reversed(entries) if e.get("parametersDigest")), None)
    # NB: a job that was restored from a backup knows of its inputs by its spec alone.
    known = useddatasets.recorded(observed.status, observed.pods)
    used = [known.get(name, {"name": name}) for name in datasetinputs.names(spec)]
    told: Json = {
        "job": observed.name,
        "jobUid": observed.uid,
        "action": spec.action,
        "parametersDigest": digest,
        "inputs": [
            {key: one[key] for key in ("name", "uid", "revision", "sha256") if one.get(key)} for one in used
        ],
    }
    return {key: value for key, value in told.items() if value is not None}
