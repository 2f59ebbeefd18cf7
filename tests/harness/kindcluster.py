"""Clusters with real nodes and real pods, by kind: for e2e, the demo and development.

Separate from the control plane, which has neither. Where a user's Docker daemon answers and the public
node image can be had, this is `kind create cluster` and little else; `docker` and `node_image` fill in
what is missing. Called by `python -m tests.harness`, by the fixtures of tests/e2e and by the demo.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.harness import (
    binaries,
    cache,
    console,
    docker,
    dockerd,
    kindcontainers,
    kindnodes,
    machine,
    node_image,
    scratch,
)
from tests.harness.client import ApiError, Client
from tests.harness.cluster import ClusterHandle
from tests.harness.docker import Engine
from tests.harness.errors import HarnessError
from tests.harness.kindconfig import AUDIT_FOLDER, configuration, creation, free_networks, routed_networks
from tests.harness.kindcontainers import nodes_of
from tests.harness.node_image import NodeImage

DEFAULT_NAME = "dev"
AUDIT_POLICY = Path(__file__).parent / "kind" / "audit-policy.yaml"
NETWORK = "kind"
# On a machine of two cores that is busy with other things.
READY_SECONDS = 240.0
REVIVE_SECONDS = 90.0
CREATE_SECONDS = 600.0
DELETE_SECONDS = 120.0


def up(name: str = DEFAULT_NAME, nodes: int = 1) -> ClusterHandle:
    """A cluster of `nodes` nodes that is ready and offers GPUs: the one that is up, else a new one.

    One with another number of nodes, another image or that does not come to life again is replaced.
    What a killed run left half-made is cleaned up first. Raises HarnessError if there can be none.
    """
    if nodes < 1 or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        raise HarnessError(
            "A cluster needs a node at least, and a name of lower-case letters, digits and '-'."
        )
    with cache.cluster_lock(name):
        docker.check()
        _claim(name)
        engine = docker.ensure()
        image = node_image.choose(engine)
        plan = {"nodes": nodes, "image": image.reference, "config": cache.digest_of(AUDIT_POLICY)}
        if _state(name).get("plan") != plan or not _revive(name, engine, image):
            _delete_nodes(name, engine)
            cache.remove_tree(cache.cluster_folder(name))
            _create(name, engine, image, plan)
        return handle_of(name)


def down(name: str = DEFAULT_NAME) -> None:
    """Deletes a cluster with all that it left; with the last one, our own Docker daemon ends as well.

    Does nothing if there is no such cluster. Cached images stay.
    """
    with cache.cluster_lock(name):
        _check_folder(name)
        if dockerd.left_behind():
            # If it died, only it can take apart the networks and containers that it made.
            dockerd.start()
        for engine in docker.running():
            _delete_nodes(name, engine)
            if engine.ours and not engine.containers() and not _others(name):
                engine.succeeds("network", "rm", NETWORK)
                engine.run("volume", "prune", "--force")
                dockerd.stop()
        cache.remove_tree(cache.cluster_folder(name))
        scratch.clear_left_behind()


def takes_images(handle: ClusterHandle) -> bool:
    """Whether images can be loaded: into ours, and a user's that is a kind cluster of this machine's Docker."""
    return _engine_of(_name_in_kind(handle)) is not None


def load(handle: ClusterHandle, image: str) -> None:
    """Makes an image of the Docker daemon's known to the nodes; quick if they have it.

    Raises HarnessError if the cluster takes none.
    """
    name = _name_in_kind(handle)
    engine = _engine_of(name)
    if engine is None:
        raise HarnessError(
            f"{image} cannot be loaded into the cluster of context {handle.context}, which is not a kind"
            " cluster of this machine's Docker: push it to a registry that the cluster pulls from."
        )
    with console.step(f"Loading {image} into {name}") as step:
        if all(kindcontainers.has_image(engine, node, image) for node in nodes_of(engine, name)):
            step.mark_cached()
            return
        _kind(engine, "load", "docker-image", "--name", name, image, log=_log(name))


def offer_gpus(handle: ClusterHandle, count: int = kindnodes.GPUS) -> list[str]:
    """Makes the nodes of a cluster of ours offer fake GPUs (see `kindnodes.offer_gpus`)."""
    if not handle.made_by_us:
        raise HarnessError(f"The nodes of {handle.context} are not ours to patch.")
    with Client(handle.kubeconfig) as client:
        return kindnodes.offer_gpus(client, count=count)


def audit_events(handle: ClusterHandle) -> Iterator[dict[str, Any]]:
    """What was asked of the API server since it started, in order; level Metadata.

    Of Kubernetes' own components nothing is kept: see kind/audit-policy.yaml.
    """
    engine = _engine_of(handle.name)
    if not handle.made_by_us or engine is None:
        raise HarnessError(
            f"The cluster of {handle.context} is not one of ours, so its audit log is not known."
        )
    # Oldest first; the API server begins another file now and then.
    command = f"ls -tr {AUDIT_FOLDER}/audit*.log | xargs cat"
    text = engine.output("exec", f"{handle.name}-control-plane", "sh", "-c", command)
    for line in text.split("\n")[:-1]:
        yield json.loads(line)


def kill(handle: ClusterHandle, pattern: str) -> None:
    """SIGKILL to the processes on the nodes whose command line matches a regular expression.

    Raises HarnessError when there are none.
    """
    engine = _engine_of(handle.name)
    if not handle.made_by_us or engine is None:
        raise HarnessError(f"The processes on the nodes of {handle.context} are not ours to kill.")
    # NB: with a bracket, so that a shell around it does not match itself.
    argv = ("pkill", "-KILL", "-f", f"[{pattern[0]}]{pattern[1:]}")
    nodes = nodes_of(engine, handle.name)
    killed = [engine.succeeds("exec", node, *argv) for node in nodes]
    if not any(killed):
        raise HarnessError(f"No process on {', '.join(nodes)} matches {pattern}.")


def kill_container(handle: ClusterHandle, container_id: str) -> None:
    """SIGKILL to all processes of one container, by the containerID in its pod's status."""
    name = container_id.rpartition("/")[2]
    run_on_nodes(
        handle,
        f"for found in $(grep -ls {name} /proc/[0-9]*/cgroup); do"
        ' pid="${found#/proc/}"; kill -KILL "${pid%/cgroup}" || true; done',
    )


