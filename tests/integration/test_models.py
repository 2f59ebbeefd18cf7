"""A model over its life on a real API server: what its trainings come to, and what moves it from state to state."""

from __future__ import annotations

import pytest

from tests.harness.client import Client
from tests.integration.experiments import condition, owners
from tests.integration.models import LAST, STORE, Models, a_training
from tests.objects import found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]


@pytest.fixture
def models(admin: Client, namespace: str) -> Models:
    """MLModels of the test's own namespace."""
    return Models(admin, namespace)


class TestLife:
    def test_a_draft_becomes_trained_by_a_job_that_is_posted_to_it(self, models: Models) -> None:
        models.keep("posted-to", draft=True)
        draft = models.becomes("posted-to", "draft")
        assert (draft["phase"], draft["reason"]) == ("Pending", "Draft")
        assert condition(draft, "Available") != "True"
        models.registers("by-hand", "posted-to", run_for=None)
        models.becomes("posted-to", "training")
        models.reaches("by-hand", "Running")
        models.ends("by-hand", message=LAST)
        told = models.becomes("posted-to", "trained", version=1)
        job = models.get("by-hand")
        (version,) = told["versions"]
        assert (version["number"], version["origin"]) == (1, "job")
        assert version["uri"] == job["status"]["artifacts"][0]["uri"]
        assert version["sha256"] == "a" * 64
        assert version["lineage"]["job"] == "by-hand"
        assert version["lineage"]["jobUid"] == job["metadata"]["uid"]
        assert told["keyMetric"]["display"] == "accuracy 0.97"
        assert condition(told, "Available") == "True"
        told_by_job = found(lambda: models.status("by-hand").get("modelVersion"), what="the job to be told")
        assert told_by_job == {"name": "posted-to", "number": 1}

    def test_it_is_trained_once_and_again_when_that_is_asked_for(self, models: Models) -> None:
        models.keep("asked")
        models.becomes("asked", "trained", version=1)
        assert owners(models.get("asked-train-1")) == [("MLModel", "asked", True)]
        models.ask_to_train("asked", "first")
        models.becomes("asked", "trained", version=2)
        models.ask_to_train("asked", "first")
        models.edit_model("asked", description="another text")
        models.becomes("asked", "trained", version=2)
        models.edit_model("asked", trainingConfig={"epochs": 3})
        models.becomes("asked", "trained", version=3)
        assert models.get("asked-train-3")["spec"]["parameters"] == {"epochs": 3}
        assert set(models.of_model("asked")) == {"asked-train-1", "asked-train-2", "asked-train-3"}

    def test_a_failed_training_keeps_the_last_good_version_and_says_why(self, models: Models) -> None:
        models.keep("fails")
        models.becomes("fails", "trained", version=1)
        bad = a_training(message="The data has no column rooms.", exit_code="2")
        models.edit_model("fails", training={"jobTemplate": {"spec": bad}})
        told = models.becomes("fails", "failed")
        assert "no column rooms" in told["message"]
        assert told["latestVersion"] == 1
        assert condition(told, "Available") == "True", "the last good version is still there"
        models.edit_model(
            "fails", training={"jobTemplate": {"spec": a_training(message=LAST, exit_code="0")}}
        )
        models.becomes("fails", "trained", version=2)

    def test_stages_are_the_users_and_an_archived_model_is_not_trained(self, models: Models) -> None:
        models.keep("staged")
        models.becomes("staged", "trained", version=1)
        models.edit_model("staged", stage="deprecated")
        models.becomes("staged", "deprecated")
        models.edit_model("staged", stage="archived")
        told = models.becomes("staged", "archived")
        assert condition(told, "Available") != "True"
        models.ask_to_train("staged", "now")
        models.edit_model("staged", trainingConfig={"epochs": 9})
        models.becomes("staged", "archived")
        assert set(models.of_model("staged")) == {"staged-train-1"}
        models.edit_model("staged", stage="active")
        models.becomes("staged", "trained", version=2)

    def test_what_is_reported_from_outside_counts_until_there_is_newer_evidence(self, models: Models) -> None:
        models.keep("told", draft=True)
        models.becomes("told", "draft")
        reported = {
            "lifecycle": "trained",
            "artifactUri": "s3://models/model-123/v1.pkl",
            "performanceMetrics": {"accuracy": 0.95, "f1_score": 0.93},
            "time": "2026-01-01T10:00:00Z",
        }
        path = models.path("mlmodels", "told") + "/status"
        models.client.patch(path, {"status": {"reported": reported}})
        told = models.becomes("told", "trained", version=1)
        assert told["versions"][0]["origin"] == "reported"
        assert told["versions"][0]["uri"] == "s3://models/model-123/v1.pkl"
        failed = {
            "lifecycle": "failed",
            "reason": "Insufficient training data",
            "time": "2026-01-01T11:00:00Z",
        }
        models.client.patch(path, {"status": {"reported": {**reported, **failed, "artifactUri": None}}})
        told = models.becomes("told", "failed")
        assert "Insufficient training data" in told["message"]
        models.registers("newer", "told")
        assert models.becomes("told", "trained", version=2)["versions"][-1]["origin"] == "job"

    def test_a_search_makes_a_version_of_its_best_trial(self, models: Models) -> None:
        search = {
            "algorithm": "grid",
            "parallelism": 2,
            "space": [{"name": "x", "type": "float", "min": "0.2", "max": "0.8", "step": "0.3"}],
            "epochsParameter": "epochs",
        }
        experiment = {
            "objective": {"metric": "accuracy", "goal": "Maximize"},
            "automl": search,
            "jobTemplate": {"spec": a_training(message="", accuracy_of="x")},
            "actions": [{"name": "train", "action": "train"}],
        }
        models.keep("tuned", training={"experimentTemplate": {"spec": experiment}})
        told = models.becomes("tuned", "trained", version=1, timeout=90)
        (version,) = told["versions"]
        best = models.told("tuned-x1")["automl"]["bestTrial"]
        assert version["lineage"]["job"] == best["job"]
        assert version["lineage"]["experiment"] == "tuned-x1"
        metrics = {one["name"]: one["value"] for one in version["performanceMetrics"]}
        assert float(metrics["accuracy"]) == 0.8


