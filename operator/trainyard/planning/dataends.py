"""How a look at the source of a Dataset ends: with data that jobs may use, with a failure that is tried again, or one
that is not; and what is told from then on.

Separate because what is told at rest comes from the record alone, never from the phase that was written before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import attempts, datastatus, uris
from trainyard.planning.dataclaims import ClaimStep, Published
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.datapods import DATA, PULL
from trainyard.planning.datasizes import human
from trainyard.planning.datawords import Failure, Verdict
from trainyard.planning.podview import PodView
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

_HELD_SECONDS = 60.0
_SOON_LOST_SECONDS = 30.0


def at_rest(
    observed: ObservedDataset, *, now: float, fields: Json, requeue_after: float | None = None
) -> DatasetPlan:
    """What the last look has come to; volumes that nobody uses any longer go. `fields` are set in the status."""
    status, pull = observed.status, observed.pull
    held = [one for one in status.get("held") or [] if one.get("claim")]
    free = [one["claim"] for one in held if one["claim"] not in observed.used_claims]
    left = [one for one in held if one["claim"] not in free]
    phase, reason, message = _told(observed, pull)
    if left:
        requeue_after = min(requeue_after, _HELD_SECONDS) if requeue_after is not None else _HELD_SECONDS
    return datastatus.plan(
        observed,
        phase,
        reason,
        message,
        now=now,
        changes={**fields, "held": left or None},
        claims=tuple(ClaimStep(verb="let_go", name=name) for name in free),
        requeue_after=requeue_after,
    )


def finished(
    observed: ObservedDataset,
    verdict: Verdict | None,
    published: Published | None,
    *,
    place: str,
    now: float,
    pod: PodView | None,
) -> DatasetPlan:
    """The data is there and was checked, unless it was not to be (no verdict); `place` is where jobs find it."""
    size = published.bytes if published is not None else verdict.bytes if verdict is not None else None
    files = published.files if published is not None else verdict.files if verdict is not None else None
    pull: dict[str, Any] = {
        **observed.pull,
        "state": "pull_complete",
        "bytes": size,
        "files": files,
        "percent": 100,
        "eta": None,
        "summary": human(size) if size is not None else None,
        "completionTime": stamp(now),
        "retryTime": None,
        "message": None,
        "reason": None,
    }
    if verdict is not None and not verdict.valid:
        pull |= {"state": "invalid_pull", "reason": str(Reason.INVALID_DATA), "message": verdict.message}
        return _recorded(observed, {"pull": pull, "validation": _validation(verdict, now)}, now=now)
    sha256 = published.sha256 if published is not None else verdict.sha256 if verdict is not None else ""
    changes = {
        "pull": pull,
        "of": observed.digest,
        "listing": observed.pull.get("listing"),
        "revision": observed.pull.get("revision") or sha256[:12] or None,
        "sha256": sha256 or None,
        "uri": place or None,
        "profile": verdict.profile if verdict is not None else None,
        "validation": _validation(verdict, now),
        "held": _held(observed, place),
        "lastRefreshTime": stamp(now),
    }
    return _recorded(observed, changes, now=now)


def unchanged(observed: ObservedDataset, *, now: float) -> DatasetPlan:
    """The source lists what it did, so that jobs get what they got."""
    size = observed.claim.published.bytes if observed.claim is not None and observed.claim.published else None
    pull = {
        **observed.pull,
        "state": "pull_complete",
        "bytes": size,
        "percent": 100,
        "summary": human(size) if size is not None else None,
        "completionTime": stamp(now),
        "message": "The source has not changed.",
        "reason": None,
    }
    return _recorded(observed, {"pull": pull, "lastRefreshTime": stamp(now)}, now=now)


def failed(observed: ObservedDataset, failure: Failure, pod: PodView, *, now: float) -> DatasetPlan:
    """A pod has failed: another one follows after a while, unless that cannot help or there were enough.

    NB: the last one that failed is kept for its log.
    """
    assert observed.spec is not None
    if pod.disrupted:
        return lost(observed, pod, now=now)
    failures = int(observed.pull.get("failures") or 0) + 1
    pull: dict[str, Any] = {
        **observed.pull,
        "failures": failures,
        "message": failure.message,
        "reason": str(failure.reason),
        "eta": None,
    }
    comes_later = failure.kind == "missing" and not observed.pull.get("listing") and pod.stage == PULL
    limit = observed.spec.backoff_limit
    if failure.final or (failures > limit and not comes_later):
        tries = "" if failure.final else f" (tried {failures} times; the last try's word is told)"
        pull |= {
            "state": "invalid_pull",
            "message": f"{failure.message}{tries}"[:1024],
            "completionTime": stamp(now),
        }
        return _recorded(observed, {"pull": pull}, now=now)
    wait = attempts.backoff(failures)
    pull |= {"number": pod.attempt + 1, "retryTime": stamp(now + wait + 1)}
    if failure.kind == "changed":
        pull |= dict.fromkeys(("listing", "revision", "claim"))
    return datastatus.plan(
        observed,
        Phase.PENDING,
        Reason.BACKING_OFF,
        f"{failure.message} {'It is looked at again' if comes_later else f'Try {failures + 1} of {limit + 1} begins'} "
        f"at {pull['retryTime']}.",
        now=now,
        changes={
            "pull": said(pull),
            "held": _held(observed, None) if failure.kind == "changed" else _kept(observed),
        },
        requeue_after=wait,
    )


def lost(observed: ObservedDataset, pod: PodView, *, now: float) -> DatasetPlan:
    """The pod was taken away: another one goes on, and nothing is counted."""
    pull = {**observed.pull, "number": pod.attempt + 1}
    why = pod.disruption or pod.reason or "deleted"
    if pod.created_at is not None and now - pod.created_at < attempts.SHORT_SECONDS:
        # NB: whatever took it so soon may take the next as well.
        pull |= {
            "retryTime": stamp(now + _SOON_LOST_SECONDS + 1),
            "message": f"Pod {pod.name} was taken away ({why}).",
        }
        return datastatus.plan(
            observed,
            Phase.PENDING,
            Reason.BACKING_OFF,
            f"{pull['message']} Another one goes on at {pull['retryTime']}.",
            now=now,
            changes={"pull": said(pull)},
            requeue_after=_SOON_LOST_SECONDS,
        )
    return datastatus.plan(
        observed,
        Phase.RUNNING,
        Reason.PULLING,
        f"Pod {pod.name} was taken away ({why}); another one goes on.",
        now=now,
        changes={"pull": said(pull)},
        requeue_after=1.0,
    )


def said(fields: Json) -> dict[str, Any]:
    """Without what is None."""
    return {key: value for key, value in fields.items() if value is not None}


def own_claim(uri: str) -> str:
    """The claim of an address that is below a claim's folder of data; empty for any other address."""
    if not uris.is_pvc(uri):
        return ""
    claim, folder = uris.split_pvc(uri)
    return claim if folder == DATA and claim.startswith("data-") else ""


