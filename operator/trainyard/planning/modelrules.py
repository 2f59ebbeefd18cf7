"""What the settings say that counts for MLModels.

Separate because all parts of their planning take it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.planning.context import Context


@dataclass(frozen=True, kw_only=True)
class ModelRules:
    """`context` is that of the jobs that a model makes."""

    context: Context
