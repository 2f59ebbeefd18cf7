"""Which actions make a model.

Separate because a job's own rules and its model's both ask: what a job that makes none ends with is no version.
"""

from __future__ import annotations

#: `custom` is what its container makes of it; who names a model for it says that it makes one.
MAKES_A_MODEL = frozenset({"train", "retrain", "prune", "distill", "quantize", "custom"})
