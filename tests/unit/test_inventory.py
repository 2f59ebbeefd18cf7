"""Gauges of what there is, from a cache."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client.registry import CollectorRegistry

from tests.unit.planning.builders import CONTEXT, NOW
from trainyard.cluster.cache import EXPERIMENT, MODEL, TRAINING_JOB, Cache
from trainyard.inventory import Inventory
from trainyard.modelinventory import MOST_COLUMNS, MOST_MODELS
from trainyard.planning.times import stamp


class Jobs:
    """A cache with jobs in it, and what a scrape of it says."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.registry = CollectorRegistry()
        self.registry.register(Inventory(self.cache, rules=CONTEXT.accelerators, clock=lambda: NOW))
        self._version = 0

    def put(
        self,
        name: str,
        *,
        kind: str = TRAINING_JOB,
        namespace: str = "team-a",
        spec: Any = None,
        **status: Any,
    ) -> None:
        self._version += 1
        metadata = {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{namespace}-{name}",
            "resourceVersion": str(self._version),
            "creationTimestamp": stamp(NOW - 600),
        }
        self.cache.store(kind, {"metadata": metadata, "spec": spec or {}, "status": status})

    def scraped(self) -> dict[tuple[str, ...], float]:
        """Samples by name and values of labels, those at 0 left out."""
        families = self.registry.collect()
        return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples if s.value}

    def series(self) -> int:
        return sum(len(family.samples) for family in self.registry.collect())


def test_jobs_are_counted_by_phase_and_reason() -> None:
    jobs = Jobs()
    for number in range(3):
        jobs.put(f"job-{number}", phase="Running", reason="Training")
    jobs.put("new")
    scraped = jobs.scraped()
    assert scraped["trainyard_jobs", "Running", "Training"] == 3
    assert scraped["trainyard_jobs", "Pending", "Accepted"] == 1


def test_a_combination_that_has_gone_is_told_as_zero() -> None:
    jobs = Jobs()
    jobs.put("one", phase="Running", reason="Training")
    assert jobs.scraped()["trainyard_jobs", "Running", "Training"] == 1
    jobs.put("one", phase="Done", reason="Completed", completionTime=stamp(NOW))
    samples = {(s.name, *s.labels.values()): s.value for f in jobs.registry.collect() for s in f.samples}
    assert samples["trainyard_jobs", "Running", "Training"] == 0


def test_experiments_are_counted_by_phase_and_reason_apart_from_jobs() -> None:
    jobs = Jobs()
    jobs.put("draft", kind=EXPERIMENT, phase="Pending", reason="Draft")
    jobs.put("search", kind=EXPERIMENT, phase="Running", reason="Training")
    assert jobs.scraped() == {
        ("trainyard_experiments", "Pending", "Draft"): 1,
        ("trainyard_experiments", "Running", "Training"): 1,
    }
    jobs.put("search", kind=EXPERIMENT, phase="Done", reason="Completed")
    jobs.put("odd", kind=EXPERIMENT, phase="P-0", reason="R-0")
    assert jobs.scraped() == {
        ("trainyard_experiments", "Pending", "Draft"): 1,
        ("trainyard_experiments", "Done", "Completed"): 1,
        ("trainyard_experiments", "Other", "Other"): 1,
    }


def test_devices_of_jobs_that_have_ended_or_are_paused_are_not_asked_for() -> None:
    jobs = Jobs()
    eight = {"accelerator": {"count": 4, "type": "a100"}, "nodes": 2}
    jobs.put("runs", spec=eight, phase="Running", reason="Training")
    jobs.put("waits", spec=eight, phase="Pending", reason="Unschedulable")
    jobs.put("rests", spec=eight, phase="Pending", reason="Paused", stop={"endTime": stamp(NOW)})
    jobs.put("ended", spec=eight, phase="Done", reason="Completed", completionTime=stamp(NOW))
    asked = {key[1:]: value for key, value in jobs.scraped().items() if key[0] == "trainyard_gpus_requested"}
    assert asked == {("Running", "a100"): 8, ("Pending", "a100"): 8}


def test_the_age_of_what_is_pending_is_of_the_oldest_since_it_last_ran() -> None:
    jobs = Jobs()
    ran = [{"number": 0, "startTime": stamp(NOW - 500), "completionTime": stamp(NOW - 50)}]
    jobs.put("again", phase="Pending", reason="Unschedulable", attempts=ran)
    assert jobs.scraped()["trainyard_oldest_pending_seconds", "Unschedulable"] == 50
    jobs.put("old", phase="Pending", reason="Unschedulable")
    assert jobs.scraped()["trainyard_oldest_pending_seconds", "Unschedulable"] == 600
    resumed = [{"type": "Suspended", "status": "False", "lastTransitionTime": stamp(NOW - 10)}]
    jobs.put("old", phase="Pending", reason="Unschedulable", conditions=resumed)
    assert jobs.scraped()["trainyard_oldest_pending_seconds", "Unschedulable"] == 50


