"""The order, the credentials, the last word, and how much time there is."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from trainyard_agent import credentials, messages
from trainyard_agent.checkpoints import Broken, read_manifest
from trainyard_agent.endings import Ending
from trainyard_agent.order import Place, read_order
from trainyard_agent.troubles import Trouble

SAID: dict[str, Any] = {
    "namespace": "team",
    "job": "digits",
    "uid": "0e6ad5a1",
    "attempt": 2,
    "output": {"uri": "s3://models/team/", "endpoint": "http://s3"},
    "store": "s3://models/team",
    "outputDir": "/trainyard/output/0e6ad5a1/attempt-2",
    "resumeDir": "/trainyard/work/resume",
}


def test_an_order_is_read_with_its_defaults() -> None:
    order = read_order({"TRAINYARD_AGENT": json.dumps(SAID)})
    assert (order.rank, order.ranks, order.resumable, order.upload_seconds) == (0, 1, True, 300)
    assert order.output == Place(uri="s3://models/team", endpoint="http://s3")
    assert str(order.checkpoint_dir) == "/trainyard/output/0e6ad5a1/attempt-2/checkpoints"
    assert str(order.ending) == "/trainyard/work/ending"


@pytest.mark.parametrize("said", ["", "[]", "{}", json.dumps({**SAID, "uid": "../other"})])
def test_an_order_that_cannot_be_read_says_so(said: str) -> None:
    with pytest.raises(Trouble, match=r"settings\.agent\.image"):
        read_order({"TRAINYARD_AGENT": said})


def secret(folder: Path, **values: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("_json", ".json")).write_text(f"{value}\n")
    return folder


def test_a_secret_is_told_in_the_words_of_each_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    aws = secret(tmp_path / "s3", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_CA_BUNDLE="/ca")
    told = credentials.options(Place(uri="s3://m", region="eu-west-1"), aws)
    assert (told["key"], told["secret"], told["client_kwargs"]) == ("a", "b", {"region_name": "eu-west-1"})
    assert os.environ["AWS_CA_BUNDLE"] == "/ca"
    assert "AWS_ACCESS_KEY_ID" not in os.environ or os.environ["AWS_ACCESS_KEY_ID"] != "a"
    monkeypatch.delenv("AWS_CA_BUNDLE")
    google = secret(tmp_path / "gs", key_json="{}")
    assert credentials.options(Place(uri="gs://m"), google) == {"token": str(google / "key.json")}
    azure = secret(tmp_path / "abfs", AZURE_STORAGE_KEY="k")
    assert credentials.options(Place(uri="abfs://c", account="acc"), azure) == {
        "account_name": "acc",
        "account_key": "k",
    }


def test_without_a_secret_the_pods_identity_counts(tmp_path: Path) -> None:
    assert "key" not in credentials.options(Place(uri="s3://m"), tmp_path / "none")
    assert credentials.options(Place(uri="gs://m"), tmp_path / "none") == {}
    assert credentials.options(Place(uri="abfs://c", account="a"), tmp_path / "none")["anon"] is False


def test_the_last_word_names_as_many_artifacts_as_fit() -> None:
    artifacts = [
        {"path": f"{number}-{'é' * 20}", "size": number, "sha256": "a" * 64} for number in range(100)
    ]
    said = messages.outcome({"uploaded": True, "error": "x" * 5000, "files": 100}, artifacts)
    assert 2500 < len(said) <= messages.LIMIT
    told = json.loads(said)
    assert told["artifacts"] == artifacts[: len(told["artifacts"])]
    assert told["artifacts"]
    assert told["error"].endswith("...")


def test_a_result_that_is_too_long_loses_the_largest_part_of_its_record() -> None:
    record = {"metrics": ["m" * 100] * 50, "keyMetric": {"name": "accuracy"}}
    said = messages.complete({"uid": "u", "record": record})
    assert len(said) <= messages.LIMIT
    assert json.loads(said)["result"] == {"uid": "u", "record": {"keyMetric": {"name": "accuracy"}}}


@pytest.fixture
def ended() -> Ending:
    ending = Ending()
    ending._on_signal(signal.SIGTERM, None)
    return ending


def left(ending: Ending, begun: Path) -> float:
    return ending.left(upload_seconds=100, grace_seconds=30, begun=begun)


def test_there_is_no_hurry_before_the_signal(tmp_path: Path) -> None:
    assert left(Ending(), tmp_path / "ending") == float("inf")


def test_uploading_has_its_seconds_less_a_margin(ended: Ending, tmp_path: Path) -> None:
    assert 94 < left(ended, tmp_path / "ending") <= 95


def test_of_a_pod_that_is_deleted_the_whole_grace_period_counts_from_its_beginning(
    ended: Ending, tmp_path: Path
) -> None:
    begun = tmp_path / "ending"
    begun.touch()
    os.utime(begun, (time.time() - 60, time.time() - 60))
    assert 64 < left(ended, begun) <= 65.1


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "", "a/../../b", "a//b"])
def test_a_manifest_whose_files_leave_its_folder_is_broken(path: str) -> None:
    said = {"epoch": 1, "files": [{"path": path, "size": 1, "sha256": ""}]}
    with pytest.raises(Broken, match="no path inside the folder"):
        read_manifest(json.dumps(said).encode())
