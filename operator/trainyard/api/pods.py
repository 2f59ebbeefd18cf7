"""What a job says of its pods in the terms of Kubernetes: resources, devices, places, the template.

Separate because these mirror core/v1 (and resource/v1): their names and meanings are Kubernetes' own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.schema import (
    ApiModel,
    LabelName,
    Opaque,
    Quantity,
    ResourceName,
    rules,
    spelt,
)

LabelValue = Annotated[str, Field(max_length=63)]
AnnotationValue = Annotated[str, Field(max_length=262144)]
ImageName = Annotated[str, spelt(r"^\S+$", "the name of an image, without blanks", max_length=1024)]
Argument = Annotated[str, Field(max_length=8192)]


class Resources(ApiModel):
    """Requests and limits of the training container, as in a pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=32)] = Field(
        default_factory=dict, description="What the scheduler sets aside: cpu, memory, devices."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=32)] = Field(
        default_factory=dict,
        description="What the container may use at most; over its memory it is killed.",
    )


class Accelerator(ApiModel):
    """GPUs of one pod. The matching toleration and node labels come with it."""

    count: Annotated[int, Field(ge=1, le=1024)] = Field(default=1, description="Devices for each pod.")
    type: (
        Annotated[
            str,
            spelt(r"^[a-z0-9][-_.a-z0-9]*$", "a kind of device in lower case, such as a100", max_length=63),
        ]
        | None
    ) = Field(
        default=None,
        description="Kind of device: t4, l4, l40, a10, a30, a40, a100, v100, h100, h200 or what the operator's "
        "settings add. It becomes a node affinity. Absent: any.",
    )
    resource_name: (
        Annotated[
            str,
            spelt(
                r"^[^/\s]+/[^/\s]+$",
                "an extended resource, such as nvidia.com/gpu",
                min_length=3,
                max_length=253,
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Extended resource to ask for; the operator's setting (nvidia.com/gpu) if absent.",
    )


class ResourceClaim(ApiModel):
    """Devices by dynamic resource allocation, as a pod's resourceClaims; for clusters of 1.34 or newer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.resourceClaimName), has(self.resourceClaimTemplateName)].exists_one(x, x)",
                "resourceClaims: give exactly one of resourceClaimName and resourceClaimTemplateName",
            )
        )
    )

    name: LabelName = Field(description="Name of the claim inside the pod; unique in the list.")
    resource_claim_name: ResourceName | None = Field(
        default=None,
        description="A ResourceClaim of this namespace; pods that use it share its devices.",
    )
    resource_claim_template_name: ResourceName | None = Field(
        default=None,
        description="A ResourceClaimTemplate of this namespace, from which each pod gets a claim of its own.",
    )
    request: LabelName | None = Field(
        default=None,
        description="The one request of the claim that the training container gets. Absent: all.",
    )


class Toleration(ApiModel):
    """A pod's toleration (core/v1)."""

    key: Annotated[str, Field(max_length=316)] | None = Field(
        default=None, description="The taint's key; absent with operator Exists: every taint."
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        default=None, description="Equal (the default) compares the value, Exists does not."
    )
    value: LabelValue | None = Field(default=None, description="The taint's value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; absent: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, description="How long a NoExecute taint is borne; absent: for ever."
    )


class Affinity(ApiModel):
    """A pod's affinity (core/v1)."""

    node_affinity: Opaque | None = Field(default=None, description="Nodes to be on (core/v1 NodeAffinity).")
    pod_affinity: Opaque | None = Field(default=None, description="Pods to be near (core/v1 PodAffinity).")
    pod_anti_affinity: Opaque | None = Field(
        default=None, description="Pods to be away from (core/v1 PodAntiAffinity)."
    )


class TemplateMetadata(ApiModel):
    """Labels and annotations for what is made from the template."""

    labels: Annotated[dict[str, LabelValue], Field(max_length=64)] | None = Field(
        default=None, description="Labels, besides the operator's own."
    )
    annotations: Annotated[dict[str, AnnotationValue], Field(max_length=64)] | None = Field(
        default=None, description="Annotations, besides the operator's own."
    )


class Template(ApiModel):
    """A PodTemplateSpec (core/v1)."""

    metadata: TemplateMetadata | None = Field(
        default=None, description="Labels and annotations for the pods."
    )
    spec: Opaque | None = Field(default=None, description="A PodSpec (core/v1).")
