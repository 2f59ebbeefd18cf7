"""What a real Prometheus sees of a real operator, and every query of the dashboard and the alerts against it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from tests.harness import dashboard, kwok
from tests.harness import operator as operators
from tests.harness import prometheus as servers
from tests.harness.chart import CHART
from tests.harness.client import Client, Json
from tests.harness.controlplane import ControlPlane
from tests.harness.dashboard import Panel
from tests.harness.operator import Operator
from tests.harness.prometheus import Prometheus
from tests.hooks import SETTINGS, a_callback
from tests.integration.posting import Post
from tests.objects import Jobs, found, manifest
from tests.receiver import Say, listening
from trainyard.api.modelstatus import Lifecycle
from trainyard.api.reasons import Phase, Reason
from trainyard.planning.accounting import OUTCOMES

pytestmark = pytest.mark.timeout(240)

RULES = CHART / "rules" / "trainyard.yaml"
ALERT_TESTS = Path(__file__).with_name("alerts.yaml")
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
PANELS = [panel for panel in dashboard.load() if panel.targets]
#: Panels that may have nothing to show, and why.
MAY_BE_EMPTY: dict[str, str] = {}
#: Metrics of the Python client that every process exports.
FROM_THE_CLIENT = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
DONE, GPUS = 4, 2


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An operator that has had something to do, and a Prometheus that has watched it."""

    plane: ControlPlane
    operator: Operator
    prometheus: Prometheus
    jobs: Jobs

    def value(self, expression: str) -> float:
        """The value of an expression that gives one series."""
        (series,) = self.prometheus.query(expression)
        return series.samples[0][1]


@pytest.fixture(scope="module")
def scene(plane: ControlPlane) -> Iterator[Scene]:
    kwok.add_nodes(plane, 2, gpus=8, prefix="gpu")
    with ExitStack() as stack:
        admin: Client = stack.enter_context(plane.client())
        admin.post("/api/v1/namespaces", {"metadata": {"name": "busy"}})
        jobs = Jobs(admin, "busy")
        receiver = stack.enter_context(listening())
        receiver.script["/broken"] = [Say(status=500)]
        settings = {"namespaces": ["busy"], "callbacks": SETTINGS}
        operator = stack.enter_context(operators.running(plane, name="scraped", settings=settings))
        prometheus = stack.enter_context(servers.scraping(operator.port))
        _play(jobs, receiver.url("/good"), receiver.url("/broken"))
        time.sleep(4)  # a few scrapes of how it ended
        yield Scene(plane=plane, operator=operator, prometheus=prometheus, jobs=jobs)


def _play(jobs: Jobs, good: str, broken: str) -> None:
    """Every outcome once, and what waits."""
    for number in range(DONE):
        jobs.create(
            f"done-{number}",
            run_for="3s",
            accelerator={"count": GPUS},
            callbacks=[a_callback(good if number else broken)],
        )
    jobs.create("failed", run_for="2s", exit_code=1, backoffLimit=0, accelerator={"count": 1})
    jobs.create("paused", run_for=None, accelerator={"count": 1})
    jobs.create("canceled", run_for=None, accelerator={"count": 1})
    jobs.create("lost", run_for=None)
    jobs.create("runs", run_for=None, accelerator={"count": 4})
    jobs.create("too-large", accelerator={"count": 64})
    jobs.create("waits", datasets={"train": ["nowhere"]})
    _monitor(jobs)
    for name in ("paused", "canceled", "lost", "runs"):
        jobs.reaches(name, "Running")
    post = Post.of(jobs.client, jobs.namespace, "runs")
    assert post.send({"epoch": 1, "max_epoch": 3}).status == 200
    time.sleep(2)
    assert post.send({"epoch": 2, "max_epoch": 3}).status == 200
    jobs.client.patch(jobs.path("trainingjobs", "paused"), {"spec": {"suspend": True}})
    jobs.client.patch(jobs.path("trainingjobs", "canceled"), {"spec": {"cancel": True}})
    (pod,) = jobs.pods("lost")
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod['metadata']['name']}")
    for number in range(DONE):
        jobs.reaches(f"done-{number}", "Done")
    jobs.reaches("failed", "Error")
    jobs.reaches("paused", "Pending", "Paused")
    jobs.reaches("canceled", "Canceled")
    jobs.reaches("too-large", "Pending", "Unschedulable")
    found(lambda: _starts(jobs.status("lost")) == 2, what="a second attempt of lost that has started")


