"""The cluster that the bench measures on, and the operator in it with the settings that the chart installs.

Separate because every scenario starts from it. The control plane is a real one, fresh for each run; KWOK plays the
kubelets of GPU nodes: a pod is Running at once and ends by itself after its annotation's time. Each of the programs
that we start has a user and a FlowSchema of its own, so that the API server itself counts its requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.harness import binaries, cache, chart, console, controlplane, kwok, processes
from tests.harness import operator as operators
from tests.harness.client import Client, Json, wait_for
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.operator import Operator

#: What each fake pod prints, as the operator follows logs by default.
LOG_LINES = Path(__file__).with_name("log_lines.txt")
LOADER, OBSERVER, CONTENDER = "bench-loader", "bench-observer", "bench-contender"
#: Where the requests of each user queue: those of ours never; an operator's with those of all service accounts, as in
#: any cluster.
PRIORITY_LEVELS = {
    LOADER: "exempt",
    OBSERVER: "exempt",
    CONTENDER: "workload-low",
    operators.USER: "workload-low",
}
#: Four times the defaults, so that the API server turns no request away.
FLAGS = {
    "kube-apiserver": ["--max-requests-inflight=1600", "--max-mutating-requests-inflight=800"],
}
_ADMINS = (LOADER, OBSERVER, CONTENDER)
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "podlogs")


@contextmanager
def cluster(
    name: str, *, audit: bool = False, nodes: int = 50, gpus: int = 64, logs: Path = LOG_LINES
) -> Iterator[ControlPlane]:
    """A fresh control plane with `nodes` fake nodes of `gpus` GPUs each; it ends with the block.

    Each pod has a log: the lines of the file `logs`.
    """
    config = ControlPlaneConfig(controller_manager=True, scheduler=True, audit=audit, flags=FLAGS)
    with controlplane.running(name, config) as plane:
        prepare(plane, nodes=nodes, gpus=gpus, logs=logs)
        yield plane


def prepare(plane: ControlPlane, *, nodes: int = 50, gpus: int = 64, logs: Path = LOG_LINES) -> None:
    """What the bench needs in a control plane: CRDs, permissions, FlowSchemas, nodes."""
    operators.install(plane)
    with plane.client() as client:
        for user in _ADMINS:
            client.apply(_admin(user))
        for user, level in PRIORITY_LEVELS.items():
            client.apply(_flow_schema(user, level))
        _install_status_server(client)
    kwok.start(plane, logs=logs)
    kwok.add_nodes(plane, nodes, gpus=gpus)
    make_known(plane, "trainingjobs")


def make_known(plane: ControlPlane, resource: str) -> None:
    """Waits until the garbage collector watches a resource whose CRD is new.

    NB: it looks for new ones twice a minute, and until then asks for the owner of each pod, again and again. At its
    start it looks at once.
    """
    plane.restart_program("kube-controller-manager", grace=0)
    watch = re.compile(
        rf'^apiserver_longrunning_requests{{.*resource="{resource}".*verb="WATCH".*}} [1-9]', re.MULTILINE
    )
    with plane.client() as client:
        wait_for(
            lambda: watch.search(client.text("/metrics")) is not None,
            what=f"the garbage collector to watch {resource}",
        )


def make_namespace(plane: ControlPlane, name: str) -> None:
    """Makes a namespace, if it is not there, and waits until pods can be made in it."""
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    with plane.client() as client:
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        wait_for(lambda: client.find(account) is not None, what=f"the service account of {name}")


@contextmanager
def operator(
    plane: ControlPlane, *, name: str = "operator", settings: Mapping[str, Any] | None = None
) -> Iterator[Operator]:
    """Our operator with the chart's default settings, but for where it listens and keeps logs.

    `settings` go over them, key by key.
    """
    with operators.running(plane, name=name, settings=chart_settings(plane, name, settings)) as running:
        yield running


def chart_settings(plane: ControlPlane, name: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings that the chart installs by default, for a process of this machine; `endpoint` is the harness's."""
    settings = yaml.safe_load(_templates("configmap.yaml")[0]["data"]["settings.yaml"])
    folder = plane.layout.folder / "operators" / f"{name}-logs"
    here = {
        "statusServer": {"address": "127.0.0.1", "port": processes.free_ports(1)[0]},
        "logs": {"store": folder.as_uri()},
    }
    return chart.merged(chart.merged(settings, here), more or {})


def pids(plane: ControlPlane) -> dict[str, int]:
    """The control plane's own programs that run."""
    found = {program: processes.find(plane.layout.pidfile(program)) for program in _PROGRAMS}
    return {program: daemon.pid for program, daemon in found.items() if daemon is not None}


def _install_status_server(client: Client) -> None:
    """The chart's Secret and Role in its own namespace, which the operator keeps its certificate in."""
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": chart.NAMESPACE}})
    for thing in _templates("status-server.yaml"):
        if thing["kind"] == "RoleBinding":
            thing["subjects"] = [_user(operators.USER)]
        client.apply(thing)


def _templates(file: str) -> list[Json]:
    """What the chart renders from one of its templates with the default values."""
    helm = binaries.ensure("helm")["helm"]
    argv = [str(helm), "template", chart.RELEASE, str(chart.CHART), f"--namespace={chart.NAMESPACE}"]
    words = ["--kube-version=1.34.4", f"--show-only=templates/{file}"]
    text = console.capture([*argv, *words], log=cache.root() / "helm-template.log")
    return [one for one in yaml.safe_load_all(text) if one]


def _user(name: str) -> Json:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


def _admin(user: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"admin-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [_user(user)],
    }


def _flow_schema(user: str, level: str) -> Json:
    rules = {
        "subjects": [{"kind": "User", "user": {"name": user}}],
        "resourceRules": [
            {
                "verbs": ["*"],
                "apiGroups": ["*"],
                "resources": ["*"],
                "namespaces": ["*"],
                "clusterScope": True,
            }
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": user},
        "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": 50,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [rules],
        },
    }
