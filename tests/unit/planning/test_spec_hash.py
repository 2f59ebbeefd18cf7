"""What counts as the same job: the digest says of an edit what the rules of the CRD say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.builders import a_spec
from trainyard.planning.spechash import spec_hash

A, B = ({"name": name, "resourceClaimName": name} for name in "ab")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            {}, {"nodeSelector": {}, "affinity": {}, "command": [], "args": []}, id="absent and empty"
        ),
        pytest.param({}, {"datasets": {}, "resources": {"limits": {}}}, id="absent and empty below"),
        pytest.param({"resourceClaims": [A, B]}, {"resourceClaims": [B, A]}, id="claims in another order"),
        pytest.param({}, {"nodes": 1, "action": "train"}, id="absent and the default"),
    ],
)
def test_the_same_job(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert spec_hash(a_spec(**before)) == spec_hash(a_spec(**after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {"accelerator": {}}, id="no device and one"),
        pytest.param(
            {"env": [{"name": "A"}, {"name": "B"}]},
            {"env": [{"name": "B"}, {"name": "A"}]},
            id="env reordered",
        ),
        pytest.param(
            {"datasets": {"train": ["a", "b"]}}, {"datasets": {"train": ["b", "a"]}}, id="data reordered"
        ),
        pytest.param({"args": ["a"]}, {"args": []}, id="arguments and none"),
    ],
)
def test_another_job(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert spec_hash(a_spec(**before)) != spec_hash(a_spec(**after))


def test_a_hash_is_remembered_of_a_spec_and_not_of_one_that_takes_its_place_in_memory() -> None:
    assert len({spec_hash(a_spec(nodes=number)) for number in range(1, 101)}) == 100
