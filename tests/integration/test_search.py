"""A search on fake nodes: what it starts, and what it counts as failed."""

from __future__ import annotations

import time

import pytest

from tests.integration.experiments import Experiments, searched
from tests.integration.searches import ENDS, SETTLED_SECONDS, choice, ledger, running, search, trials
from tests.objects import found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]


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
