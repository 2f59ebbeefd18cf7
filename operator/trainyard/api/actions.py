"""What a runtime can be asked to do.

Separate because jobs, datasets and experiments all name actions.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from trainyard.api.schema import Opaque, rules

# The union of the TAO API's two lists (24) and ours.
Action = Literal[
    "dataset_convert",
    "convert",
    "convert_efficientdet_tf2",
    "kmeans",
    "train",
    "evaluate",
    "prune",
    "retrain",
    "export",
    "gen_trt_engine",
    "trtexec",
    "inference",
    "batchinfer",
    "augment",
    "annotation_format_convert",
    "analyze",
    "validate",
    "generate",
    "calibration_tensorfile",
    "annotation",
    "nextimage",
    "cacheimage",
    "notify",
    "auto3dseg",
    "split",
    "recommend",
    "distill",
    "quantize",
    "publish",
    "unpublish",
    "custom",
]

_QUOTED = ", ".join(f"'{action}'" for action in get_args(Action))

#: Parameters by action.
ActionParameters = Annotated[
    dict[str, Opaque],
    Field(
        max_length=32,
        json_schema_extra=rules(
            (
                f"self.all(a, a in [{_QUOTED}])",
                "a key is not an action; kubectl explain trainingjob.spec.action lists them",
            )
        ),
    ),
]
