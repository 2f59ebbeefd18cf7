"""Tests of what makes the pods of an attempt a gang."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import UID, a_job, a_spec
from trainyard.planning.gang import Gang, gang
from trainyard.planning.placement import AcceleratorRules

SCHEDULERS = {"scheduler-plugins-scheduler": "coscheduling", "volcano": "volcano", "ours": "volcano"}


def of(*, attempt: int = 0, rank: int = 0, resource_name: str = "nvidia.com/gpu", **fields: Any) -> Gang:
    spec = a_spec(**fields)
    rules = AcceleratorRules(resource_name=resource_name)
    observed = a_job(spec=spec)
    return gang(observed, spec, attempt=attempt, rank=rank, schedulers=SCHEDULERS, rules=rules)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="of one pod"),
        pytest.param({"nodes": 4}, id="of four pods and no scheduler that knows groups"),
        pytest.param({"nodes": 4, "schedulerName": "my-scheduler"}, id="with a scheduler that is not known"),
        pytest.param({"schedulerName": "volcano"}, id="of one pod that Volcano schedules"),
        pytest.param({"schedulerName": "scheduler-plugins-scheduler"}, id="of one pod for coscheduling"),
    ],
)
def test_a_job_without_queue_has_no_gang(fields: dict[str, Any]) -> None:
    assert of(**fields) == Gang()


def test_a_queue_for_one_pod_is_its_label_alone() -> None:
    assert of(queueName="team-a") == Gang(labels={"kueue.x-k8s.io/queue-name": "team-a"})


def test_a_queue_for_several_pods_makes_them_a_group_of_kueue() -> None:
    found = of(queueName="team-a", nodes=4, rank=2)
    assert found.labels == {
        "kueue.x-k8s.io/queue-name": "team-a",
        "kueue.x-k8s.io/pod-group-name": "digits-0",
        "kueue.x-k8s.io/pod-group-pod-index": "2",
    }
    assert found.annotations == {
        "kueue.x-k8s.io/pod-group-total-count": "4",
        "kueue.x-k8s.io/retriable-in-group": "false",
    }
    assert found.objects == ()


def test_every_attempt_is_a_group_of_its_own() -> None:
    many: dict[str, Any] = {"queueName": "q", "nodes": 2, "schedulerName": "scheduler-plugins-scheduler"}
    first, second = of(attempt=0, **many), of(attempt=1, **many)
    for label in ("kueue.x-k8s.io/pod-group-name", "scheduling.x-k8s.io/pod-group"):
        assert (first.labels[label], second.labels[label]) == ("digits-0", "digits-1")
    assert [o["metadata"]["name"] for o in (*first.objects, *second.objects)] == ["digits-0", "digits-1"]


def test_coscheduling_gets_a_pod_group_that_goes_with_the_job() -> None:
    found = of(nodes=4, schedulerName="scheduler-plugins-scheduler", accelerator={"count": 1}, attempt=3)
    assert found.labels == {"scheduling.x-k8s.io/pod-group": "digits-3"}
    assert found.annotations == {}
    (group,) = found.objects
    assert (group["apiVersion"], group["kind"]) == ("scheduling.x-k8s.io/v1alpha1", "PodGroup")
    assert (group["metadata"]["namespace"], group["metadata"]["name"]) == ("team-a", "digits-3")
    assert [(o["kind"], o["uid"]) for o in group["metadata"]["ownerReferences"]] == [("TrainingJob", UID)]
    assert group["metadata"]["labels"]["trainyard.dev/attempt"] == "3"
    assert group["spec"] == {"minMember": 4}


def test_volcano_is_told_what_all_pods_ask_for_together() -> None:
    found = of(
        nodes=4,
        schedulerName="ours",
        priorityClassName="urgent",
        accelerator={"count": 2},
        resources={"requests": {"cpu": "500m", "memory": "1.5Gi"}, "limits": {"memory": "2Gi", "fpga": 1}},
        template={"metadata": {"annotations": {"scheduling.volcano.sh/queue-name": "research"}}},
        resource_name="amd.com/gpu",
    )
    assert found.labels == {}
    assert found.annotations == {"scheduling.k8s.io/group-name": "digits-0"}
    (group,) = found.objects
    assert group["apiVersion"] == "scheduling.volcano.sh/v1beta1"
    assert group["spec"] == {
        "minMember": 4,
        "queue": "research",
        "priorityClassName": "urgent",
        "minResources": {"amd.com/gpu": "8", "cpu": "2000m", "fpga": "4", "memory": "6Gi"},
    }


@pytest.mark.parametrize(
    ("one", "all_of_three"),
    [
        ("1", "3"),
        ("100", "300"),
        ("0.5", "1.5"),
        (".25", "0.75"),
        ("1e3", "3e3"),
        ("2.50Gi", "7.5Gi"),
        ("333m", "999m"),
        ("0", "0"),
    ],
)
def test_a_quantity_is_multiplied_in_its_own_unit(one: str, all_of_three: str) -> None:
    (group,) = of(nodes=3, schedulerName="volcano", resources={"requests": {"cpu": one}}).objects
    assert group["spec"]["minResources"] == {"cpu": all_of_three}


def test_volcano_is_told_of_no_resources_when_none_are_asked_for() -> None:
    (group,) = of(nodes=3, schedulerName="volcano").objects
    assert group["spec"] == {"minMember": 3}


def test_kueue_and_a_scheduler_of_groups_go_together() -> None:
    found = of(nodes=2, queueName="team-a", schedulerName="volcano")
    assert found.labels["kueue.x-k8s.io/pod-group-name"] == "digits-0"
    assert found.annotations.keys() == {
        "kueue.x-k8s.io/pod-group-total-count",
        "kueue.x-k8s.io/retriable-in-group",
        "scheduling.k8s.io/group-name",
    }
    assert len(found.objects) == 1


def test_the_longest_name_of_a_job_gives_a_group_that_fits_a_label() -> None:
    spec = a_spec(nodes=2, queueName="q")
    observed = dataclasses.replace(a_job(spec=spec), name="a" * 50)
    found = gang(observed, spec, attempt=99_999, rank=1023, schedulers={}, rules=AcceleratorRules())
    assert all(len(value) <= 63 for value in found.labels.values())