class TestVersions:
    def test_aliases_move_when_their_number_does_and_say_what_is_not_there(self, models: Models) -> None:
        models.keep("named", aliases=[{"name": "champion", "version": 1}])
        models.becomes("named", "trained", version=1)
        found(lambda: models.told_of("named").get("aliases"), what="the alias")
        models.edit_model("named", aliases=[{"name": "champion", "version": 7}])
        told = found(
            lambda: (s := models.told_of("named"))["message"].find("version 7") >= 0 and s, what="the message"
        )
        assert [(one["name"], one["version"]) for one in told["aliases"]] == [("champion", 1)]
        models.registers("second", "named")
        models.becomes("named", "trained", version=2)
        models.edit_model("named", aliases=[{"name": "champion", "version": 2}])
        found(
            lambda: [one["version"] for one in models.told_of("named").get("aliases") or []] == [2],
            what="the alias to move",
        )
        models.announces("named", "AliasMoved")

    def test_a_version_goes_on_from_its_parents(self, models: Models) -> None:
        models.keep("goes-on")
        models.becomes("goes-on", "trained", version=1)
        spec = {
            **a_training(),
            "model": "goes-on",
            "output": {"uri": STORE},
            "baseModels": [{"model": "goes-on", "version": 1}],
            "parameters": {"epochs": 2},
        }
        body = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "on"}}
        models.client.post(models.path("trainingjobs"), {**body, "spec": spec})
        told = models.becomes("goes-on", "trained", version=2, timeout=60)
        lineage = told["versions"][-1]["lineage"]
        assert lineage["parentVersion"] == 1
        (base,) = lineage["baseModels"]
        assert (base["name"], base["version"], base["sha256"]) == ("goes-on", 1, "a" * 64)


class TestRefused:
    def test_a_job_that_leaves_nothing_cannot_be_a_version(self, models: Models) -> None:
        models.keep("strict", draft=True)
        models.create("nowhere", model="strict")
        assert "spec.output" in models.reaches("nowhere", "Error", "InvalidSpec")["message"]
        models.create("measures", action="evaluate", model="strict", output={"uri": STORE})
        assert "evaluate" in models.reaches("measures", "Error", "InvalidSpec")["message"]
        assert models.versions("strict") == {}

    def test_a_job_waits_for_the_model_that_it_names(self, models: Models) -> None:
        models.registers("early", "to-come")
        waits = models.reaches("early", "Pending", "WaitingForModel")
        assert "to-come" in waits["message"]
        models.keep("to-come", draft=True)
        models.becomes("to-come", "trained", version=1, timeout=60)

    def test_a_name_that_somebody_elses_job_has_is_told_and_left_alone(self, models: Models) -> None:
        mine = models.create("taken-train-1", run_for=None)["metadata"]["uid"]
        models.reaches("taken-train-1", "Running")
        models.keep("taken")
        told = found(
            lambda: "taken-train-1" in (s := models.told_of("taken")).get("message", "") and s,
            what="a message",
        )
        assert told["lifecycle"] == "draft"
        assert models.get("taken-train-1")["metadata"]["uid"] == mine
        assert owners(models.get("taken-train-1")) == []
