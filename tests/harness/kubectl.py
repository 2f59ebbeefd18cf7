"""kubectl on one cluster.

Separate from `client` because the demo must work on any cluster that the user's kubectl can reach, also
where a program logs in (EKS, GKE, AKS), and because what it shows can then be typed by hand. Called by
`chart` and `demo`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import binaries, cache, console
from tests.harness.cluster import ClusterHandle

Json = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """Each call runs kubectl to its end; HarnessError says what it answered if it failed."""

    handle: ClusterHandle

    @property
    def program(self) -> Path:
        return binaries.ensure("kubectl")["kubectl"]

    @property
    def flags(self) -> list[str]:
        """What makes kubectl, helm (its context flag apart) and `trainyard` talk to this cluster."""
        return [f"--kubeconfig={self.handle.kubeconfig}", f"--context={self.handle.context}"]

    def run(self, *words: str | Path, stdin: str | None = None, timeout: float = 60.0) -> str:
        """What `kubectl WORD...` prints."""
        return console.capture(
            [self.program, *self.flags, *words], log=log_file(), stdin=stdin, timeout=timeout
        )

    def get(self, *words: str) -> Json:
        """An object or, as a List, several: `get("pods", "--namespace=default")`."""
        answer: Json = json.loads(self.run("get", *words, "--output=json"))
        return answer

    def items(self, *words: str) -> list[Json]:
        found: list[Json] = self.get(*words)["items"]
        return found

    def apply(self, objects: Sequence[Json], *, namespace: str | None = None) -> None:
        """Creates or changes objects, as `kubectl apply` does, all in one call."""
        where = [f"--namespace={namespace}"] if namespace else []
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", *where, "--filename=-", stdin=json.dumps(listing))


def log_file() -> Path:
    return cache.root() / "logs" / "kubectl.log"
