"""The containers that are a kind cluster's nodes: which there are, waking them, what images they have.

Separate from `kindnodes`, which sees the same nodes through the API server. Called by `kindcluster` and by
tests that stop nodes.
"""

from __future__ import annotations

from tests.harness.docker import Engine

CLUSTER_LABEL = "io.x-k8s.kind.cluster"


def nodes_of(engine: Engine, cluster: str) -> list[str]:
    """The names of a cluster's node containers, which are those of its nodes."""
    return sorted(engine.containers(f"label={CLUSTER_LABEL}={cluster}"))


def wake(engine: Engine, node: str) -> None:
    """Starts a node that was stopped and thaws one that was paused."""
    status = engine.output("inspect", "--format", "{{.State.Status}}", node).strip()
    if status == "paused":
        engine.run("unpause", node)
    elif status != "running":
        engine.run("start", node)


def has_image(engine: Engine, node: str, image: str) -> bool:
    """Whether a node's containerd knows an image."""
    words = ("images", "list", "--quiet", f"name=={full_name(image)}")
    return bool(engine.output("exec", node, "ctr", "--namespace", "k8s.io", *words).strip())


def full_name(image: str) -> str:
    """An image's name as containerd has it ("docker.io/library/trainer:1" for "trainer:1")."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"
