"""What the agent is told of base models, and what its last word tells where their names are too long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainyard_agent import messages, models
from trainyard_agent.order import read_order
from trainyard_agent.troubles import Trouble

Json = dict[str, Any]


SAID: Json = {
    "name": "champ@3",
    "folder": "/trainyard/work/base-models/0",
    "mounted": False,
    "uri": "s3://models/u/attempt-1",
    "kind": "version",
    "sha256": "a" * 64,
}


def read(**model: Any) -> Any:
    common = {"namespace": "team", "job": "j", "uid": "u", "attempt": 0}
    (one,) = read_order({"TRAINYARD_AGENT": json.dumps({**common, "baseModels": [model]})}).base_models
    return one


def test_an_order_says_what_is_fetched_and_with_which_secret() -> None:
    one = read(**SAID, region="eu", secrets="/trainyard/secrets/base-0")
    assert (one.place.uri, one.place.region, str(one.secret)) == (
        SAID["uri"],
        "eu",
        "/trainyard/secrets/base-0",
    )
    assert read(**SAID | {"sha256": f"sha256:{'A' * 64}"}).sha256 == "a" * 64
    assert not read(**SAID | {"secrets": None}).secret.exists()


@pytest.mark.parametrize(
    "change", [{"kind": "disk"}, {"kind": None}, *({name: ...} for name in SAID if name != "sha256")]
)
def test_an_order_that_cannot_be_read_says_so(change: Json) -> None:
    said = {name: value for name, value in {**SAID, **change}.items() if value is not ...}
    with pytest.raises(Trouble, match=r"settings\.agent\.image"):
        read(**said)


def test_of_an_address_that_is_too_long_the_word_of_failure_is_whole() -> None:
    name = f"s3://{'a' * 2040}"
    said = json.loads(messages.failed("wrong", model=name))
    assert said == {"error": "wrong", "modelFailed": True, "baseModel": name}
    said = json.loads(messages.failed("é" * 900, model=name))
    assert said.keys() == {"error", "modelFailed"}


def test_of_addresses_that_are_too_long_the_last_word_has_the_beginning() -> None:
    two = [models.Brought(name=f"s3://{letter * 2040}", sha256="f" * 64, bytes=1) for letter in "ab"]
    told = models.told(two, room=3072)
    assert len(json.dumps(told)) <= 3072
    assert [one["name"][:6] for one in told["baseModels"]] == ["s3://a", "s3://b"]
    assert models.told(two[:1], room=3072)["baseModels"][0]["name"] == two[0].name
