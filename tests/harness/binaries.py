"""The programs that clusters are made of: which there are, and how each is had.

Separate so that a caller says `ensure("kube-apiserver", "etcd")` and knows nothing of downloads and Go.
For each program in turn: a usable one on PATH (kubectl, helm and kind only), one in the cache, the
released one, else one built from `modules/`. Called by the control plane, the node image and kind.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache, console, gobuild, released
from tests.harness.errors import HarnessError


@dataclass(frozen=True)
class Program:
    """A main package of a module; `group` names what is wanted together and so is built together.

    `dependency` is what its version is that of; empty for a program of our own.
    """

    name: str
    group: str
    module: str
    dependency: str
    package: str
    release: released.Release | None = None


@dataclass(frozen=True)
class OnPath:
    """What a program found on PATH must say of its version to be used."""

    arguments: tuple[str, ...]
    minimum: tuple[int, int]
    below: tuple[int, int] = (1000, 0)


def _kubernetes(name: str, group: str) -> Program:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Program(name, group, "kubernetes", "k8s.io/kubernetes", package, released.KUBERNETES)


_COREDNS = "github.com/coredns/coredns"
_ETCD = "go.etcd.io/etcd/server/v3"
_COSCHEDULING = "trainyard.dev/harness/coscheduling"
_PLUGINS = "sigs.k8s.io/scheduler-plugins"
_VERSITYGW = "github.com/versity/versitygw"
_FAKE_GCS = "github.com/fsouza/fake-gcs-server"
_DISTRIBUTION = "github.com/distribution/distribution/v3"

PROGRAMS = {
    program.name: program
    for program in (
        _kubernetes("kube-apiserver", "control-plane"),
        _kubernetes("kube-controller-manager", "control-plane"),
        _kubernetes("kube-scheduler", "control-plane"),
        _kubernetes("kubectl", "control-plane"),
        _kubernetes("kubelet", "node"),
        _kubernetes("kubeadm", "node"),
        _kubernetes("kube-proxy", "node"),
        Program("coredns", "node", "kubernetes", _COREDNS, _COREDNS),
        Program("helm", "helm", "kubernetes", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm"),
        Program("etcd", "etcd", "etcd", _ETCD, _ETCD, released.ETCD),
        Program("kind", "kind", "kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind", released.KIND),
        Program("kwok", "kwok", "kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Program("coscheduling", "coscheduling", "coscheduling", _PLUGINS, _COSCHEDULING),
        Program("versitygw", "versitygw", "versitygw", _VERSITYGW, f"{_VERSITYGW}/cmd/versitygw"),
        Program("fake-gcs-server", "fake-gcs-server", "fake-gcs", _FAKE_GCS, _FAKE_GCS),
        Program("rclone", "rclone", "rclone", "github.com/rclone/rclone", "trainyard.dev/harness/rclone"),
        Program(
            "registry", "distribution", "distribution", _DISTRIBUTION, "trainyard.dev/harness/distribution"
        ),
        Program("podlogs", "podlogs", "podlogs", "", "trainyard.dev/harness/podlogs"),
    )
}

ON_PATH = {
    "kubectl": OnPath(("version", "--client"), minimum=(1, 33)),
    "helm": OnPath(("version", "--short"), minimum=(3, 0), below=(4, 0)),
    "kind": OnPath(("version",), minimum=(0, 33)),
}


def ensure(*names: str, exact: bool = False) -> dict[str, Path]:
    """The programs' paths by name, made where they are missing.

    With `exact` they are of the versions in `modules/`, never what happens to be on PATH (for the node
    image). Raises HarnessError if a program can neither be downloaded nor built.
    """
    paths: dict[str, Path] = {}
    for name in names:
        own = None if exact else on_path(name)
        if own:
            paths[name] = own
    missing = [name for name in names if name not in paths and not _cached(name).exists()]
    if missing:
        _make(missing)
    return {name: paths.get(name) or _cached(name) for name in names}


def version(name: str) -> str:
    """The version of a program that we make ("v1.34.4" for kubectl)."""
    program = PROGRAMS[name]
    if not program.dependency:
        return "our own"
    return gobuild.module_version(program.module, program.dependency)


def architecture() -> str:
    """This machine's architecture as Go and image names spell it: "amd64" or "arm64"."""
    machine = os.uname().machine
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if sys.platform != "linux" or machine not in names:
        raise HarnessError(
            f"Clusters of our own need Linux on amd64 or arm64, and this is {sys.platform} on {machine}:"
            " use CLUSTER=context:NAME with a cluster that you have."
        )
    return names[machine]


