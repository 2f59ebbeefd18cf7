"""A cluster of the user's own, by the name of its context (`CLUSTER=context:NAME`).

Separate because nothing is started, stopped or patched here. The current context is never taken by
itself: a test run must not land on somebody's production cluster.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from tests.harness import binaries, cache, console
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError


def find(context: str) -> ClusterHandle:
    """The cluster of that context, if it answers. Raises HarnessError, saying what is missing."""
    kubeconfig = _kubeconfig_with(context)
    log = cache.root() / "logs" / "context.log"
    kubectl = binaries.ensure("kubectl")["kubectl"]
    with console.step(f"Asking the cluster of context {context}"):
        argv = [str(kubectl), f"--kubeconfig={kubeconfig}", f"--context={context}", "get", "--raw=/readyz"]
        console.capture(argv, log=log, timeout=30)
    return ClusterHandle(context, kubeconfig, context, made_by_us=False)


def _kubeconfig_with(context: str) -> Path:
    named = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    files = [Path(file) for file in named.split(os.pathsep) if file]
    if len(files) != 1:
        raise HarnessError("KUBECONFIG names several files; name the one that has the context.")
    if not files[0].exists():
        raise HarnessError(f"There is no {files[0]} to find the context {context} in; set KUBECONFIG.")
    config = yaml.safe_load(files[0].read_text()) or {}
    contexts = [entry["name"] for entry in config.get("contexts") or []]
    if context not in contexts:
        raise HarnessError(f"{files[0]} has no context {context}; it has {', '.join(contexts) or 'none'}.")
    return files[0]
