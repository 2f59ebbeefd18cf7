"""What every kind of cluster gives to those who use it.

Separate because the control plane, kind and a cluster of the user's are handed round alike: by
`__main__`, the tests' fixtures, the demo and the bench.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClusterHandle:
    """A running cluster. Nodes are patched, and clusters deleted, only if `made_by_us`."""

    name: str
    kubeconfig: Path
    context: str
    made_by_us: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"kubeconfig": str(self.kubeconfig)}, sort_keys=True)
