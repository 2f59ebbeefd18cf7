"""Which fields of a TrainingJob may change when.

Separate because it is policy over the fields that `trainingjob` describes; `kinds` makes rules of the CRD from it and
`planning.spechash` the digest that guards what no rule can see into.
"""

from __future__ import annotations

from trainyard.api.immutability import Fixed

#: What may change after an attempt exists: run policy, and what people call the job.
RUN_POLICY = frozenset(
    {
        "displayName",
        "description",
        "suspend",
        "cancel",
        "backoffLimit",
        "restartOn",
        "activeDeadlineSeconds",
        "startupTimeoutSeconds",
        "progressTimeoutSeconds",
        "ttlSecondsAfterFinished",
        "gracePeriodSeconds",
        "uploadSeconds",
        "callbacks",
    }
)
# NB: of the spec as it was: one and the same edit may resume the job and give it another parent.
_STOPPED = (
    "(has(oldSelf.spec.suspend) && oldSelf.spec.suspend) || (has(oldSelf.spec.cancel) && oldSelf.spec.cancel)"
)

_PLAIN = (
    "action",
    "runtime",
    "architecture",
    "type",
    "image",
    "shmSize",
    "accelerator",
    "priorityClassName",
    "schedulerName",
    "queueName",
    "nodes",
    "processesPerNode",
    "datasets.eval",
    "datasets.inference",
    "datasets.calibration",
    "datasets.input",
    "checkpoint",
    "encryptionKeySecretRef",
    "output",
    "outputDataset",
    "model",
)
_LISTS_AND_MAPS = (
    "command",
    "args",
    "resources.requests",
    "resources.limits",
    "resourceClaims",
    "tolerations",
    "nodeSelector",
    "datasets.train",
    "baseModels",
)

#: What, where and with what stays from the first attempt on. `parameters`, `template` and `affinity` are guarded by
#: `status.specHash` alone: CEL cannot see into what no schema describes.
FIXED_ONCE_BEGUN = (
    *(Fixed(field=field) for field in _PLAIN),
    *(Fixed(field=field, list_or_map=True) for field in _LISTS_AND_MAPS),
    # A variable is expanded in those that follow it.
    Fixed(field="env", list_or_map=True, ordered_by="name"),
    Fixed(field="parentJob", unless=_STOPPED),
)
