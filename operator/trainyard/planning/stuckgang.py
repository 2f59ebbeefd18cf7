"""What pods that are bound together or not at all wait for, by what the scheduler of their group says of them.

Separate from `planning.stuckpod`, which reads one pod: in a group most are told no more than that another one was
refused, and which of them is told why differs from try to try.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import stucktexts
from trainyard.planning.finding import Finding
from trainyard.planning.gang import group_name
from trainyard.planning.podview import PodView

#: Of scheduler-plugins' Coscheduling and of Volcano.
_OF_A_GROUP = re.compile(
    r"optimistic rejection in PostFilter|rejection in Unreserve|cannot find enough sibling pods|can ?not find pod group"
    r"|gated pods in the same PodGroup|PodGroup \S+ gets rejected|podGroup \S+ failed recently|PodGroup not found"
    r"|at plugin Coscheduling|pod group is not ready|tasks in gang unschedulable"
)
_NO_GROUP = re.compile(r"PodGroup not found|can ?not find pod group")
_REFUSED_WITH_IT = re.compile(r",? *PodGroup \S+ gets rejected due to Pod \S+ is unschedulable.*")


def waits_as_a_whole(pods: Sequence[PodView]) -> Finding | None:
    """What keeps a group of pods from being bound; None when some are, or their scheduler knows no groups."""
    if not pods or any(pod.scheduled for pod in pods):
        return None
    told = [pod.scheduling_message for pod in pods if _OF_A_GROUP.search(pod.scheduling_message)]
    if not told:
        return None
    group = group_name(job=pods[0].job, attempt=pods[0].attempt)
    if any(_NO_GROUP.search(text) for text in told):
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.UNSCHEDULABLE,
            message=f"PodGroup {group}, by which its pods are scheduled together, is gone. To have it made again, "
            f"pause the job and resume it: trainyard pause {pods[0].job}, trainyard resume {pods[0].job}.",
        )
    causes = [cause for pod in pods if (cause := _cause(pod.scheduling_message))]
    # NB: the same one from try to try, whichever pod was told it; each change of a message is a request.
    cause = stucktexts.unschedulable(min(causes)) if causes else stucktexts.LOCKED
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.UNSCHEDULABLE,
        message=f"PodGroup {group} waits until there is room for all its {len(pods)} pods at once. {cause}",
    )


def _cause(text: str) -> str:
    """What nodes lack, where the scheduler tells it; empty for a pod that was only refused with others."""
    if _OF_A_GROUP.search(own := _REFUSED_WITH_IT.sub("", text)):
        return ""
    return own if re.match(r"\d+/\d+ nodes are (un)?available: \d", own) else ""
