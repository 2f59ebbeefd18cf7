"""Experiments as chains of actions on a real API server: what starts when, and what becomes of the rest."""

from __future__ import annotations

import time

import pytest

from tests.integration.experiments import Experiments, condition, owners, pretend, step, uids
from tests.objects import found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

CHAIN = [
    step("train"),
    step("evaluate", "train"),
    step("prune", "train"),
    step("retrain", "prune"),
    step("export", "retrain", "evaluate"),
]
LAST = '{"metrics": {"accuracy": 0.97}, "keyMetric": {"name": "accuracy", "value": 0.97}}'
BRIEF = {"template": pretend()}
SETTLED_SECONDS = 4.0


class TestChains:
    def test_each_step_starts_when_those_before_it_are_done_and_is_handed_the_first_of_them(
        self, experiments: Experiments
    ) -> None:
        experiments.begin("chain", actions=CHAIN, fake={"message": LAST})
        done = experiments.comes_to("chain", "Done", "Completed", timeout=90)
        children = experiments.children("chain")
        assert {name: job["spec"].get("parentJob") for name, job in children.items()} == {
            "chain-train": None,
            "chain-evaluate": "chain-train",
            "chain-prune": "chain-train",
            "chain-retrain": "chain-prune",
            "chain-export": "chain-retrain",
        }
        for entry in CHAIN:
            job = children[f"chain-{entry['name']}"]
            assert job["spec"]["action"] == entry["action"]
            assert job["spec"]["experiment"] == "chain"
            assert job["spec"]["output"] == {"uri": "s3://models/made"}
            assert job["metadata"]["labels"]["trainyard.dev/step"] == entry["name"]
            assert owners(job) == [("Experiment", "chain", True)]
            for before in entry["dependsOn"]:
                ended = children[f"chain-{before}"]["status"]["completionTime"]
                assert job["metadata"]["creationTimestamp"] >= ended, "stamps have whole seconds"
        told = {one["name"]: one for one in done["steps"]}
        assert {name: (one["job"], one["phase"], one["metric"]) for name, one in told.items()} == {
            entry["name"]: (f"chain-{entry['name']}", "Done", "accuracy 0.97") for entry in CHAIN
        }
        assert done["progress"]["summary"] == "5/5"
        assert (done["jobs"]["total"], done["jobs"]["done"]) == (5, 5)
        assert {kind: condition(done, kind) for kind in ("Ready", "Finished", "Succeeded", "Stalled")} == {
            "Ready": "True",
            "Finished": "True",
            "Succeeded": "True",
            "Stalled": "False",
        }
        metadata = experiments.experiment("chain")["metadata"]
        assert "annotations" not in metadata, "none of kopf's"

    def test_the_parents_artifacts_are_what_a_step_finds(self, experiments: Experiments) -> None:
        experiments.begin("handed", actions=CHAIN[:2])
        experiments.comes_to("handed", "Done", timeout=60)
        parent = experiments.get("handed-train")["metadata"]["uid"]
        (pod,) = experiments.pods("handed-evaluate")
        assert f"{parent}/attempt-0" in str(pod["spec"]), "what its agent is told to fetch"

    def test_a_failed_step_fails_what_hangs_on_it_and_nothing_else(self, experiments: Experiments) -> None:
        bad = {"template": pretend(exit_code="2", message="no such column")}
        actions = [
            step("train"),
            step("prune", "train", job=bad),
            step("retrain", "prune"),
            step("export", "retrain"),
            step("evaluate", "train"),
        ]
        experiments.begin("halves", actions=actions)
        status = experiments.comes_to("halves", "Error", timeout=60)
        told = {one["name"]: one for one in status["steps"]}
        assert {name: one["phase"] for name, one in told.items()} == {
            "train": "Done",
            "prune": "Error",
            "retrain": "Error",
            "export": "Error",
            "evaluate": "Done",
        }
        assert status["reason"] == "StepFailed"
        assert "prune" in status["message"]
        assert "prune" in told["retrain"]["message"], "what it failed with"
        assert set(experiments.children("halves")) == {"halves-train", "halves-prune", "halves-evaluate"}

    def test_a_changed_step_runs_again_with_what_follows_and_nothing_else(
        self, experiments: Experiments
    ) -> None:
        experiments.begin("again", actions=CHAIN)
        experiments.comes_to("again", "Done", timeout=90)
        before = experiments.children("again")
        kept, anew = ("again-train", "again-evaluate"), ("again-prune", "again-retrain", "again-export")
        changed = [
            {**entry, "parameters": {"amount": "0.3"}} if entry["name"] == "prune" else entry
            for entry in CHAIN
        ]
        experiments.edit("again", actions=changed)

        def all_anew() -> bool:
            now = experiments.children("again")
            return set(now) == set(before) and not any(
                now[name]["metadata"]["uid"] == before[name]["metadata"]["uid"] for name in anew
            )

        found(all_anew, what="three jobs anew", timeout=60)
        done = experiments.comes_to("again", "Done", timeout=60)
        after = experiments.children("again")
        assert uids(after, kept) == uids(before, kept)
        assert after["again-prune"]["spec"]["parameters"] == {"amount": "0.3"}
        runs = {one["name"]: one.get("run", 0) for one in done["steps"]}
        assert runs == {"train": 0, "evaluate": 0, "prune": 1, "retrain": 1, "export": 1}

    def test_words_that_nothing_runs_by_start_nothing_anew(self, experiments: Experiments) -> None:
        experiments.begin("words", actions=CHAIN[:2])
        experiments.comes_to("words", "Done", timeout=60)
        before = experiments.children("words")
        experiments.edit(
            "words", displayName="Another name", description="Other words", attributes={"a": "b"}
        )
        time.sleep(SETTLED_SECONDS)
        experiments.comes_to("words", "Done")
        assert uids(experiments.children("words"), before) == uids(before, before)

    def test_a_step_that_is_added_later_is_run(self, experiments: Experiments) -> None:
        experiments.begin("grows", actions=CHAIN[:1])
        experiments.comes_to("grows", "Done", timeout=60)
        trained = uids(experiments.children("grows"), ["grows-train"])
        experiments.edit("grows", actions=CHAIN[:2])
        found(lambda: "grows-evaluate" in experiments.children("grows"), what="the job of the new step")
        experiments.comes_to("grows", "Done", timeout=60)
        assert uids(experiments.children("grows"), trained) == trained

    def test_a_cycle_is_refused_by_the_names_in_it_and_cured_by_an_edit(
        self, experiments: Experiments
    ) -> None:
        actions = [
            step("train"),
            step("first", "third", "train", action="custom"),
            step("second", "first", action="custom"),
            step("third", "second", action="custom"),
        ]
        experiments.begin("round", actions=actions)
        status = experiments.comes_to("round", "Error", "InvalidSpec")
        assert all(name in status["message"] for name in ("first", "second", "third"))
        assert "train" not in status["message"]
        assert not experiments.children("round")
        actions[1]["dependsOn"] = ["train"]
        experiments.edit("round", actions=actions)
        experiments.comes_to("round", "Done", timeout=60)

    def test_a_chain_that_would_have_nothing_to_hand_on_is_refused_at_once(
        self, experiments: Experiments
    ) -> None:
        experiments.begin("empty-handed", actions=CHAIN[:2], stored=False)
        status = experiments.comes_to("empty-handed", "Error", "InvalidSpec")
        assert "spec.output" in status["message"]
        assert not experiments.children("empty-handed")

    def test_two_experiments_at_once_keep_to_their_own(self, experiments: Experiments) -> None:
        for name in ("one", "two"):
            experiments.begin(name, actions=CHAIN)
        for name in ("one", "two"):
            experiments.comes_to(name, "Done", timeout=90)
            assert set(experiments.children(name)) == {f"{name}-{entry['name']}" for entry in CHAIN}
        assert len(experiments.pods()) == 2 * len(CHAIN)

    def test_the_longest_names_run(self, experiments: Experiments) -> None:
        name, longest = "e" * 35, "s" * 14
        experiments.begin(name, actions=[step("train"), step(longest, "train", action="evaluate")])
        experiments.comes_to(name, "Done", timeout=60)
        assert f"{name}-{longest}" in experiments.children(name)


