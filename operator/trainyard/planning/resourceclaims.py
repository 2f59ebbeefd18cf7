"""Devices by dynamic resource allocation: a job's resource claims in the terms of a pod.

Separate because it is another way to devices than counting an extended resource, which `planning.placement` does.
Called by `planning.podspec`.
"""

from __future__ import annotations

from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec

Json = dict[str, Any]


def of_pod(spec: TrainingJobSpec) -> list[Json]:
    """A PodSpec's resourceClaims: which claims there are, or of which template each pod gets one of its own."""
    return [
        claim.model_dump(by_alias=True, exclude_none=True, exclude={"request"})
        for claim in spec.resource_claims
    ]


def of_trainer(spec: TrainingJobSpec) -> list[Json]:
    """The claims in a container's resources: what of them the training container gets."""
    return [
        claim.model_dump(by_alias=True, exclude_none=True, include={"name", "request"})
        for claim in spec.resource_claims
    ]
