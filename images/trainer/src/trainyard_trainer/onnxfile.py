"""A model with its preprocessing as one ONNX graph, and that graph run on rows.

Separate from `exporting` because everything that is particular to ONNX is here. The graph has one input for each
feature column, of any number of rows: float for numbers, NaN where one is missing; string for categories, the empty
string where one is missing. Its outputs are `label` and `probabilities`, or `prediction`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainyard_trainer.columns import Layout
from trainyard_trainer.problems import Refused

if TYPE_CHECKING:
    import pandas as pd

    from trainyard_trainer.preparing import Array

_ML_OPSET = 3
_MISSING = {"float": "NaN", "string": "an empty string"}


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The content of a model file, and what goes in and comes out: name, type and shape, -1 for any number."""

    content: bytes
    opset: int
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Any]]


def convert(model: Any, layout: Layout, *, opset: int | None, about: Mapping[str, str]) -> Graph:
    """The pipeline as a graph, `about` as its metadata. Raises Refused for what has no place in ONNX."""
    from skl2onnx import convert_sklearn, get_latest_tested_opset_version
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    newest = int(get_latest_tested_opset_version())
    if opset is not None and opset > newest:
        raise Refused(f"This trainer writes at most opset {newest}, and opset is {opset}. Lower it.")
    pipeline = _as_onnx_reads(model, layout)
    classify = layout.task == "classification"
    wanted = [(name, FloatTensorType([None, 1])) for name in layout.numeric]
    wanted += [(name, StringTensorType([None, 1])) for name in layout.categorical]
    try:
        graph = convert_sklearn(
            pipeline,
            # NB: without one it is drawn at random, and the same model would be another file each time.
            name="trainyard",
            initial_types=wanted,
            final_types=None if classify else [("prediction", None)],
            options={id(pipeline["model"]): {"zipmap": False}} if classify else None,
            target_opset={"": opset or newest, "ai.onnx.ml": _ML_OPSET},
        )
        for name, value in about.items():
            graph.metadata_props.add(key=f"trainyard.{name}", value=value)
        content: bytes = graph.SerializeToString()
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        raise Refused(
            f"The model cannot be written as ONNX ({type(error).__name__}: {str(error).splitlines()[0]})."
            " Use model.joblib, or train another type."
        ) from error
    inputs = [_described(value) for value in graph.graph.input]
    for place, column in zip(inputs, layout.features, strict=True):
        place |= {"column": column, "missing": _MISSING[place["type"]]}
    return Graph(
        content=content,
        opset=max(entry.version for entry in graph.opset_import if not entry.domain),
        inputs=inputs,
        outputs=[_described(value) for value in graph.graph.output],
    )


def run(graph: Graph, features: pd.DataFrame, *, classify: bool) -> tuple[Array, Array | None]:
    """What onnxruntime makes of the features: predictions, and probabilities if there are any."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.content, options, providers=["CPUExecutionProvider"])
    feed = {}
    for place in graph.inputs:
        column = features[[place["column"]]]
        if place["type"] == "string":
            feed[place["name"]] = column.fillna("").to_numpy(dtype=object)
        else:
            feed[place["name"]] = column.to_numpy(dtype=np.float32)
    made = session.run(None, feed)
    if classify:
        return np.asarray(made[0]), np.asarray(made[1])
    return np.asarray(made[0]).ravel(), None


def _as_onnx_reads(model: Any, layout: Layout) -> Any:
    """A copy whose categories are missing where the text is empty: in ONNX no text is missing."""
    pipeline = copy.copy(model)
    preprocess, final = copy.deepcopy(model["preprocess"]), model["model"]
    if layout.categorical:
        preprocess.named_transformers_["categorical"][0].missing_values = ""
    pipeline.steps = [("preprocess", preprocess), ("model", final)]
    return pipeline


def _described(value: Any) -> dict[str, Any]:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    return {
        "name": value.name,
        "type": TensorProto.DataType.Name(tensor.elem_type).lower(),
        "shape": [side.dim_value if side.HasField("dim_value") else -1 for side in tensor.shape.dim],
    }
