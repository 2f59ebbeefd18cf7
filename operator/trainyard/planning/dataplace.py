"""Where the data of a Dataset lies: on a claim of ours, which is made first, in one of the user's, or nowhere.

Separate from `planning.datapull`, which has what is done there. Several Datasets may share a claim of ours; one of them
pulls.
"""

from __future__ import annotations

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import dataclaims, dataends, datapods, datastatus, uris
from trainyard.planning.dataclaims import ClaimStep, ClaimView
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.datapods import DataRules
from trainyard.planning.datasizes import bytes_of, volume_size
from trainyard.planning.plan import Plan

_POLL_SECONDS = 5.0
_OTHERS_SECONDS = 10.0


def is_remote(observed: ObservedDataset) -> bool:
    """Whether the data lies outside the cluster, so that it is pulled."""
    source = observed.spec.source if observed.spec is not None else None
    if source is None or source.upload is not None:
        return False
    return source.uri is None or not uris.is_pvc(source.uri)


def is_cached(observed: ObservedDataset) -> bool:
    """Whether what is pulled is kept on a volume."""
    cache = observed.spec.cache if observed.spec is not None else None
    return cache is None or cache.mode == "Volume"


def place(observed: ObservedDataset) -> tuple[str | None, str]:
    """Claim and folder that a pod mounts; no claim where nothing is kept."""
    assert observed.spec is not None
    assert observed.spec.source is not None
    if is_remote(observed):
        return observed.pull.get("claim"), datapods.DATA
    if (uploaded := observed.uploaded) is not None:
        return str(uploaded["claim"]), datapods.DATA
    return uris.split_pvc(observed.spec.source.uri or "")


def address(observed: ObservedDataset) -> str:
    """Where jobs find it; empty where each pulls it for itself."""
    claim, folder = place(observed)
    return uris.pvc(claim, folder) if claim is not None else ""


def to_be_done(
    observed: ObservedDataset, listing: str, *, now: float, rules: DataRules
) -> DatasetPlan | None:
    """Whatever is to be done before a pod of ours can pull onto the claim; None when it can, or has."""
    seen, spec = observed.claim, observed.spec
    assert spec is not None
    if names.DATA_FINALIZER not in observed.finalizers:
        return DatasetPlan(finalizers=(*observed.finalizers, names.DATA_FINALIZER), plan=_again())
    name = str(observed.pull.get("claim") or names.data_claim_name(listing))
    if seen is None:
        if observed.claim_refused:
            return _claim_refused(observed, name, now=now, step=_made(observed, name, listing, rules))
        return DatasetPlan(claims=(_made(observed, name, listing, rules),), plan=_again())
    if seen.deleting or not seen.managed or seen.listing != listing:
        return _under_another_name(observed, listing, name, now=now)
    if not seen.is_owned_by(observed.uid):
        step = dataclaims.owned(seen, name=observed.name, uid=observed.uid)
        return DatasetPlan(claims=(step,), plan=_again())
    if seen.published is not None:
        return None
    if seen.puller == observed.uid and len(seen.owners) == 1 and not _is_as_wanted(observed, seen):
        return DatasetPlan(claims=(ClaimStep(verb="let_go", name=name),), plan=_again())
    if seen.puller == observed.uid:
        return None
    if not observed.puller_lives:
        return DatasetPlan(claims=(dataclaims.taken_over(seen, uid=observed.uid),), plan=_again())
    return datastatus.plan(
        observed,
        Phase.RUNNING,
        Reason.PULLING,
        f"Another Dataset pulls the same content onto claim {name}; it is pulled once.",
        now=now,
        requeue_after=_OTHERS_SECONDS,
    )


def _made(observed: ObservedDataset, name: str, listing: str, rules: DataRules) -> ClaimStep:
    cache = observed.spec.cache if observed.spec is not None else None
    return dataclaims.made(
        name=name,
        namespace=observed.namespace,
        dataset=observed.name,
        uid=observed.uid,
        listing=listing,
        size=(str(cache.size) if cache is not None and cache.size is not None else None)
        or volume_size(
            int(observed.pull.get("totalBytes") or 0),
            files=int(observed.pull.get("totalFiles") or 0),
            unpacked=observed.pull.get("unpackedBytes"),
        ),
        access_mode=(cache.access_mode if cache is not None else None) or rules.access_mode,
        storage_class=(cache.storage_class_name if cache is not None else None) or rules.storage_class,
    )


def _is_as_wanted(observed: ObservedDataset, seen: ClaimView) -> bool:
    """Whether an empty or half full claim is what spec.cache asks for by now; what it says nothing of is as it is."""
    cache = observed.spec.cache if observed.spec is not None else None
    if cache is None:
        return True
    return (
        (cache.size is None or (bytes_of(str(cache.size)) or 0) <= (bytes_of(seen.storage) or 0))
        and cache.access_mode in (None, *seen.access_modes)
        and cache.storage_class_name in (None, seen.storage_class)
    )


def claim_for(observed: ObservedDataset, listing: str) -> str:
    """The claim that what a source lists is pulled onto: where it lies already, as far as this Dataset knows."""
    if observed.status.get("listing") == listing and (
        known := dataends.own_claim(str(observed.status.get("uri") or ""))
    ):
        return known
    return names.data_claim_name(listing)


def _under_another_name(observed: ObservedDataset, listing: str, taken: str, *, now: float) -> DatasetPlan:
    """NB: a claim that was let go of stays, Terminating, for as long as there is a pod that mounts it, also one that
    has ended; and a finished job's pods may stay for ever.
    """
    number = taken.removeprefix(names.data_claim_name(listing)).removeprefix("-")
    following = names.data_claim_name(listing, number=int(number) + 1 if number.isdecimal() else 2)
    return datastatus.plan(
        observed,
        Phase.RUNNING,
        Reason.PULLING,
        f"PersistentVolumeClaim {taken} is being deleted, or is not ours; {following} is to hold the data.",
        now=now,
        changes={"pull": {**observed.pull, "claim": following}},
        requeue_after=0.0,
    )


def _claim_refused(observed: ObservedDataset, name: str, *, now: float, step: ClaimStep) -> DatasetPlan:
    quota = "exceeded quota" in observed.claim_refused
    return datastatus.plan(
        observed,
        Phase.PENDING,
        Reason.QUOTA_EXCEEDED if quota else Reason.POLICY_REFUSED,
        f"The API server refuses PersistentVolumeClaim {name}, which is to hold the data: "
        f"{observed.claim_refused[:1500]}",
        now=now,
        requeue_after=_OTHERS_SECONDS,
        claims=(step,),
    )


def _again() -> Plan:
    return Plan(requeue_after=0.0)
