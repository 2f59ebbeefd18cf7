"""Who is measured: the ceiling `bare`, the same writes without an operator, our operator, and any other by a file.

Separate because scenarios treat all of them alike: a script for the loader, what the observer watches, and a program
that may have to run meanwhile. `docs/performance.md` describes the file of another operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench import command, rig, sample
from tests.bench.loader import NAME, Request
from tests.bench.observer import Ends
from tests.bench.sample import NAMESPACE
from tests.harness.controlplane import ControlPlane

PODS = "/api/v1/namespaces/{namespace}/pods"
Pids = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to bring jobs to their end.

    `last` are the entries of the journals that each job must have: `ended` (its pod), `done`, `written`. `program` runs
    what it needs and gives its processes by label; the first is `operator`, whose CPU and memory are reported.
    """

    name: str
    script: Callable[[sample.Sample], tuple[Request, ...]]
    last: tuple[str, ...]
    label: str = "trainyard.dev/job"
    objects: str | None = None
    ends: Ends | None = None
    user: str = rig.LOADER
    program: Callable[[ControlPlane, Mapping[str, Any]], AbstractContextManager[Pids]]


@contextmanager
def _nothing(plane: ControlPlane, settings: Mapping[str, Any]) -> Iterator[Pids]:
    yield {}


@contextmanager
def _trainyard(plane: ControlPlane, settings: Mapping[str, Any]) -> Iterator[Pids]:
    with rig.operator(plane, settings=settings) as operator:
        yield {"operator": operator.daemon.pid}


#: Of a TrainingJob.
ENDS = Ends(
    path=".status.phase",
    done=("Done",),
    failed=("Error", "Canceled"),
    hints=('"phase":"Done"', '"phase":"Error"', '"phase":"Canceled"'),
)

BARE = Contender(name="bare", script=lambda found: (found.pod,), last=("ended",), program=_nothing)
WRITES = Contender(
    name="writes",
    script=lambda found: (found.job, *found.operator),
    last=("ended", "written"),
    program=_nothing,
)
TRAINYARD = Contender(
    name="trainyard",
    script=lambda found: (found.job,),
    last=("done",),
    objects=sample.JOBS,
    ends=ENDS,
    user="trainyard-operator",
    program=_trainyard,
)
OWN = (BARE, WRITES, TRAINYARD)


def from_file(path: Path) -> Contender:
    """An operator that a YAML file describes. Paths in it are relative to its folder."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    folder = path.parent
    programs = [
        command.Command(
            name=one["name"],
            argv=tuple(map(str, one["command"])),
            environment=one.get("environment") or {},
            files=one.get("files") or {},
            ready=one.get("ready"),
        )
        for one in raw["programs"]
    ]
    manifests = [folder / one for one in raw.get("manifests") or []]

    collection = str(raw["collection"]).replace("{namespace}", NAMESPACE)

    @contextmanager
    def run(plane: ControlPlane, settings: Mapping[str, Any]) -> Iterator[Pids]:
        with plane.client() as client:
            for manifest in manifests:
                for thing in yaml.safe_load_all(manifest.read_text(encoding="utf-8")):
                    client.apply(thing)
        if manifests:
            rig.make_known(plane, collection.rpartition("/")[2])
        kubeconfig = plane.kubeconfig(rig.CONTENDER)
        with ExitStack() as stack:
            daemons = [
                stack.enter_context(command.running(plane, one, kubeconfig=kubeconfig)) for one in programs
            ]
            names = ["operator", *(one.name for one in programs[1:])]
            yield {name: daemon.pid for name, daemon in zip(names, daemons, strict=True)}

    body = str(raw["body"]).replace("{name}", NAME).replace("{namespace}", NAMESPACE)
    ends = raw["ends"]
    return Contender(
        name=raw["name"],
        script=lambda _: (sample.post(collection, yaml.safe_load(body)),),
        last=("done",),
        label=raw["podLabel"],
        objects=collection,
        ends=Ends(
            path=ends["path"],
            done=tuple(map(str, ends["done"])),
            failed=tuple(map(str, ends.get("failed") or ())),
            hints=tuple(map(str, ends.get("hints") or ())),
        ),
        user=rig.CONTENDER,
        program=run,
    )