class TestStops:
    def test_a_pause_reaches_children_and_posted_jobs_and_all_go_on(self, experiments: Experiments) -> None:
        experiments.begin("halts", actions=CHAIN[:2], run_for=None)
        experiments.create("posted", run_for=None, experiment="halts", gracePeriodSeconds=1)
        for job in ("halts-train", "posted"):
            experiments.child(job)
            experiments.reaches(job, "Running")
        experiments.edit("halts", suspend=True)
        paused = experiments.comes_to("halts", "Pending", "Paused")
        assert condition(paused, "Suspended") == "True"
        for job in ("halts-train", "posted"):
            status = experiments.reaches(job, "Pending", "Paused")
            assert "halts" in status["message"], "whose pause it is"
            assert not experiments.get(job)["spec"].get("suspend"), "a job's own wish is left alone"
        experiments.edit("halts", suspend=False)
        for job in ("halts-train", "posted"):
            experiments.reaches(job, "Running", "Training")
            experiments.ends(job, attempt=1)
        experiments.child("halts-evaluate")
        experiments.reaches("halts-evaluate", "Running")
        experiments.ends("halts-evaluate")
        experiments.comes_to("halts", "Done")

    def test_an_experiment_that_is_applied_suspended_starts_nothing_until_it_may(
        self, experiments: Experiments
    ) -> None:
        experiments.begin("later", actions=CHAIN[:1], suspend=True)
        experiments.comes_to("later", "Pending", "Paused")
        time.sleep(1)
        assert not experiments.pods()
        experiments.edit("later", suspend=False)
        experiments.comes_to("later", "Done")

    def test_a_cancel_reaches_all_of_them_and_starts_no_more(self, experiments: Experiments) -> None:
        experiments.begin("stops", actions=CHAIN, run_for=None)
        experiments.create("posted", run_for=None, experiment="stops", gracePeriodSeconds=1)
        for job in ("stops-train", "posted"):
            experiments.child(job)
            experiments.reaches(job, "Running")
        experiments.edit("stops", cancel=True)
        for job in ("stops-train", "posted"):
            experiments.reaches(job, "Canceled")
        canceled = experiments.comes_to("stops", "Canceled", "CanceledByUser")
        assert (condition(canceled, "Finished"), condition(canceled, "Succeeded")) == ("True", "False")
        assert set(experiments.children("stops")) == {"stops-train", "posted"}

    def test_a_canceled_one_is_taken_back(self, experiments: Experiments) -> None:
        experiments.begin("back", actions=CHAIN[:1], run_for=None)
        experiments.child("back-train")
        experiments.reaches("back-train", "Running")
        experiments.edit("back", cancel=True)
        experiments.comes_to("back", "Canceled")
        experiments.edit("back", cancel=False)
        experiments.reaches("back-train", "Running", "Training")
        experiments.ends("back-train", attempt=1)
        experiments.comes_to("back", "Done")

    def test_a_retry_tries_what_failed_again_and_runs_what_follows(self, experiments: Experiments) -> None:
        actions = [step("train", job=BRIEF), step("prune", "train"), step("retrain", "prune", job=BRIEF)]
        experiments.begin("retried", actions=actions, run_for=None)
        experiments.child("retried-prune")
        experiments.reaches("retried-prune", "Running")
        experiments.ends("retried-prune", code=2)
        experiments.comes_to("retried", "Error", "StepFailed")
        before = experiments.children("retried")
        asked = {"metadata": {"annotations": {"trainyard.dev/retry-requested-at": "now"}}}
        experiments.client.patch(experiments.path("experiments", "retried"), asked)
        experiments.reaches("retried-prune", "Running", "Training")
        experiments.ends("retried-prune", attempt=1)
        done = experiments.comes_to("retried", "Done")
        assert done["retryRequestedAt"] == "now"
        assert uids(experiments.children("retried"), before) == uids(before, before)
        assert [a["exitCode"] for a in experiments.status("retried-prune")["attempts"]] == [2, 0]
