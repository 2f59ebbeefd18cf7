"""What becomes of an Experiment's jobs in other hands: deleted, named alike, posted by somebody."""

from __future__ import annotations

import json
import time

import pytest

from tests.integration.experiments import Experiments, owners, pretend, step
from tests.objects import found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

CHAIN = [step("train"), step("evaluate", "train")]
BRIEF = {"template": pretend()}
SETTLED_SECONDS = 4.0


class TestChildren:
    def test_a_finished_child_that_is_deleted_is_not_run_again(self, experiments: Experiments) -> None:
        actions = [step("train", job=BRIEF), step("evaluate", "train")]
        experiments.begin("keeps", actions=actions, run_for=None)
        experiments.child("keeps-evaluate")
        experiments.reaches("keeps-evaluate", "Running")
        experiments.delete("trainingjobs", "keeps-train")
        found(lambda: "keeps-train" not in experiments.children("keeps"), what="the job to go")
        time.sleep(SETTLED_SECONDS)
        assert set(experiments.children("keeps")) == {"keeps-evaluate"}
        assert experiments.steps("keeps")["train"]["phase"] == "Done"
        experiments.ends("keeps-evaluate")
        experiments.comes_to("keeps", "Done")

    def test_a_running_child_that_is_deleted_is_made_again(self, experiments: Experiments) -> None:
        experiments.begin("makes", actions=CHAIN[:1], run_for=None)
        first = experiments.child("makes-train")["metadata"]["uid"]
        experiments.reaches("makes-train", "Running")
        experiments.delete("trainingjobs", "makes-train")

        def another() -> bool:
            job = experiments.client.find(experiments.path("trainingjobs", "makes-train"))
            return job is not None and job["metadata"]["uid"] != first

        found(another, what="another job of that name")
        experiments.reaches("makes-train", "Running")
        experiments.ends("makes-train")
        experiments.comes_to("makes", "Done")

    def test_a_deleted_experiment_takes_its_children_and_posted_jobs_with_it(
        self, experiments: Experiments
    ) -> None:
        experiments.begin("goes", actions=CHAIN[:1], run_for=None)
        experiments.create("posted", run_for=None, experiment="goes")
        for job in ("goes-train", "posted"):
            experiments.child(job)
            experiments.reaches(job, "Running")
        assert owners(experiments.get("posted")) == [("Experiment", "goes", False)]
        experiments.delete("experiments", "goes")
        # NB: the garbage collector looks for new kinds every 30 s only.
        found(lambda: not experiments.pods(), what="its pods to go", timeout=90)
        assert not experiments.client.list(experiments.path("trainingjobs"))

    def test_a_name_that_somebody_elses_job_has_is_told_and_left_alone(
        self, experiments: Experiments
    ) -> None:
        mine = experiments.create("taken-train", run_for=None)["metadata"]["uid"]
        experiments.reaches("taken-train", "Running")
        experiments.begin("taken", actions=CHAIN[:1])
        waits = experiments.comes_to("taken", "Pending", "JobNameTaken")
        assert "taken-train" in waits["message"]
        job = experiments.get("taken-train")
        assert (job["metadata"]["uid"], owners(job)) == (mine, [])
        experiments.delete("trainingjobs", "taken-train")
        done = experiments.comes_to("taken", "Done", timeout=60)
        assert done["steps"][0]["job"] == "taken-train"
        assert experiments.get("taken-train")["metadata"]["uid"] != mine

    def test_a_name_that_another_experiments_child_has_is_waited_for(self, experiments: Experiments) -> None:
        experiments.begin("nest", actions=[step("train-tree", action="train")])
        experiments.comes_to("nest", "Done")
        experiments.begin("nest-train", actions=[step("tree", action="train")])
        waits = experiments.comes_to("nest-train", "Pending", "JobNameTaken")
        assert "nest-train-tree" in waits["message"]
        assert owners(experiments.get("nest-train-tree")) == [("Experiment", "nest", True)]
        experiments.delete("experiments", "nest")
        experiments.comes_to("nest-train", "Done", timeout=90)
        assert owners(experiments.get("nest-train-tree")) == [("Experiment", "nest-train", True)]


class TestPostedJobs:
    def test_a_job_waits_for_its_experiment_and_takes_its_parameters(self, experiments: Experiments) -> None:
        experiments.create("early", action="train", experiment="to-come", parameters={"epochs": 4})
        experiments.reaches("early", "Pending", "WaitingForExperiment")
        experiments.begin("to-come", actionParameters={"train": {"epochs": 9, "depth": 3}})
        experiments.reaches("early", "Done")
        (pod,) = experiments.pods("early")
        given = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
        assert json.loads(str(given["TRAINYARD_PARAMETERS"])) == {"epochs": 4, "depth": 3}
        job = experiments.get("early")
        assert owners(job) == [("Experiment", "to-come", False)]
        assert job["metadata"]["labels"]["trainyard.dev/experiment"] == "to-come"

    def test_it_counts_and_is_never_run_again(self, experiments: Experiments) -> None:
        experiments.begin("hosts", actions=CHAIN[:1])
        experiments.create("posted", action="train", experiment="hosts")
        experiments.reaches("posted", "Done")
        experiments.comes_to("hosts", "Done")
        found(lambda: experiments.told("hosts")["jobs"]["total"] == 2, what="both to be counted")
        posted = experiments.get("posted")["metadata"]["uid"]
        changed = [{**CHAIN[0], "parameters": {"epochs": 3}}]
        experiments.edit("hosts", actions=changed)
        found(lambda: experiments.steps("hosts")["train"].get("run") == 1, what="the step to run again")
        experiments.comes_to("hosts", "Done")
        assert experiments.get("posted")["metadata"]["uid"] == posted
        assert len(experiments.status("posted")["attempts"]) == 1
