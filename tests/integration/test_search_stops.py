"""What ends a search, stops a trial early, or pauses all of them; and what survives people's hands."""

from __future__ import annotations

import time

import pytest

from tests.integration.experiments import Experiments, condition, searched, uids
from tests.integration.posting import Post
from tests.integration.searches import X, choice, ledger, running, search, trials
from tests.objects import found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]


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