def test_names_and_made_up_words_do_not_add_series() -> None:
    jobs = Jobs()
    for number in range(10):
        jobs.put(f"job-{number}", spec={"accelerator": {"type": "t-0"}}, phase="Running", reason="R-0")
    jobs.scraped()
    before = jobs.series()
    for number in range(500):
        spec = {"accelerator": {"type": f"t-{number}", "count": 1}}
        jobs.put(f"j-{number}", namespace=f"n-{number}", spec=spec, phase="Running", reason=f"R-{number}")
        jobs.put(f"k-{number}", phase=f"P-{number}", reason="Training")
    assert jobs.series() <= before + 2  # the phase and the accelerator "other"


def measured(value: str | None, **columns: float) -> Any:
    """A status.monitor with a newest measurement, which may have failed, and one before it."""
    newest = {"message": "It failed."} if value is None else {"value": value, "version": 1}
    drift = [{"column": name, "psi": str(psi)} for name, psi in columns.items()]
    return {"metric": "accuracy", "history": [newest, {"value": "0.9"}], "drift": drift}


def test_models_are_counted_by_namespace_and_lifecycle() -> None:
    jobs = Jobs()
    jobs.put("new", kind=MODEL)
    jobs.put("old", kind=MODEL, lifecycle="degraded")
    jobs.put("old", kind=MODEL, namespace="team-b", lifecycle="degraded")
    jobs.put("odd", kind=MODEL, lifecycle="L-0")
    assert jobs.scraped() == {
        ("trainyard_models", "team-a", "draft"): 1,
        ("trainyard_models", "team-a", "degraded"): 1,
        ("trainyard_models", "team-b", "degraded"): 1,
        ("trainyard_models", "team-a", "other"): 1,
    }
    jobs.put("old", kind=MODEL, lifecycle="trained")
    assert jobs.scraped()["trainyard_models", "team-a", "trained"] == 1
    assert ("trainyard_models", "team-a", "degraded") not in jobs.scraped()


def test_a_monitored_model_is_told_with_its_last_value_and_the_drift_of_its_columns() -> None:
    jobs = Jobs()
    jobs.put("fine", kind=MODEL, lifecycle="trained", monitor=measured("0.97", age=0.3, city=0.01))
    jobs.put("failed", kind=MODEL, lifecycle="trained", monitor=measured(None))
    jobs.put(
        "odd", kind=MODEL, monitor={"history": [{"value": "much"}], "drift": [{"column": "a", "psi": "x"}]}
    )
    told = {key: value for key, value in jobs.scraped().items() if key[0] != "trainyard_models"}
    assert told == {
        ("trainyard_model_monitored_value", "team-a", "fine", "accuracy"): 0.97,
        ("trainyard_model_monitored_value", "team-a", "failed", "accuracy"): 0.9,
        ("trainyard_model_drift", "team-a", "fine", "age"): 0.3,
        ("trainyard_model_drift", "team-a", "fine", "city"): 0.01,
    }


def test_more_monitored_models_and_columns_are_no_more_series() -> None:
    jobs = Jobs()
    before = jobs.series()
    for number in range(MOST_MODELS + 100):
        columns = {f"column-{n}": 0.5 for n in range(64)}
        jobs.put(f"m-{number:04}", kind=MODEL, lifecycle="trained", monitor=measured("0.9", **columns))
    assert jobs.series() == before + 1 + MOST_MODELS * (1 + MOST_COLUMNS)
    assert ("trainyard_model_monitored_value", "team-a", "m-0499", "accuracy") in jobs.scraped()


def test_a_scrape_of_ten_thousand_jobs_holds_the_loop_for_less_than_50_ms_where_500_have_changed() -> None:
    jobs = Jobs()
    suspended = {"type": "Suspended", "status": "False", "lastTransitionTime": stamp(NOW - 10)}
    conditions = [*({"type": one, "status": "True"} for one in ("Ready", "Stalled", "Finished")), suspended]
    for number in range(10_000):
        running = number % 2 == 0
        jobs.put(
            f"job-{number}",
            spec={"accelerator": {"count": 8, "type": "a100"}, "nodes": 4},
            phase="Running" if running else "Pending",
            reason="Training" if running else "Unschedulable",
            attempts=[{"number": n, "completionTime": stamp(NOW - 100)} for n in range(3)],
            conditions=conditions,
        )
    took = []
    for _ in range(5):
        for number in range(500):
            jobs.put(f"job-{number}", phase="Running", reason="Training")
        started = time.process_time()
        jobs.series()
        took.append(time.process_time() - started)
    assert min(took) < 0.05, took
