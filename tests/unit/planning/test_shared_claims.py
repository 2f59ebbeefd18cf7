"""A claim that several parts of a pod mount is one volume of it."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.planning import sharedclaims

Json = dict[str, Any]


def volume(name: str, claim: str, **source: Any) -> Json:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, **source}}


def mount(name: str, path: str, **more: Any) -> Json:
    return {"name": name, "mountPath": path, **more}


def test_the_first_volume_of_a_claim_stands_for_the_others() -> None:
    told = sharedclaims.joined(
        {
            "volumes": [volume("output", "made"), {"name": "work", "emptyDir": {}}, volume("target", "made")],
            "containers": [{"name": "a", "volumeMounts": [mount("target", "/t"), mount("work", "/w")]}],
            "initContainers": [{"name": "b", "volumeMounts": [mount("output", "/o", readOnly=True)]}],
        }
    )
    assert [one["name"] for one in told["volumes"]] == ["output", "work"]
    assert told["containers"][0]["volumeMounts"] == [mount("output", "/t"), mount("work", "/w")]
    assert told["initContainers"][0]["volumeMounts"] == [mount("output", "/o", readOnly=True)]


@pytest.mark.parametrize("turned", [False, True], ids=["the first", "the second"])
def test_what_was_read_only_still_is_and_the_other_can_be_written(turned: bool) -> None:
    volumes = [volume("data", "made", readOnly=True), volume("target", "made")]
    told = sharedclaims.joined(
        {
            "volumes": volumes[::-1] if turned else volumes,
            "containers": [{"name": "a", "volumeMounts": [mount("data", "/d"), mount("target", "/t")]}],
        }
    )
    (only,) = told["volumes"]
    assert not only["persistentVolumeClaim"].get("readOnly")
    name = only["name"]
    assert told["containers"][0]["volumeMounts"] == [mount(name, "/d", readOnly=True), mount(name, "/t")]


def test_other_pods_stay_as_they_are() -> None:
    spec = {"containers": [{"name": "a"}], "volumes": [volume("a", "one"), volume("b", "two")]}
    assert sharedclaims.joined(spec) == spec
    assert sharedclaims.joined({"containers": []}) == {"containers": []}
