"""The bench itself, small: whether its figures are there and make sense. What they say is not judged here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.bench import contenders, figures, rig, sample, trial
from tests.bench.contenders import Contender
from tests.bench.sample import Sample
from tests.bench.scenarios import steady
from tests.bench.trial import Load
from tests.harness.controlplane import ControlPlane

pytestmark = pytest.mark.timeout(180)

JOBS = 20


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with rig.cluster(f"test-bench-{os.getpid()}", audit=True, nodes=4) as plane:
        yield plane


@pytest.fixture(scope="module")
def found(plane: ControlPlane) -> Sample:
    return sample.sample(plane)


def ours_by_a_command_line(plane: ControlPlane, folder: Path) -> Contender:
    """Our operator, described as any other would be."""
    command = sample.our_operator(plane, "by-command-line")
    description = {
        "name": "by-command-line",
        "programs": [
            {
                "name": command.name,
                "command": list(command.argv),
                "files": dict(command.files),
                "ready": command.ready,
            }
        ],
        "collection": sample.JOBS.replace(sample.NAMESPACE, "{namespace}"),
        "body": sample.job().body.replace("@NAME@", "{name}"),
        "podLabel": "trainyard.dev/job",
        "ends": {"path": "{.status.phase}", "done": ["Done"], "failed": ["Error"]},
    }
    file = folder / "contender.yaml"
    file.write_text(yaml.safe_dump(description), encoding="utf-8")
    return contenders.from_file(file)


def test_a_burst_of_each_contender_has_all_its_figures(
    plane: ControlPlane, found: Sample, tmp_path: Path
) -> None:
    # NB: in one cluster, which is quicker; real rounds never share one.
    rounds = {}
    for one in (*contenders.OWN, ours_by_a_command_line(plane, tmp_path)):
        load = Load(jobs=JOBS, namespace=f"burst-{one.name}")
        if one is contenders.TRAINYARD:
            done = steady.with_callbacks(plane, one, load, found)
        else:
            done = trial.run(plane, one, load, found)
        figure = rounds[one.name] = figures.of_trial(done)
        assert len(done.times["ended"]) == JOBS
        assert min(done.times.seconds("created", "ended").values()) > 0.9, "a pod runs for a second"
        assert 0 < figure["jobsPerSecond"] < JOBS
        assert 0 < figure["applyToPod"]["p50Ms"] <= figure["applyToPod"]["p99Ms"]
        assert figure["cpuMsPerJob"]["kube-apiserver"] > 0
        assert 0 <= figure["othersShare"] <= 1
        assert "throttled" not in figure
        assert ("operator" in figure["cpuMsPerJob"]) == ("done" in one.last)
        posts = len(one.script(found))
        assert figure["requestsPerJob"]["requests/bench-loader"] == posts
    assert rounds["trainyard"]["podEndedToDone"]["count"] == JOBS
    assert rounds["trainyard"]["podEndedToCallback"]["count"] == JOBS
    assert rounds["by-command-line"]["memoryMiB"]["highest"] > 10
    assert rounds["trainyard"]["requestsPerJob"]["requests/trainyard-operator"] > 4
    ratio = figures.compared([rounds["trainyard"]], [rounds["bare"]], ["jobsPerSecond"])
    assert 0 < ratio["jobsPerSecond"]["median"] < 10
