"""A search on fake nodes: what it starts, what it counts, what stops it, and what survives people's hands.

A fake trial's accuracy is its parameter `x`; its parameter `ends` may be crash, nan or silent.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.harness.client import Json
from tests.integration.experiments import Experiments, condition, searched, step, uids
from tests.integration.posting import Post
from tests.objects import found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

X: Json = {"name": "x", "type": "float", "min": "0", "max": "1"}
OBJECTIVE: Json = {"metric": "accuracy", "goal": "Maximize"}
ENDS: Json = {"name": "ends", "type": "categorical", "values": ["good", "crash", "nan", "silent"]}
SETTLED_SECONDS = 4.0


def choice(*values: str) -> Json:
    """The parameter x as one of these, in this order."""
    return {"name": "x", "type": "categorical", "values": list(values)}


def search(
    experiments: Experiments, name: str, *, run_for: str | None = "200ms", after: bool = False, **automl: Any
) -> None:
    """POST an Experiment whose step `train` is tuned; `automl` in camelCase. With `after` a step follows."""
    objective = {**OBJECTIVE, **automl.pop("objective", {})}
    settings = {"algorithm": "random", "space": [X], "epochsParameter": "epochs", "seed": 7, **automl}
    actions = [step("train"), *([step("evaluate", "train")] if after else [])]
    experiments.begin(
        name,
        run_for=run_for,
        fake={"accuracy-of": "x"},
        objective=objective,
        automl=settings,
        actions=actions,
    )


def trials(experiments: Experiments, name: str) -> dict[str, Json]:
    return {n: job for n, job in experiments.children(name).items() if is_trial(job)}


def is_trial(job: Json) -> bool:
    return "trainyard.dev/trial" in job["metadata"]["labels"]


def running(experiments: Experiments, name: str, count: int, *, timeout: float = 40) -> dict[str, Json]:
    """The trials, once so many run."""

    def there() -> dict[str, Json] | None:
        now = trials(experiments, name)
        up = [job for job in now.values() if job["status"].get("reason") == "Training"]
        return now if len(up) == count else None

    return dict(found(there, what=f"{count} running trials", timeout=timeout))


def ledger(status: Json) -> dict[tuple[int, int], tuple[str, str | None]]:
    """State and value of each ended run, by number and rung."""
    entries = status["automl"].get("ledger") or []
    found = {(e["number"], e.get("rung", 0)): (e["state"], e.get("value")) for e in entries}
    assert len(found) == len(entries), "an entry for each run"
    return found


class TestWhatRuns:
    def test_each_trial_is_a_job_of_its_own_and_the_best_is_handed_on(self, experiments: Experiments) -> None:
        search(experiments, "draws", maxRecommendations=8, parallelism=4, after=True)
        done = experiments.comes_to("draws", "Done", timeout=60)
        runs = trials(experiments, "draws")
        assert set(runs) == {f"draws-t{number}-r0" for number in range(8)}
        values = {}
        for job in runs.values():
            parameters = searched(job)
            assert job["spec"]["parameters"]["x"] == float(parameters["x"])
            values[int(job["metadata"]["labels"]["trainyard.dev/trial"])] = float(parameters["x"])
        assert len(set(values.values())) == 8
        best = max(values, key=lambda number: values[number])
        told = done["automl"]
        assert (told["trials"]["total"], told["trials"]["succeeded"]) == (8, 8)
        assert told["bestTrial"]["number"] == best
        assert float(told["bestTrial"]["value"]) == pytest.approx(values[best])
        assert [trial["number"] for trial in told["topTrials"]] == sorted(
            values, key=lambda number: -values[number]
        )
        assert {number: float(value or "nan") for (number, _), (_, value) in ledger(done).items()} == (
            pytest.approx(values)
        )
        assert done["keyMetric"]["name"] == "accuracy"
        assert done["steps"][0]["job"] == f"draws-t{best}-r0"
        assert experiments.get("draws-evaluate")["spec"]["parentJob"] == f"draws-t{best}-r0"

    def test_the_same_seed_draws_the_same_and_another_seed_does_not(self, experiments: Experiments) -> None:
        for name, seed, parallelism in (("one", 7, 1), ("same", 7, 5), ("other", 8, 5)):
            search(experiments, name, maxRecommendations=5, parallelism=parallelism, seed=seed)
        drawn = {}
        for name in ("one", "same", "other"):
            experiments.comes_to(name, "Done", timeout=60)
            runs = trials(experiments, name)
            drawn[name] = [searched(runs[f"{name}-t{number}-r0"]) for number in range(5)]
        assert drawn["one"] == drawn["same"]
        assert drawn["one"] != drawn["other"]

    def test_no_more_run_at_once_than_may(self, experiments: Experiments) -> None:
        search(experiments, "few", run_for=None, maxRecommendations=6, parallelism=2)
        running(experiments, "few", 2)
        time.sleep(SETTLED_SECONDS)
        assert len(trials(experiments, "few")) == 2
        status = experiments.told("few")
        assert status["automl"]["trials"]["running"] == 2
        assert status["progress"]["summary"] == "0/6"

    def test_a_grid_has_each_point_once(self, experiments: Experiments) -> None:
        grid = [choice("0.1", "0.9"), {"name": "deep", "type": "bool"}]
        search(experiments, "grid", algorithm="grid", space=grid, parallelism=4, maxRecommendations=20)
        experiments.comes_to("grid", "Done", timeout=60)
        points = [searched(job) for job in trials(experiments, "grid").values()]
        assert sorted((p["x"], p["deep"]) for p in points) == [
            ("0.1", "false"),
            ("0.1", "true"),
            ("0.9", "false"),
            ("0.9", "true"),
        ]

    def test_hyperband_runs_the_brackets_and_the_best_of_a_rung_go_on(self, experiments: Experiments) -> None:
        search(experiments, "bands", algorithm="hyperband", maxResource=9, nu=3, parallelism=8)
        done = experiments.comes_to("bands", "Done", timeout=90)
        runs = trials(experiments, "bands")
        table = [(r["bracket"], r["rung"], r["configurations"], r["epochs"]) for r in done["automl"]["rungs"]]
        assert table == [(2, 0, 9, 1), (2, 1, 3, 3), (2, 2, 1, 9), (1, 0, 5, 3), (1, 1, 1, 9), (0, 0, 3, 9)]
        counted: dict[tuple[int, int], int] = {}
        for name, job in runs.items():
            labels = job["metadata"]["labels"]
            rung = int(labels["trainyard.dev/rung"])
            at = (rung, job["spec"]["parameters"]["epochs"])
            counted[at] = counted.get(at, 0) + 1
            before = f"{name.rpartition('-r')[0]}-r{rung - 1}"
            if rung:
                assert job["spec"]["parentJob"] == before
                assert job["spec"]["checkpoint"] == {"method": "latest_model"}
                assert searched(job) == searched(runs[before])
            else:
                assert "parentJob" not in job["spec"]
        assert counted == {(0, 1): 9, (1, 3): 3, (2, 9): 1, (0, 3): 5, (1, 9): 1, (0, 9): 3}
        first = {n: float(searched(runs[f"bands-t{n}-r0"])["x"]) for n in range(9)}
        best = sorted(first, key=lambda n: -first[n])
        assert all(f"bands-t{n}-r1" in runs for n in best[:3])
        assert f"bands-t{best[0]}-r2" in runs


class TestWhatFails:
    def test_a_crash_a_nan_and_a_silent_trial_are_failures_and_the_rest_goes_on(
        self, experiments: Experiments
    ) -> None:
        search(experiments, "mixed", algorithm="grid", space=[choice("0.5"), ENDS], parallelism=2)
        done = experiments.comes_to("mixed", "Done", timeout=60)
        counts = done["automl"]["trials"]
        assert (counts["succeeded"], counts["failed"]) == (1, 3)
        states = [state for state, _ in ledger(done).values()]
        assert sorted(states) == ["failure", "failure", "failure", "success"]
        assert float(done["automl"]["bestTrial"]["value"]) == 0.5

    def test_one_failure_too_many_ends_the_search_and_what_still_runs(self, experiments: Experiments) -> None:
        kinds = {"name": "ends", "type": "categorical", "values": ["crash", "nan", "silent"]}
        grid = [choice(*(f"0.{digit}" for digit in range(1, 9))), kinds]
        search(
            experiments,
            "doomed",
            run_for="1s",
            algorithm="grid",
            space=grid,
            parallelism=3,
            maxFailed=2,
            after=True,
        )
        status = experiments.comes_to("doomed", "Error", "TrialsFailed", timeout=60)
        assert status["automl"]["trials"]["failed"] >= 3
        assert "maxFailed" in status["message"]
        found(
            lambda: all(
                job["status"].get("phase") in ("Done", "Error", "Canceled")
                for job in trials(experiments, "doomed").values()
            ),
            what="what still ran to end",
        )
        count = len(trials(experiments, "doomed"))
        time.sleep(SETTLED_SECONDS)
        assert len(trials(experiments, "doomed")) == count <= 6
        assert "doomed-evaluate" not in experiments.children("doomed")
        assert experiments.steps("doomed")["evaluate"]["phase"] == "Error"

    def test_when_all_have_failed_the_search_has(self, experiments: Experiments) -> None:
        kinds = {"name": "ends", "type": "categorical", "values": ["crash", "nan", "silent"]}
        search(experiments, "hopeless", algorithm="grid", space=[choice("0.5"), kinds], parallelism=3)
        status = experiments.comes_to("hopeless", "Error", "TrialsFailed", timeout=60)
        assert status["automl"]["trials"]["failed"] == 3

    def test_a_lost_pod_is_no_failure(self, experiments: Experiments) -> None:
        search(experiments, "lost", run_for=None, maxRecommendations=1, maxFailed=0)
        running(experiments, "lost", 1)
        experiments.client.delete(f"/api/v1/namespaces/{experiments.namespace}/pods/lost-t0-r0-0-0")
        found(
            lambda: len(experiments.status("lost-t0-r0").get("attempts") or []) == 2, what="another attempt"
        )
        experiments.reaches("lost-t0-r0", "Running", "Training")
        experiments.ends("lost-t0-r0", attempt=1, message='{"metrics": {"accuracy": 0.5}}')
        done = experiments.comes_to("lost", "Done")
        assert done["automl"]["trials"].get("failed", 0) == 0

    def test_a_space_that_cannot_be_searched_is_told_at_once(self, experiments: Experiments) -> None:
        search(experiments, "zero", algorithm="hyperband", maxResource=9, nu=0)
        status = experiments.comes_to("zero", "Error", "StepFailed")
        assert status["steps"][0]["reason"] == "InvalidSpec"
        assert "spec.automl.nu" in status["message"]
        assert not experiments.children("zero")


class TestWhatStops:
    def test_a_value_that_is_good_enough_ends_the_search(self, experiments: Experiments) -> None:
        values = ("0.2", "0.4", "0.8", "0.9")
        search(
            experiments,
            "enough",
            algorithm="grid",
            space=[choice(*values)],
            objective={"threshold": "0.7"},
        )
        done = experiments.comes_to("enough", "Done", timeout=60)
        assert len(trials(experiments, "enough")) == 3
        assert done["automl"]["bestTrial"]["number"] == 2

    def test_a_hopeless_trial_is_stopped_early_and_counts_as_such(self, experiments: Experiments) -> None:
        rule = {"rule": "median", "startupTrials": 2, "warmupEpochs": 1}
        search(experiments, "median", run_for=None, maxRecommendations=3, parallelism=1, earlyStopping=rule)
        for number, level in ((0, 0.8), (1, 0.9)):
            self._reports(experiments, f"median-t{number}-r0", level)
            last = f'{{"metrics": {{"accuracy": {level + 0.03}}}}}'
            experiments.ends(f"median-t{number}-r0", message=last)
        self._reports(experiments, "median-t2-r0", 0.1)
        done = experiments.comes_to("median", "Done", timeout=60)
        assert ledger(done)[2, 0][0] == "stopped"
        assert done["automl"]["trials"]["stopped"] == 1
        job = experiments.get("median-t2-r0")
        assert job["status"]["phase"] == "Canceled"
        assert job["metadata"]["annotations"]["trainyard.dev/stopped"]
        assert done["automl"]["bestTrial"]["number"] == 1

    @staticmethod
    def _reports(experiments: Experiments, job: str, level: float) -> None:
        """Three epochs of a trainer that posts."""
        experiments.child(job)
        experiments.reaches(job, "Running")
        post = Post.of(experiments.client, experiments.namespace, job)
        for epoch in range(1, 4):
            line = {"epoch": epoch, "max_epoch": 5, "kpi": {"accuracy": level + epoch / 100}}
            answer = post.send({**line, "status": "RUNNING"})
            assert answer.status == 200, answer.body

        def taken() -> bool:
            objective = experiments.status(job).get("objective") or {}
            return float(objective.get("lastEpoch", 0)) == 3 or experiments.status(job)["phase"] == "Canceled"

        found(taken, what=f"the objective of {job}", timeout=40)

    def test_a_pause_stops_all_trials_and_all_of_them_go_on(self, experiments: Experiments) -> None:
        search(experiments, "naps", run_for=None, maxRecommendations=6, parallelism=3)
        before = running(experiments, "naps", 3)
        experiments.edit("naps", suspend=True)
        paused = experiments.comes_to("naps", "Pending", "Paused")
        assert condition(paused, "Suspended") == "True"
        states = {job["status"]["reason"] for job in trials(experiments, "naps").values()}
        assert states == {"Paused"}
        experiments.edit("naps", suspend=False)
        after = running(experiments, "naps", 3)
        assert uids(after, before) == uids(before, before)
        assert all(len(job["status"]["attempts"]) == 2 for job in after.values())
        for number in range(6):
            name = f"naps-t{number}-r0"
            experiments.child(name)
            experiments.reaches(name, "Running", "Training")
            experiments.ends(name, attempt=int(number < 3), message='{"metrics": {"accuracy": 0.5}}')
        done = experiments.comes_to("naps", "Done")
        assert done["automl"]["trials"]["succeeded"] == 6

    def test_a_cancel_ends_the_search(self, experiments: Experiments) -> None:
        search(experiments, "ends", run_for=None, maxRecommendations=6, parallelism=3, after=True)
        running(experiments, "ends", 3)
        experiments.edit("ends", cancel=True)
        status = experiments.comes_to("ends", "Canceled", "CanceledByUser")
        assert status["automl"]["trials"]["canceled"] == 3
        assert len(experiments.children("ends")) == 3


class TestHands:
    def test_a_finished_trial_that_is_deleted_counts_and_is_not_run_again(
        self, experiments: Experiments
    ) -> None:
        search(experiments, "swept", run_for=None, maxRecommendations=4, parallelism=1)
        for number, value in enumerate((0.9, 0.1, 0.2, 0.3)):
            name = f"swept-t{number}-r0"
            experiments.child(name)
            experiments.reaches(name, "Running", "Training")
            if number == 2:
                experiments.delete("trainingjobs", "swept-t1-r0")
                found(lambda: "swept-t1-r0" not in experiments.children("swept"), what="the job to go")
                time.sleep(1)
            experiments.ends(name, message=f'{{"metrics": {{"accuracy": {value}}}}}')
        done = experiments.comes_to("swept", "Done")
        assert sorted(ledger(done)) == [(0, 0), (1, 0), (2, 0), (3, 0)]
        assert done["automl"]["trials"]["succeeded"] == 4
        assert set(trials(experiments, "swept")) == {"swept-t0-r0", "swept-t2-r0", "swept-t3-r0"}

    def test_a_running_trial_that_is_deleted_is_run_again_as_the_same(self, experiments: Experiments) -> None:
        search(experiments, "again", run_for=None, maxRecommendations=2, parallelism=1)
        first = running(experiments, "again", 1)["again-t0-r0"]
        experiments.delete("trainingjobs", "again-t0-r0")

        def another() -> bool:
            job = experiments.client.find(experiments.path("trainingjobs", "again-t0-r0"))
            return job is not None and job["metadata"]["uid"] != first["metadata"]["uid"]

        found(another, what="another job of that name")
        assert searched(experiments.get("again-t0-r0")) == searched(first)

    def test_a_search_that_is_changed_begins_anew(self, experiments: Experiments) -> None:
        search(experiments, "anew", maxRecommendations=3, parallelism=3)
        old = experiments.comes_to("anew", "Done", timeout=60)["automl"]["digest"]
        before = trials(experiments, "anew")
        wider = {"algorithm": "random", "space": [{**X, "max": "5"}], "epochsParameter": "epochs", "seed": 7}
        experiments.edit("anew", automl={**wider, "maxRecommendations": 3, "parallelism": 3})
        found(lambda: experiments.told("anew")["automl"]["digest"] != old, what="another search")
        done = experiments.comes_to("anew", "Done", timeout=60)
        after = trials(experiments, "anew")
        assert set(after) == set(before)
        assert not set(uids(after, after).values()) & set(uids(before, before).values())
        assert len(ledger(done)) == 3

    def test_more_trials_may_be_asked_for_later(self, experiments: Experiments) -> None:
        search(experiments, "more", maxRecommendations=2, parallelism=2)
        experiments.comes_to("more", "Done", timeout=60)
        before = trials(experiments, "more")
        experiments.edit("more", automl={"maxRecommendations": 4})
        found(lambda: len(trials(experiments, "more")) == 4, what="two more trials", timeout=40)
        done = experiments.comes_to("more", "Done", timeout=60)
        assert uids(trials(experiments, "more"), before) == uids(before, before)
        assert done["automl"]["trials"]["succeeded"] == 4
