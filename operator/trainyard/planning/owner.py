"""The owner reference of everything that a job makes: it goes with the job.

Separate because pods, Services and PodGroups are all made with it.
"""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.planning.observed import ObservedJob


def reference(observed: ObservedJob) -> dict[str, Any]:
    """An ownerReference to the job."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingJob",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