def _monitor(jobs: Jobs) -> None:
    """A model as an earlier operator has left it, which has measured it."""
    said = {
        "schedule": "@daily",
        "dataset": "nowhere",
        "metric": "accuracy",
        "threshold": "0.9",
        "suspend": True,
    }
    jobs.client.post(
        jobs.path("mlmodels"), manifest("MLModel", "watched", {"type": "regression", "monitor": said})
    )
    measured = {"time": "2027-01-15T09:00:00Z", "version": 1, "value": "0.97", "job": "watched-monitor-1"}
    moved = [{"column": "age", "psi": "0.3"}]
    monitor = {"metric": "accuracy", "history": [measured], "drift": moved, "drifted": 1}
    jobs.client.patch(f"{jobs.path('mlmodels', 'watched')}/status", {"status": {"monitor": monitor}})


def _starts(status: Json) -> int:
    return sum(1 for attempt in status.get("attempts") or [] if attempt.get("startTime"))


def test_each_end_is_counted_once_with_its_gpu_seconds(scene: Scene) -> None:
    ended = {
        series.labels["outcome"]: series.samples[0][1]
        for series in scene.prometheus.query("sum by (outcome) (trainyard_attempts_total)")
    }
    assert ended == {"done": DONE, "failed": 1, "paused": 1, "canceled": 1, "lost": 1}
    ran = sum(scene.jobs.status(f"done-{number}")["runSeconds"] for number in range(DONE))
    assert ran >= 2 * DONE
    assert scene.value('trainyard_gpu_seconds_total{outcome="done",accelerator="any"}') == ran * GPUS
    assert (
        scene.value('trainyard_gpu_seconds_total{outcome="lost",accelerator="any"}') == 0
    )  # it asked for none


def test_what_there_is_now_is_counted_from_the_objects(scene: Scene) -> None:
    assert scene.value('trainyard_jobs{phase="Done",reason="Completed"}') == DONE
    assert scene.value('trainyard_gpus_requested{phase="Running",accelerator="any"}') == 4
    assert scene.value('trainyard_gpus_requested{phase="Pending",accelerator="any"}') == 64
    assert scene.value('trainyard_oldest_pending_seconds{reason="Unschedulable"}') > 3


def test_a_monitored_model_is_told_of_by_name(scene: Scene) -> None:
    assert scene.value('trainyard_models{namespace="busy"}') == 1
    assert scene.value('trainyard_model_monitored_value{model="watched",metric="accuracy"}') == 0.97
    assert scene.value('trainyard_model_drift{namespace="busy",model="watched",column="age"}') == 0.3


def test_the_times_before_a_start_are_those_of_the_pods(scene: Scene) -> None:
    started = DONE + 5
    assert scene.value("trainyard_time_to_pod_seconds_count") == started
    assert scene.value("trainyard_time_in_queue_seconds_count") == started + 1  # the second attempt of one
    assert scene.value("trainyard_time_to_running_seconds_count") == started + 1


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_query_of_the_dashboard_has_something_to_show(scene: Scene, panel: Panel) -> None:
    for target in panel.targets:
        series = scene.prometheus.query(target.query(rate_seconds=60, range_seconds=300))
        if panel.title in MAY_BE_EMPTY:
            continue
        numbers = [one for one in series if one.samples[0][1] == one.samples[0][1]]
        assert numbers, f"{target.expression} has nothing to show"
        for label in re.findall(r"{{(\w+)}}", target.legend):
            assert all(label in one.labels for one in numbers), f"{label} is no label of {target.expression}"


def test_a_panel_that_may_be_empty_is_one_of_the_dashboard() -> None:
    assert {panel.title for panel in PANELS} >= MAY_BE_EMPTY.keys()