def run_on_nodes(handle: ClusterHandle, script: str) -> None:
    """Runs a shell script on every node of ours. Raises HarnessError when it fails on one."""
    engine = _engine_of(handle.name)
    if not handle.made_by_us or engine is None:
        raise HarnessError(f"The nodes of {handle.context} are not ours to change.")
    for node in nodes_of(engine, handle.name):
        engine.run("exec", node, "sh", "-ec", script)


@contextlib.contextmanager
def frozen(handle: ClusterHandle, node: str) -> Iterator[None]:
    """A node of ours with all that runs on it stands still, as if it had died; afterwards it is back and Ready."""
    engine = _engine_of(handle.name)
    if not handle.made_by_us or engine is None:
        raise HarnessError(f"The nodes of {handle.context} are not ours to freeze.")
    engine.run("pause", node)
    try:
        yield
    finally:
        engine.run("unpause", node)
        with Client(handle.kubeconfig) as client:
            kindnodes.wait_ready(client, timeout=REVIVE_SECONDS)


def _name_in_kind(handle: ClusterHandle) -> str:
    """NB: kind calls its contexts kind-NAME; a cluster elsewhere may be called so too, but has no nodes here."""
    return handle.name if handle.made_by_us else handle.context.removeprefix("kind-")


def _engine_of(name: str) -> Engine | None:
    """The daemon that a cluster's nodes run in."""
    return next((engine for engine in docker.running() if nodes_of(engine, name)), None)


def handle_of(name: str) -> ClusterHandle:
    return ClusterHandle(name, _kubeconfig(name), context=f"kind-{name}", made_by_us=True)


def _others(name: str) -> list[str]:
    """Our other kind clusters; one that is about to be created has no container yet and needs the daemon."""
    names = cache.cluster_names()
    return [
        other for other in names if other != name and (cache.cluster_folder(other) / "kind.json").exists()
    ]


def _check_folder(name: str) -> None:
    folder = cache.cluster_folder(name)
    if folder.exists() and not (folder / "kind.json").exists() and any(folder.iterdir()):
        raise HarnessError(f"{folder} is another kind of cluster's: end that first, or take another name.")


def _claim(name: str) -> None:
    """Makes the cluster's folder, unless it is there, so that whatever comes after is known to be ours."""
    _check_folder(name)
    folder = cache.cluster_folder(name)
    if not _state(name).get("creating") and _engine_of(name):
        raise HarnessError(f"There is a kind cluster {name} that is not ours: take another name for ours.")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "kind.json").exists():
        cache.write_atomically(folder / "kind.json", json.dumps({"name": name}))


