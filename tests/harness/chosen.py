"""The cluster and the images that the environment chooses: CLUSTER, NODES, IMAGES, OPERATOR_IMAGE, AGENT_IMAGE,
DATA_IMAGE, TUNER_IMAGE, PUBLISHER_IMAGE, TRAINER_IMAGE.

Separate because `make cluster`, `make demo` and `make test-e2e` must understand the same words in the same way, for
clusters of ours and of the user's. Called by `__main__`, `demo` and the fixtures of tests/e2e.
"""

from __future__ import annotations

import os

from tests.harness import docker, images, kindcluster, usercontext
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError


def cluster(name: str, *, wanted: str | None = None, nodes: int | None = None) -> ClusterHandle:
    """The cluster that CLUSTER (or `wanted`) names: a user's by its context, else a kind cluster of ours.

    Raises HarnessError if it cannot be had, or CLUSTER names none on which pods run.
    """
    wanted = wanted or os.environ.get("CLUSTER") or "kind"
    if wanted.startswith("context:"):
        return usercontext.find(wanted.removeprefix("context:"))
    if wanted != "kind":
        raise HarnessError(f"CLUSTER is {wanted!r}; where pods are to run it can be kind or context:NAME.")
    return kindcluster.up(name, nodes=nodes or int(os.environ.get("NODES") or 1))


def image(handle: ClusterHandle, name: images.Name) -> str:
    """An image of ours that the cluster's nodes have or can pull.

    What OPERATOR_IMAGE, AGENT_IMAGE, DATA_IMAGE, TUNER_IMAGE, PUBLISHER_IMAGE, TRAINER_IMAGE or TRAINER_JAX_IMAGE names
    is taken as it is. Else it is built from this checkout and pushed under the prefix IMAGES
    ("registry.example.com/team"), or loaded into a kind cluster of this machine's Docker.
    """
    if given := os.environ.get(f"{name.upper().replace('-', '_')}_IMAGE"):
        return given
    prefix = os.environ.get("IMAGES")
    if not prefix and not kindcluster.takes_images(handle):
        raise HarnessError(
            f"The cluster of context {handle.context} is not a kind cluster of this machine's Docker: set"
            " IMAGES=REGISTRY/PREFIX to have the images built and pushed there, or OPERATOR_IMAGE, AGENT_IMAGE,"
            " DATA_IMAGE, TUNER_IMAGE, PUBLISHER_IMAGE and TRAINER_IMAGE to images that it can pull."
        )
    built = images.ensure(name)[name]
    if prefix:
        return images.push(docker.ensure(), built, prefix)
    kindcluster.load(handle, built)
    return built


def python_image(handle: ClusterHandle) -> str:
    """An image with `python3` that the nodes have or can pull, for pods of tests."""
    if not kindcluster.takes_images(handle):
        return images.PUBLIC_BASE
    found = images.base()
    # NB: what Docker can pull, nodes can; and `kind load` fails on images of several platforms in some Dockers.
    if found != images.PUBLIC_BASE:
        kindcluster.load(handle, found)
    return found