def claim_to_look_at(status: Json) -> str:
    """The claim of ours that the next plan rests on: the one that is pulled onto, at rest the one that jobs mount."""
    pull, kept = status.get("pull") or {}, own_claim(str(status.get("uri") or ""))
    onto = str(pull.get("claim") or "")
    return onto or kept if pull.get("state") in ("starting", "in_progress") else kept or onto


def _recorded(observed: ObservedDataset, changes: Json, *, now: float) -> DatasetPlan:
    """The plan with the record as it is then, and what is told of it."""
    changes = {**changes, "pull": said(changes["pull"])}
    status = {key: value for key, value in {**observed.status, **changes}.items() if value is not None}
    phase, reason, message = _told(observed, changes["pull"], status)
    return datastatus.plan(observed, phase, reason, message, now=now, changes=changes, requeue_after=1.0)


def _told(observed: ObservedDataset, pull: Json, status: Json | None = None) -> tuple[Phase, Reason, str]:
    status = observed.status if status is None else status
    if pull.get("state") == "pull_complete":
        return Phase.DONE, Reason.COMPLETED, _what_there_is(observed, status)
    why = str(pull.get("message") or "It failed.")
    if datastatus.usable(status, observed.digest):
        return (
            Phase.DONE,
            Reason.REFRESH_FAILED,
            f"The last refresh failed, and jobs get revision {status.get('revision')} as before. {why}",
        )
    try:
        reason = Reason(str(pull.get("reason")))
    except ValueError:
        reason = Reason.PULL_FAILED
    return Phase.ERROR, reason, why


def _what_there_is(observed: ObservedDataset, status: Json) -> str:
    profile, validation = status.get("profile") or {}, status.get("validation") or {}
    content = f"{profile['summary']}. " if profile.get("summary") else ""
    skipped = " It was not checked, as spec.validation says." if validation.get("state") == "Skipped" else ""
    uri = str(status.get("uri") or "")
    if not uri:
        return f"{content}Each job pulls it for itself.{skipped}"
    claim, folder = uris.split_pvc(uri)
    where = f"folder {folder}" if folder else "the root"
    return f"{content}Jobs mount {where} of claim {claim}.{skipped}"


def _validation(verdict: Verdict | None, now: float) -> Json:
    if verdict is None:
        return {"state": "Skipped", "time": stamp(now)}
    told = {
        "state": "Valid" if verdict.valid else "Invalid",
        "filesChecked": verdict.files_checked,
        "problems": verdict.problems,
        "first": verdict.first,
        "time": stamp(now),
    }
    return said(told)


def _held(observed: ObservedDataset, place: str | None) -> list[Json] | None:
    """Volumes of ours that are no longer what jobs get or what is pulled."""
    held = {one["claim"]: one for one in observed.status.get("held") or []}
    if place is None:
        claim = observed.pull.get("claim")
        current = own_claim(str(observed.status.get("uri") or ""))
        if claim and claim != current:
            held[claim] = said({"claim": claim, "revision": observed.pull.get("revision")})
        return list(held.values()) or None
    before = own_claim(str(observed.status.get("uri") or ""))
    if before and before != own_claim(place):
        held[before] = said({"claim": before, "revision": observed.status.get("revision")})
    held.pop(own_claim(place), None)
    return list(held.values()) or None


def _kept(observed: ObservedDataset) -> list[Json] | None:
    return observed.status.get("held") or None
