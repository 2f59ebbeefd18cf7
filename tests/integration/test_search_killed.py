"""A search is the same search, wherever its operator is killed and whatever catalogue the next one has: the same
trials, each run once, the same winner.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.harness import operator as operators
from tests.harness.client import Client, Json
from tests.harness.controlplane import ControlPlane
from tests.integration.experiments import Experiments, searched, step
from tests.objects import found

pytestmark = pytest.mark.timeout(420)

KILLS = 20
SEED = 9
SPACE = [
    {"name": "x", "type": "float", "min": "1e-4", "max": "1", "log": True},
    {"name": "depth", "type": "int", "min": "1", "max": "32"},
]
HYPERBAND: Json = {
    "algorithm": "hyperband",
    "maxResource": 9,
    "nu": 3,
    "parallelism": 3,
    "seed": SEED,
    "space": SPACE,
    "epochsParameter": "epochs",
}


def begin(experiments: Experiments, *, run_for: str) -> None:
    experiments.begin(
        "bands",
        run_for=run_for,
        fake={"accuracy-of": "x"},
        objective={"metric": "accuracy", "goal": "Maximize"},
        automl=HYPERBAND,
        actions=[step("train"), step("evaluate", "train")],
    )


def trials(experiments: Experiments) -> dict[str, Json]:
    """What each run of a trial was made with, by its name."""
    runs = experiments.children("bands")
    return {
        name: {
            **searched(job),
            "epochs": job["spec"]["parameters"]["epochs"],
            "after": job["spec"].get("parentJob"),
        }
        for name, job in runs.items()
        if "trainyard.dev/trial" in job["metadata"]["labels"]
    }


def created(plane: ControlPlane, namespace: str, resource: str) -> Counter[str]:
    """Names of what the operator has created, as the API server has it."""
    names: Counter[str] = Counter()
    for line in plane.audit_log.read_text().splitlines():
        event = json.loads(line)
        ref = event.get("objectRef") or {}
        if (
            event["user"]["username"] == operators.USER
            and (event["verb"], ref.get("resource"), ref.get("namespace")) == ("create", resource, namespace)
            and event["responseStatus"]["code"] == 201
        ):
            names[ref["name"]] += 1
    return names


def test_killed_twenty_times_it_finds_what_it_finds_undisturbed(
    plane: ControlPlane, experiments: Experiments, admin: Client
) -> None:
    admin.post("/api/v1/namespaces", {"metadata": {"name": "undisturbed"}})
    calm = Experiments(admin, "undisturbed")
    begin(calm, run_for="200ms")
    begin(experiments, run_for="3s")
    moments = random.Random(SEED)
    ours = {"namespaces": [experiments.namespace]}
    # Beside each other, each with an operator for its namespace, as both of them wait most of the time.
    with operators.running(plane, name="calm", settings={"namespaces": [calm.namespace]}):
        for number in range(KILLS):
            with operators.running(plane, name="killed", settings=ours, wait=False) as one:
                time.sleep(moments.uniform(1.0, 3.0))
                one.stop(grace=0)
            if number == KILLS - 1:
                assert experiments.told("bands").get("phase") != "Done", "it was under way at every kill"
        found = calm.comes_to("bands", "Done", timeout=120)
    wanted = trials(calm)
    assert len(wanted) == 22
    with operators.running(plane, name="last", settings=ours):
        status = experiments.comes_to("bands", "Done", timeout=120)

    assert trials(experiments) == wanted
    best, same = found["automl"]["bestTrial"], status["automl"]["bestTrial"]
    assert (same["number"], same["rung"], same["value"]) == (best["number"], best["rung"], best["value"])
    ranks = [[trial["number"] for trial in one["automl"]["topTrials"]] for one in (found, status)]
    assert ranks[0] == ranks[1]
    pods = {pod["metadata"]["name"] for pod in experiments.pods()}
    assert pods == {f"{name}-0-0" for name in (*wanted, "bands-evaluate")}, "one pod for each run"
    for resource in ("pods", "trainingjobs"):
        # NB: of a request whose client was killed the log need not have an answer, so a name may be missing there.
        assert set(created(plane, experiments.namespace, resource).values()) == {1}, (
            f"none of its {resource} twice"
        )


def write_catalogue(folder: Path, *, metric: str, **tunable: float) -> None:
    """An entry that says up to where each of these parameters can be tuned."""
    ranges = {name: {"type": "float", "min": 0.0, "max": most} for name, most in tunable.items()}
    train = {"command": ["train"], "epochs": "epochs", "tunable": ranges}
    entry = {"name": "ours", "image": "example.com/trainer:1", "architectures": ["resnet50"]}
    entry |= {"metrics": [metric], "actions": {"train": train}}
    (folder / "ours.yaml").write_text(yaml.safe_dump(entry))


def test_an_operator_with_another_catalogue_goes_on_with_what_was_begun(
    plane: ControlPlane, experiments: Experiments, tmp_path: Path
) -> None:
    settings = {"namespaces": [experiments.namespace], "catalogFolders": [str(tmp_path)]}
    write_catalogue(tmp_path, metric="accuracy", x=1.0)
    with operators.running(plane, name="before", settings=settings):
        experiments.begin(
            "range",
            run_for="2s",
            fake={"accuracy-of": "x"},
            job={"architecture": "resnet50"},
            automl={"algorithm": "random", "maxRecommendations": 6, "parallelism": 2, "seed": SEED},
            actions=[step("train")],
        )
        found(
            lambda: experiments.told("range").get("automl", {}).get("ledger"),
            what="a trial's end",
            timeout=60,
        )
    begun, jobs = experiments.told("range")["automl"], experiments.children("range")
    assert len(begun["ledger"]) < 6, "it is under way"
    assert begun["space"] == [{"name": "x", "type": "float", "min": "0.0", "max": "1.0"}]

    write_catalogue(tmp_path, metric="rmse", x=900.0, y=1.0)
    with operators.running(plane, name="after", settings=settings):
        status = experiments.comes_to("range", "Done", timeout=120)
        experiments.edit("range", automl={"maxRecommendations": 8})
        status = experiments.comes_to("range", "Done", timeout=60)

    same = ("digest", "specDigest", "space", "seed", "metric", "goal")
    assert {key: status["automl"].get(key) for key in same} == {key: begun.get(key) for key in same}
    assert status["automl"]["trials"]["succeeded"] == 8
    assert status["keyMetric"]["name"] == "accuracy"
    ended = experiments.children("range")
    assert all(ended[name]["metadata"]["uid"] == job["metadata"]["uid"] for name, job in jobs.items())
    drawn = [searched(job) for job in ended.values()]
    assert [set(one) for one in drawn] == [{"x"}] * 8
    assert all(float(one["x"]) <= 1 for one in drawn)
    assert set(created(plane, experiments.namespace, "trainingjobs").values()) == {1}
