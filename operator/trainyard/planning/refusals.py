"""Why the API server does not let a pod in: its own sentences, told by their kind and with what to do.

Separate from what a pod that exists is stuck on: here nothing is known but an HTTP status and a text.
"""

from __future__ import annotations

from trainyard.api.reasons import Phase, Reason
from trainyard.planning.finding import Finding
from trainyard.planning.observed import Refusal

_AGAIN = "It is tried again by itself, at least once a minute."


def refused_by_the_api_server(refusal: Refusal | None) -> Finding | None:
    """What the API server's refusal of the pod means."""
    if refusal is None:
        return None
    text = refusal.message
    if refusal.status == 409:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.POD_NAME_TAKEN,
            message=f"A pod that is not this job's has its name: {text}. Delete it or give the job another name.",
            since=refusal.first_at,
        )
    if "is not served by this cluster" in text:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.UNSCHEDULABLE,
            message=f"The pods cannot be scheduled together: {text}. Install the scheduler that spec.schedulerName "
            f"names with its CRDs, or pause the job (trainyard pause) and take schedulerName out. {_AGAIN}",
            since=refusal.first_at,
        )
    # NB: a webhook's denial comes as 400 and an admission policy's as 422 unless they say otherwise.
    denied = "denied the request" in text or "denied request" in text
    if refusal.status in (400, 413, 422) and not denied:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.INVALID_SPEC,
            message=f"The API server finds the pod invalid: {text}",
        )
    if "failed calling webhook" in text:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.POLICY_REFUSED,
            message=f"A webhook that the API server asks about pods does not answer: {text}. Have it mended. {_AGAIN}",
            since=refusal.first_at,
        )
    reason, message = _forbidden(text.partition(" is forbidden: ")[2] or text)
    return Finding(phase=Phase.PENDING, reason=reason, message=f"{message} {_AGAIN}", since=refusal.first_at)


def _forbidden(text: str) -> tuple[Reason, str]:
    """The reason for a refusal that can be lifted, and a sentence; `text` is without what is forbidden."""
    if "error looking up service account" in text:
        account = text.partition('serviceaccount "')[2].partition('"')[0] or "that the pod runs as"
        return (
            Reason.SERVICE_ACCOUNT_NOT_FOUND,
            f"There is no ServiceAccount {account} in this namespace: create it "
            f"(kubectl create serviceaccount {account}), or name another in spec.template.spec.serviceAccountName.",
        )
    if "exceeded quota" in text or "insufficient quota" in text:
        return (
            Reason.QUOTA_EXCEEDED,
            f"The namespace's quota does not allow the pod: {text}. Wait until other pods have ended, ask for less in "
            "spec.resources or spec.accelerator, or have the quota raised.",
        )
    if "failed quota" in text:
        return (
            Reason.QUOTA_EXCEEDED,
            f"The namespace's quota asks every pod to say what it uses: {text}. Set it in spec.resources.",
        )
    if "violates PodSecurity" in text:
        return (
            Reason.POLICY_REFUSED,
            f"The namespace's Pod Security level does not allow the pod: {text}. Change what is named there in "
            "spec.template, or have the namespace's label pod-security.kubernetes.io/enforce allow it.",
        )
    for kind, sign, field in (
        ("PriorityClass", "no PriorityClass with name", "spec.priorityClassName"),
        ("RuntimeClass", "RuntimeClass", "spec.template.spec.runtimeClassName"),
    ):
        if sign in text and ("not found" in text or "was found" in text):
            return (
                Reason.POLICY_REFUSED,
                f"The API server does not allow the pod: {text}. Name a {kind} that there is in {field}, or have it "
                "created.",
            )
    return (
        Reason.POLICY_REFUSED,
        f"The API server does not allow the pod: {text}. Change what it names, or have that policy changed.",
    )
