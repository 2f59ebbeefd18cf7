"""What a Dataset's status says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, said, status_after
from trainyard.api.dataset import DatasetSpec
from trainyard.planning.dataset import ObservedDataset, plan_dataset


def a_dataset(*, claim_exists: bool = True, **spec: Any) -> ObservedDataset:
    return ObservedDataset(
        namespace="team-a",
        name="digits",
        uid="u",
        generation=1,
        deleting=False,
        status={"observedGeneration": -1},
        spec=DatasetSpec.model_validate({"type": "tabular", **spec}),
        claim_exists=claim_exists,
    )


def conditions_of(observed: ObservedDataset) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status_after(plan_dataset(observed, now=NOW))["conditions"]}


@pytest.mark.parametrize(
    ("observed", "state"),
    [
        pytest.param(a_dataset(), ("Pending", "Draft"), id="a draft while it has no source"),
        pytest.param(
            a_dataset(source={"uri": "pvc://data/digits"}), ("Done", "Completed"), id="done when its claim is there"
        ),
        pytest.param(
            a_dataset(source={"uri": "pvc://data/digits"}, claim_exists=False),
            ("Pending", "ClaimNotFound"),
            id="pending while its claim is not there",
        ),
        pytest.param(
            a_dataset(source={"uri": "s3://bucket/digits"}),
            ("Pending", "NotYetSupported"),
            id="not supported when its data is elsewhere",
        ),
        pytest.param(
            a_dataset(source={"upload": {}}),
            ("Pending", "NotYetSupported"),
            id="not supported when its data is to be uploaded",
        ),
    ],
)  # fmt: skip
def test_a_dataset_is(observed: ObservedDataset, state: tuple[str, str]) -> None:
    assert said(plan_dataset(observed, now=NOW)) == state


def test_one_that_is_not_supported_is_stalled_and_names_the_field() -> None:
    observed = a_dataset(source={"uri": "s3://bucket/digits"})
    assert conditions_of(observed) == {
        "Ready": "False",
        "Reconciling": "False",
        "Stalled": "True",
        "Available": "False",
    }
    assert "spec.source.uri: s3:" in status_after(plan_dataset(observed, now=NOW))["message"]


def test_a_draft_is_healthy_for_a_gitops_tool() -> None:
    assert conditions_of(a_dataset())["Ready"] == "True"
    assert conditions_of(a_dataset())["Stalled"] == "False"


def test_taking_the_field_out_cures_it() -> None:
    first = plan_dataset(a_dataset(source={"uri": "s3://bucket/digits"}), now=NOW)
    cured = dataclasses.replace(a_dataset(source={"uri": "pvc://data/digits"}), status=status_after(first))
    assert said(plan_dataset(cured, now=NOW)) == ("Done", "Completed")
    assert conditions_of(cured)["Stalled"] == "False"