@functools.cache
def on_path(name: str) -> Path | None:
    """The user's own program, if its version will do."""
    wanted = ON_PATH.get(name)
    found = shutil.which(name)
    if wanted is None or found is None:
        return None
    try:
        answer = subprocess.run(
            [found, *wanted.arguments], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v(\d+)\.(\d+)\.\d+", answer.stdout)
    if match is None or not wanted.minimum <= (int(match[1]), int(match[2])) < wanted.below:
        return None
    return Path(found)


def _ldflags(module: str) -> list[str]:
    flags = ["-s", "-w"]
    if module == "kubernetes":
        number = gobuild.module_version(module, "k8s.io/kubernetes")
        major, minor, _ = number.removeprefix("v").split(".", 2)
        variable = "-X k8s.io/component-base/version"
        flags += [f"{variable}.gitVersion={number}"]
        flags += [f"{variable}.gitMajor={major}", f"{variable}.gitMinor={minor}"]
    return flags


@functools.cache
def _cached(name: str) -> Path:
    program = PROGRAMS.get(name)
    if program is None:
        raise HarnessError(f"No program {name!r}; there are {', '.join(PROGRAMS)}.")
    flags = " ".join(_ldflags(program.module))
    inputs = gobuild.module_inputs(program.module)
    return cache.entry("bin", cache.digest_of(name, architecture(), flags, *inputs)) / name


def _make(names: Iterable[str]) -> None:
    groups = {PROGRAMS[name].group for name in names}
    wanted = [program for program in PROGRAMS.values() if program.group in groups]
    for module in sorted({program.module for program in wanted}):
        # NB: one lock for a module, not one for each program, since they come from one build.
        with cache.lock(cache.root() / "bin" / f".{module}.lock"):
            missing = [
                program
                for program in wanted
                if program.module == module and not _cached(program.name).exists()
            ]
            if missing:
                _make_of_module(module, missing)


def _make_of_module(module: str, programs: list[Program]) -> None:
    folder = cache.root() / "bin" / f".{module}.tmp"
    cache.remove_tree(folder)
    folder.mkdir()
    try:
        sources: dict[str, str] = {}
        for program in programs:
            if program.release and (url := _download(program, folder / program.name)):
                sources[program.name] = url
        to_build = {program.name: program.package for program in programs if program.name not in sources}
        if to_build:
            log = cache.root() / "logs" / f"build-{module}.log"
            log.unlink(missing_ok=True)
            gobuild.build(module, to_build, ldflags=_ldflags(module), folder=folder, log=log)
        for program in programs:
            source = sources.get(program.name, f"built from modules/{module}, {program.package}")
            _publish(program, folder / program.name, f"{version(program.name)}\n{source}\n")
    finally:
        cache.remove_tree(folder)


def _download(program: Program, target: Path) -> str | None:
    assert program.release is not None
    number = version(program.name)
    return released.download(
        program.release, name=program.name, version=number, arch=architecture(), target=target
    )


def _publish(program: Program, made: Path, origin: str) -> None:
    def fill(folder: Path) -> None:
        made.rename(folder / program.name)
        (folder / "ORIGIN").write_text(origin)

    cache.built("bin", _cached(program.name).parent.name, fill)


def main() -> None:
    """`python -m tests.harness.binaries NAME...`: makes programs and prints their paths."""
    try:
        for name, path in ensure(*(sys.argv[1:] or PROGRAMS)).items():
            print(name, path)
    except HarnessError as error:
        console.complain(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
