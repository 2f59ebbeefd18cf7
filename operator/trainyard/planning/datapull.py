"""Pulling and checking a Dataset, from the first look at its source to what jobs may use.

Separate from `planning.dataset`, which says when there is something to pull. Each step is idempotent: the pods have
derived names, their number is in status before they are made, and what is pulled is pinned by a listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import (
    dataclaims,
    dataends,
    dataplace,
    datapods,
    datastatus,
    datawords,
    refusals,
    stuckpod,
)
from trainyard.planning.dataclaims import Published
from trainyard.planning.dataends import own_claim, said
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.dataplace import address, is_cached, is_remote, place
from trainyard.planning.datapods import PULL, SURVEY, DataRules, Whose
from trainyard.planning.datasizes import human
from trainyard.planning.datawords import Failure
from trainyard.planning.plan import Plan
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.times import seconds, stamp

Json = Mapping[str, Any]

_POLL_SECONDS = 5.0
_SETTLE_SECONDS = 3.0
_OTHERS_SECONDS = 10.0
_STUCK_LONGEST_SECONDS = _REFUSED_LONGEST_SECONDS = 60.0
#: For so long the log of a check that has ended is asked for, if it cannot be read at once.
_LOG_SECONDS = 120.0


def begun(observed: ObservedDataset, *, now: float, asked: Json, lost: bool) -> DatasetPlan:
    """A new look at the source. What jobs get stays, unless the spec says something else by now or it is `lost`;
    `asked` are fields of the status that tell what asked for it.
    """
    status, digest = observed.status, observed.digest
    number = observed.pull.get("number")
    changes: dict[str, Any] = {
        **asked,
        "pull": {
            "of": digest,
            "number": 0 if number is None else number + 1,
            "state": "starting",
            "failures": 0,
            "startTime": stamp(now),
            **({"claim": observed.uploaded["claim"]} if observed.uploaded is not None else {}),
        },
    }
    held = {one["claim"]: one for one in status.get("held") or []}
    content = own_claim(status.get("uri") or "")
    if lost or (status.get("of") and status["of"] != digest):
        changes |= dict.fromkeys(datastatus.CONTENT)
        if content:
            held[content] = {"claim": content, "revision": status.get("revision")}
            content = ""
    if (last := observed.pull.get("claim")) and last != content:
        held.setdefault(last, {"claim": last, "revision": observed.pull.get("revision")})
    changes["held"] = [{k: v for k, v in one.items() if v} for one in held.values()] or None
    return datastatus.plan(
        observed,
        Phase.PENDING,
        Reason.STARTING,
        "The source is about to be looked at.",
        now=now,
        changes=changes,
        requeue_after=0.0,
    )


def step(observed: ObservedDataset, *, now: float, rules: DataRules) -> DatasetPlan:
    """The next thing to do for a look that has begun."""
    assert observed.spec is not None
    assert observed.spec.source is not None
    retry = seconds(observed.pull.get("retryTime"))
    if retry is not None and retry > now:
        return datastatus.plan(
            observed,
            Phase.PENDING,
            Reason.BACKING_OFF,
            f"{observed.pull.get('message') or 'The last try failed.'} The next try begins at "
            f"{observed.pull['retryTime']}.",
            now=now,
            requeue_after=retry - now,
        )
    if is_remote(observed) and not observed.pull.get("listing"):
        return _survey(observed, now=now, rules=rules)
    return _pull(observed, now=now, rules=rules)


def _survey(observed: ObservedDataset, *, now: float, rules: DataRules) -> DatasetPlan:
    spec, number = observed.spec, int(observed.pull.get("number") or 0)
    assert spec is not None
    assert spec.source is not None
    pod = _pod(observed, SURVEY, number)
    if pod is None:
        made = datapods.survey(_whose(observed), spec, spec.source, number=number, rules=rules)
        return _starting(observed, made, number, now=now)
    if not pod.over or pod.trainer is None or pod.trainer.state != "terminated":
        return _coming(observed, pod, "The source is being listed.", now=now)
    word = datawords.survey(pod.trainer)
    if isinstance(word, Failure):
        return dataends.failed(observed, word, pod, now=now)
    pull = {
        **observed.pull,
        "number": number + 1,
        "state": "in_progress",
        "listing": word.listing,
        "revision": word.revision,
        "bytes": 0,
        "totalBytes": word.bytes,
        "files": 0,
        "totalFiles": word.files,
        "percent": 0,
        "summary": f"0/{human(word.bytes)}",
        "unpackedBytes": word.unpacked_bytes,
        "claim": dataplace.claim_for(observed, word.listing) if is_cached(observed) else None,
        "message": None,
        "retryTime": None,
    }
    return datastatus.plan(
        observed,
        Phase.RUNNING,
        Reason.PULLING,
        f"{word.files} files, {human(word.bytes)}, are about to be pulled.",
        now=now,
        changes={"pull": said(pull)},
        requeue_after=0.0,
    )


def _pull(observed: ObservedDataset, *, now: float, rules: DataRules) -> DatasetPlan:
    spec, number = observed.spec, int(observed.pull.get("number") or 0)
    assert spec is not None
    assert spec.source is not None
    remote, cached = is_remote(observed), is_cached(observed)
    listing = str(observed.pull.get("listing") or "")
    if remote and cached:
        ready = dataplace.to_be_done(observed, listing, now=now, rules=rules)
        if ready is not None:
            return ready
    elif observed.uploaded is not None and names.DATA_FINALIZER not in observed.finalizers:
        return DatasetPlan(finalizers=(*observed.finalizers, names.DATA_FINALIZER), plan=_again())
    elif not remote and _unchecked(observed):
        return dataends.finished(observed, None, None, place=address(observed), now=now, pod=None)
    there = observed.claim.published if remote and cached and observed.claim is not None else None
    if there is not None and observed.status.get("listing") == listing and _is_current(observed):
        return dataends.unchanged(observed, now=now)
    pod = _pod(observed, PULL, number)
    if pod is None:
        claim, folder = place(observed)
        made = datapods.pull(
            _whose(observed),
            spec,
            spec.source,
            number=number,
            rules=rules,
            claim=claim,
            folder=folder,
            listing=listing if remote and there is None else None,
            digest=not remote,
        )
        return _starting(observed, made, number, now=now)
    word = _word_of_the_pull(pod)
    if isinstance(word, Failure):
        return dataends.failed(observed, word, pod, now=now)
    if isinstance(word, Published) and remote and cached and there is None and observed.claim is not None:
        # NB: told at once, as others wait for it; the check is a matter of each Dataset.
        return DatasetPlan(claims=(dataclaims.published(observed.claim, word),), plan=_again())
    if not pod.over or pod.trainer is None or pod.trainer.state != "terminated":
        return _coming(observed, pod, "What was pulled is being checked.", now=now)
    line = observed.last_lines.get(pod.uid, "")
    ended = pod.trainer.finished_at if pod.trainer.finished_at is not None else now
    just_now = 0 <= now - ended < _LOG_SECONDS
    if pod.trainer.exit_code == 0 and not datawords.is_of_a_check(line) and just_now:
        return DatasetPlan(plan=_again(_POLL_SECONDS))
    verdict = datawords.checked(pod.trainer, line)
    if isinstance(verdict, Failure):
        return dataends.failed(observed, verdict, pod, now=now)
    if not remote and not verdict.valid and verdict.files == 0:
        # NB: somebody may still be about to put it there, as when all manifests are applied at once.
        return dataends.failed(observed, Failure(kind="missing", message=verdict.message), pod, now=now)
    published = there or (word if isinstance(word, Published) else None)
    return dataends.finished(observed, verdict, published, place=address(observed), now=now, pod=pod)


def _starting(observed: ObservedDataset, pod: Json, number: int, *, now: float) -> DatasetPlan:
    refused = refusals.refused_by_the_api_server(observed.refusal)
    if refused is not None and observed.refusal is not None:
        pause = min(_OTHERS_SECONDS * 2 ** min(observed.refusal.count - 1, 8), _REFUSED_LONGEST_SECONDS)
        wait = observed.refusal.last_at + pause - now
        if wait <= 0:
            # NB: without the status: should the pod be let in now, it would say what is no longer so.
            return DatasetPlan(plan=Plan(create=(pod,), requeue_after=_POLL_SECONDS))
        return datastatus.plan(
            observed, Phase.PENDING, refused.reason, refused.message, now=now, requeue_after=wait
        )
    return datastatus.plan(
        observed,
        Phase.RUNNING if observed.pull.get("listing") else Phase.PENDING,
        Reason.PULLING if observed.pull.get("listing") else Reason.STARTING,
        f"Pod {pod['metadata']['name']} is made.",
        now=now,
        create=(pod,),
        requeue_after=_POLL_SECONDS,
    )


def _coming(observed: ObservedDataset, pod: PodView, running: str, *, now: float) -> DatasetPlan:
    """While a pod has not ended: what it does, or what keeps it from doing it."""
    if pod.deletion_requested_at is not None or pod.disrupted:
        return dataends.lost(observed, pod, now=now)
    if pod.over:
        why = pod.message or pod.reason or "no word is left"
        return dataends.failed(
            observed,
            Failure(kind="crash", message=f"Pod {pod.name} ended before it began: {why}"[:1000]),
            pod,
            now=now,
        )
    pulling = _container(pod, names.PULL_CONTAINER)
    if pulling is not None and pulling.state == "running":
        told = datawords.progress(observed.last_lines.get(pod.uid, ""))
        done, total = told.get("bytes"), told.get("totalBytes") or observed.pull.get("totalBytes")
        if done is not None and total:
            told["summary"] = f"{human(done)}/{human(total)}"
        return datastatus.plan(
            observed,
            Phase.RUNNING,
            Reason.PULLING,
            f"Pod {pod.name} pulls on node {pod.node}.",
            now=now,
            changes={"pull": said({**observed.pull, **told, "state": "in_progress", "message": None})},
            requeue_after=_POLL_SECONDS,
        )
    if pod.trainer is not None and pod.trainer.state in ("running", "terminated"):
        return datastatus.plan(
            observed,
            Phase.RUNNING,
            Reason.VALIDATING if pod.stage == PULL else Reason.PULLING,
            running,
            now=now,
            requeue_after=_OTHERS_SECONDS,
        )
    since = pod.created_at if pod.created_at is not None else now
    if now - since < _SETTLE_SECONDS:
        return DatasetPlan(plan=_again(_SETTLE_SECONDS))
    finding = stuckpod.what_it_waits_for(pod, observed.events.get(pod.uid, ()))
    phase = finding.phase if finding.phase is not Phase.ERROR else Phase.PENDING
    return datastatus.plan(
        observed,
        phase,
        finding.reason,
        finding.message,
        now=now,
        # NB: the watch tells of the pod; what is asked for is its Events, and of many that are stuck.
        requeue_after=min(max(_OTHERS_SECONDS, (now - since) / 10), _STUCK_LONGEST_SECONDS),
    )


def _pod(observed: ObservedDataset, stage: str, number: int) -> PodView | None:
    return next((p for p in observed.pods if p.stage == stage and p.attempt == number), None)


def _container(pod: PodView, name: str) -> ContainerView | None:
    return next((c for c in pod.init if c.name == name), None)


def _word_of_the_pull(pod: PodView) -> Published | Failure | None:
    """None while it has not ended, or for a pod that pulls nothing."""
    container = _container(pod, names.PULL_CONTAINER)
    if container is None or container.state != "terminated":
        return None
    return datawords.pulled(container)


def _unchecked(observed: ObservedDataset) -> bool:
    """Whether data that lies in a volume is taken as it is."""
    check = observed.spec.validation if observed.spec is not None else None
    return check is not None and check.mode == "None"


def _is_current(observed: ObservedDataset) -> bool:
    """Whether jobs get already what the pull has found, as the spec wants it checked."""
    status = observed.status
    return datastatus.usable(status, observed.digest) and status.get("uri") == address(observed)


def _whose(observed: ObservedDataset) -> Whose:
    return Whose(namespace=observed.namespace, name=observed.name, uid=observed.uid)


def _again(seconds_: float = 0.0) -> Plan:
    return Plan(requeue_after=seconds_)