QUERIES = {
    **{
        f"{panel.title} {number}": target.query(rate_seconds=60, range_seconds=300)
        for panel in PANELS
        for number, target in enumerate(panel.targets)
    },
    **{rule["alert"]: rule["expr"] for rule in ALERTS},
}


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for name, query in QUERIES.items()])
def test_every_name_and_label_of_a_query_is_exported(scene: Scene, query: str) -> None:
    scene.prometheus.query(query)
    metrics = set(re.findall(r"\b(?:trainyard|process)_[a-z_]+\b", query))
    assert metrics
    exported = _exported(scene)
    for metric in metrics - FROM_THE_CLIENT:
        assert metric in exported, f"{metric} is not exported"
        matched = re.findall(rf"{metric}{{([^}}]*)}}", query)
        labels = {label for text in matched for label in re.findall(r'(\w+)\s*(?:=|!=|=~|!~)\s*"', text)}
        grouped = {word for text in re.findall(r"\bby \(([^)]*)\)", query) for word in text.split(", ")}
        assert labels | grouped <= exported[metric] | {"instance", "job"}, f"{metric} has {exported[metric]}"


def _exported(scene: Scene) -> dict[str, set[str]]:
    """Labels by the name of each sample that there is or can be."""
    from trainyard import metrics

    kinds = {
        "counter": ("_total",),
        "gauge": ("",),
        "histogram": ("_bucket", "_sum", "_count"),
        "info": ("_info",),
    }
    names: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if hasattr(metric, "_labelnames"):
            for ending in kinds[metric._type]:
                names[f"{metric._name}{ending}"] = {*metric._labelnames, *(["le"] * (ending == "_bucket"))}
    for series in scene.prometheus.query('{__name__=~"trainyard_.*"}'):
        labels = series.labels.keys() - {"__name__", "instance", "job"}
        names.setdefault(series.labels["__name__"], set()).update(labels)
    return names


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for name, query in QUERIES.items()])
def test_every_value_that_a_query_selects_by_can_occur(query: str) -> None:
    words = {
        "phase": set(map(str, Phase)),
        "reason": set(map(str, Reason)),
        "outcome": {*OUTCOMES, "stored", "delivered", "gone", "refused"},
        "code": {"429"},
        "lifecycle": set(get_args(Lifecycle)),
    }
    for label, values in re.findall(r'(\w+)\s*(?:=|!=|=~|!~)\s*"([^"]*)"', query):
        assert set(values.split("|")) <= words[label]


def test_more_names_are_no_more_series(scene: Scene) -> None:
    def series() -> set[str]:
        return {name for name in scene.operator.metrics() if name.startswith("trainyard_")}

    before = series()
    for number in range(20):
        scene.jobs.create(f"another-{number}", run_for="1s", accelerator={"count": 1})
    for number in range(20):
        scene.jobs.reaches(f"another-{number}", "Done")
    assert not {name for name in series() - before if "_jobs{" not in name}
    of_models = ("trainyard_models{", "trainyard_model_")
    assert not [
        name for name in series() if "another" in name or ("busy" in name and not name.startswith(of_models))
    ]


def test_an_operator_that_starts_anew_counts_no_end_again(scene: Scene) -> None:
    scene.operator.stop()
    settings = {"namespaces": ["busy"], "callbacks": SETTINGS}
    with operators.running(scene.plane, name="scraped-again", settings=settings) as anew:
        time.sleep(3)
        samples = anew.metrics()
    assert samples['trainyard_jobs{phase="Done",reason="Completed"}'] >= DONE
    ends = (
        "trainyard_attempts_total",
        "trainyard_jobs_finished_total",
        "trainyard_time_to_pod_seconds_count",
    )
    assert not {name: value for name, value in samples.items() if name.startswith(ends) and value}


def test_the_rules_are_valid_and_each_alert_fires_and_does_not_as_its_tests_say() -> None:
    promtool = servers.programs()["promtool"]
    for words in (("check", "rules", RULES), ("test", "rules", ALERT_TESTS)):
        done = subprocess.run([promtool, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_to_fire_and_not_to() -> None:
    tests: list[dict[str, Any]] = [
        one for each in yaml.safe_load(ALERT_TESTS.read_text())["tests"] for one in each["alert_rule_test"]
    ]
    alerts = {rule["alert"] for rule in ALERTS}
    assert {one["alertname"] for one in tests if one.get("exp_alerts")} == alerts
    assert {one["alertname"] for one in tests if not one.get("exp_alerts")} == alerts