def _create(name: str, engine: Engine, image: NodeImage, plan: dict[str, Any]) -> None:
    _claim(name)
    folder = cache.cluster_folder(name)
    volumes = folder / "volumes"
    volumes.mkdir()
    pods, services = free_networks(routed_networks(Path("/proc/net/route").read_text()))
    policy = folder / "audit-policy.yaml"
    policy.write_text(AUDIT_POLICY.read_text())
    config = folder / "kind.yaml"
    config.write_text(
        yaml.safe_dump(
            configuration(
                nodes=plan["nodes"],
                image=image,
                audit_policy=policy,
                volumes=volumes,
                pods=pods,
                services=services,
            )
        )
    )
    # NB: before there is a container, so that those of a run that dies from here on are known to be ours.
    state = {"name": name, "creating": True}
    cache.write_atomically(folder / "kind.json", json.dumps(state))
    if engine.ours and not engine.succeeds("network", "inspect", NETWORK):
        # NB: kind's own would have IPv6 and turn on forwarding on every interface.
        name_of_bridge = f"com.docker.network.bridge.name={dockerd.bridge()}"
        engine.run("network", "create", "--opt", name_of_bridge, NETWORK)
    if engine.ours and (warning := machine.too_few_inotify_instances()):
        console.say(warning)
    with console.step(f"Creating the kind cluster {name}, {plan['nodes']} node(s)"):
        words = creation(name=name, image=image, config=config, kubeconfig=_kubeconfig(name))
        _kind(engine, *words, log=_log(name), timeout=CREATE_SECONDS)
    with console.step("Waiting for its nodes and system pods"):
        _settle(name, engine, image, timeout=READY_SECONDS)
    cache.write_atomically(folder / "kind.json", json.dumps({**state, "plan": plan}))


def _settle(name: str, engine: Engine, image: NodeImage, *, timeout: float) -> None:
    """Brings a cluster whose containers run to where `up` leaves it. Raises HarnessError."""
    with Client(_kubeconfig(name)) as client:
        try:
            _wait_for_api(client, timeout=timeout)
            if image.home_made:
                kindnodes.connect(client, engine)
            kindnodes.open_control_plane(client)
            kindnodes.prepare_system(client)
            # NB: after the system's pods were made to tolerate the taint, for they are not scheduled yet.
            kindnodes.offer_gpus(client)
            kindnodes.wait_ready(client, timeout=timeout)
        except TimeoutError as error:
            raise HarnessError(
                f"The cluster {name} does not get ready: {error}; see {_log(name)}."
            ) from error


def _revive(name: str, engine: Engine, image: NodeImage) -> bool:
    """Whether the cluster that is there is, or again becomes, what `up` would make."""
    names = nodes_of(engine, name)
    if not names or not _kubeconfig(name).exists():
        return False
    with console.step(f"Checking the kind cluster {name}") as step:
        try:
            for node in names:
                kindcontainers.wake(engine, node)
            _settle(name, engine, image, timeout=REVIVE_SECONDS)
        except (HarnessError, ApiError, OSError) as error:
            step.say(f"it has to be made anew ({str(error).splitlines()[0]})")
            return False
        step.mark_cached()
        return True


def _wait_for_api(client: Client, *, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            client.text("/readyz")
            return
        except (ApiError, OSError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API server does not answer: {error}") from error
            time.sleep(0.5)


def _delete_nodes(name: str, engine: Engine) -> None:
    """Deletes a cluster of ours from a daemon; one of the same name that is not ours stays."""
    if not _state(name).get("creating"):
        return
    # A kind whose harness was killed goes on creating, by `docker run`.
    label = f"{kindcontainers.CLUSTER_LABEL}={name}"
    machine.kill(machine.processes_of("kind", str(_kubeconfig(name))) + machine.processes_of("docker", label))
    deadline = time.monotonic() + DELETE_SECONDS
    while names := nodes_of(engine, name):
        with console.step(f"Deleting the kind cluster {name}"):
            for node in names:
                # NB: Docker does not end what is paused.
                engine.succeeds("unpause", node)
            # What a killed kind has left, and another would wait for.
            _kubeconfig(name).with_name("kubeconfig.yaml.lock").unlink(missing_ok=True)
            words = ("delete", "cluster", "--name", name, "--kubeconfig", _kubeconfig(name))
            _kind(engine, *words, log=_log(name), timeout=DELETE_SECONDS)
        # Else one more time: a container may have come, or gone, meanwhile.
        if time.monotonic() > deadline and nodes_of(engine, name):
            raise console.failure(f"The nodes of {name} cannot be removed", docker.default_log())


def _kind(engine: Engine, *words: str | Path, log: Path, timeout: float | None = None) -> None:
    kind = binaries.ensure("kind")["kind"]
    console.run(
        [kind, *words], log=log, env={**engine.environment, "KUBECONFIG": "/dev/null"}, timeout=timeout
    )


def _state(name: str) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((cache.cluster_folder(name) / "kind.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return state


def _kubeconfig(name: str) -> Path:
    return cache.cluster_folder(name) / "kubeconfig.yaml"


def _log(name: str) -> Path:
    return cache.root() / "logs" / f"kind-{name}.log"
