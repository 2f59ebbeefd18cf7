"""What the operator tells the agent of models, read by the agent itself: one contract, two packages."""

from __future__ import annotations

from typing import Any

from trainyard.api.shared import Store
from trainyard.planning import agentpod, recordpod
from trainyard.planning.agentpod import AgentOrder, AgentRules, BaseModelOrder
from trainyard.planning.context import Context
from trainyard.planning.modelobserved import ObservedModel
from trainyard_agent.order import read_order
from trainyard_agent.recordorder import read_record_order

ORDER: dict[str, Any] = {
    "namespace": "team",
    "job": "j",
    "uid": "u",
    "origins": (),
    "attempt": 0,
    "rank": 0,
    "ranks": 1,
    "output": None,
    "parent": None,
    "handed": None,
    "resumable": True,
    "grace_seconds": 30,
    "upload_seconds": 300,
    "verdict_url": None,
}
STORE = Store.model_validate({"secretRef": {"name": "keys"}, "endpoint": "http://s3", "region": "eu"})


def variable(container: dict[str, Any], name: str) -> dict[str, str]:
    """As the kubelet hands it to the container."""
    (found,) = [one["value"] for one in container["env"] if one["name"] == name]
    return {name: found.replace("$$", "$")}


def test_base_models_arrive_as_they_were_told() -> None:
    mounted = BaseModelOrder(
        name="champ@3",
        folder="/trainyard/base-models/0",
        mounted=True,
        uri="pvc://m/u/attempt-0",
        kind="version",
        sha256="a" * 64,
        store=None,
        card=None,
    )
    fetched = BaseModelOrder(
        name="s3://m/$(x)",
        folder="/trainyard/work/base-models/1",
        mounted=False,
        uri="s3://m/$(x)",
        kind="folder",
        sha256=None,
        store=STORE,
        card="s3://m/card.md",
    )
    parts = agentpod.fragments(AgentOrder(**ORDER, base_models=(mounted, fetched)), AgentRules())
    (fetch,) = parts.init_containers
    first, second = read_order(variable(fetch, "TRAINYARD_AGENT")).base_models
    assert (first.name, str(first.folder), first.mounted, first.kind) == (
        "champ@3",
        mounted.folder,
        True,
        "version",
    )
    assert (first.place.uri, first.sha256, first.card) == (mounted.uri, "a" * 64, "")
    assert (second.place.uri, second.place.endpoint, second.place.region) == (
        "s3://m/$(x)",
        "http://s3",
        "eu",
    )
    assert (second.mounted, second.sha256, second.card) == (False, "", "s3://m/card.md")
    mounts = {mount["mountPath"] for mount in fetch["volumeMounts"]}
    assert str(second.secret) in mounts
    assert str(first.secret) not in mounts


def test_a_version_to_record_arrives_as_it_was_told() -> None:
    model = ObservedModel(
        namespace="team", name="digits", uid="m", generation=1, deleting=False, status={}, spec=None
    )
    version = {
        "number": 3,
        "time": "2026-01-01T00:00:00Z",
        "origin": "job",
        "uri": "s3://out/$(x)/u/attempt-2",
        "sha256": "a" * 64,
        "store": STORE.model_dump(by_alias=True, exclude_none=True),
    }
    pod = recordpod.build(model, version, job={"spec": {"parameters": {"a": "$(b)"}}}, rules=Context())
    (container,) = pod["spec"]["containers"]
    order = read_record_order(variable(container, "TRAINYARD_RECORD"))
    assert (order.uid, order.artifacts, order.sha256) == ("u", "u/attempt-2", "a" * 64)
    assert (order.output.uri, order.store, order.stem) == (
        "s3://out/$(x)",
        "s3://out/$(x)",
        "u/models/digits-3",
    )
    assert order.record["parameters"] == {"a": "$(b)"}
    assert f"{order.secrets}/output" in {mount["mountPath"] for mount in container["volumeMounts"]}
