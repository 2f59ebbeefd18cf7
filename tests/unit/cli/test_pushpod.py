"""The claim and the pod of a push, and the amounts that decide on their size."""

from __future__ import annotations

import hashlib
import json

import pytest

from trainyard.cli import pushpod
from trainyard.cli.amounts import bytes_of
from trainyard.cli.sharepod import Image

DATASET = {"metadata": {"name": "digits", "namespace": "team", "uid": "0e6ad5a1"}, "spec": {}}
OWNER = {
    "apiVersion": "trainyard.dev/v1alpha1",
    "kind": "Dataset",
    "name": "digits",
    "uid": "0e6ad5a1",
    "controller": False,
    "blockOwnerDeletion": False,
}


def test_the_pod_knows_the_digest_of_the_token_alone_and_passes_restricted() -> None:
    token = pushpod.token()
    pod = pushpod.pod(DATASET, claim="data-1", image=Image(name="agent:1", pull_policy="Never"), token=token)
    assert token not in json.dumps(pod)
    (container,) = pod["spec"]["containers"]
    assert (
        json.loads(container["env"][0]["value"])["tokenSha256"] == hashlib.sha256(token.encode()).hexdigest()
    )
    assert (container["image"], container["imagePullPolicy"]) == ("agent:1", "Never")
    assert pod["metadata"]["ownerReferences"] == [OWNER]
    assert pod["metadata"]["name"] == "digits-push"
    assert pod["spec"]["activeDeadlineSeconds"] > 0
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["fsGroup"] == 65532
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_pod_runs_where_those_that_pull_do() -> None:
    ours = {"key": "storage", "operator": "Exists"}
    pod = pushpod.pod(
        DATASET,
        claim="data-1",
        image=Image(name="agent:1"),
        token="t",
        node_selector={"disk": "ssd"},
        tolerations=[ours],
    )
    assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert pod["spec"]["tolerations"][0] == ours
    assert [one["key"] for one in pod["spec"]["tolerations"]] == ["storage", "nvidia.com/gpu"]


@pytest.mark.parametrize("storage_class", [None, "fast"])
def test_the_claim_belongs_to_the_dataset_and_is_marked_until_the_end(storage_class: str | None) -> None:
    name = pushpod.claim_name()
    claim = pushpod.claim(
        DATASET, name=name, storage="2Gi", storage_class=storage_class, access_mode="ReadWriteMany"
    )
    assert name.startswith("data-")
    assert len(name) == len("data-") + 12
    assert claim["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "trainyard",
        "trainyard.dev/dataset": "digits",
        "trainyard.dev/dataset-uid": "0e6ad5a1",
        "trainyard.dev/upload": "unfinished",
    }
    assert claim["metadata"]["ownerReferences"] == [OWNER]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"].get("storageClassName") == storage_class


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0", 0),
        ("123", 123),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 << 29),
        ("500M", 500_000_000),
        ("2Ti", 2 << 40),
        ("1e9", 10**9),
        ("1.5E3", 1500),
        ("2E", 2 * 10**18),
        (".5Ei", 1 << 59),
        ("1500m", 1),
        ("", None),
        ("10GB", None),
        ("-1Gi", None),
        ("1 Gi", None),
        ("1ki", None),
        ("١", None),
    ],
)
def test_bytes_of_a_quantity(quantity: str, expected: int | None) -> None:
    assert bytes_of(quantity) == expected
