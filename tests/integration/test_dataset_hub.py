"""What only one kind of source has: the revisions and pages of the Hugging Face hub, Azure's connection string."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import azurite, hub
from tests.harness.hub import Hub
from tests.integration.datapull import Puller

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def served() -> Iterator[Hub]:
    with hub.running() as one:
        yield one


def pods(served: Hub, tmp_path: Path, **source: Any) -> Puller:
    return Puller(tmp_path, {"uri": "hf://datasets/team/digits", "endpoint": served.endpoint, **source})


def test_a_branch_is_a_commit_and_a_tag_stays(served: Hub, tmp_path: Path) -> None:
    repository = served.add("team/digits", {"a.csv": b"a\n1\n"})
    first = repository.commit({"a.csv": b"a\n1\n"}, ref="v1")
    second = repository.commit({"a.csv": b"a\n2\n"})
    for revision, commit, wanted in (
        ("", second, b"a\n2\n"),
        ("main", second, b"a\n2\n"),
        ("v1", first, b"a\n1\n"),
        (first, first, b"a\n1\n"),
    ):
        one = pods(served, tmp_path / (revision or "none"), revision=revision)
        survey = one.survey()
        assert survey.word["revision"] == commit
        assert one.pull(survey.word["listing"]).code == 0
        assert one.pulled() == {"a.csv": wanted}


def test_a_revision_that_is_not_there_is_told(served: Hub, tmp_path: Path) -> None:
    served.add("team/digits", {"a.csv": b"a\n1\n"})
    one = pods(served, tmp_path, revision="v9")
    one.hurried = True
    kind, sentence = one.survey().failed()
    assert (kind, "v9" in sentence) == ("missing", True)


def test_all_pages_are_read_and_a_busy_hub_is_waited_for(served: Hub, tmp_path: Path) -> None:
    files = {f"data/{number:04}.txt": b"%d" % number for number in range(350)}
    served.add("team/digits", {**files, "README.md": b"#"})
    served.busy = 3
    one = pods(served, tmp_path, filters=["data/**"])
    survey = one.survey()
    assert survey.word["files"] == 350
    assert one.pull(survey.word["listing"]).code == 0
    assert one.pulled() == files


def test_azures_connection_string_says_everything(tmp_path: Path) -> None:
    with azurite.running(tmp_path, "data") as server:
        server.write("data", {"set/a.csv": b"a\n1\n"})
        secret = {"AZURE_STORAGE_CONNECTION_STRING": server.connection_string}
        one = Puller(tmp_path / "pod", {"uri": "abfs://data/set"}, secret=secret)
        survey = one.survey()
        assert survey.code == 0, survey.word
        assert one.pull(survey.word["listing"]).code == 0
        assert one.pulled() == {"a.csv": b"a\n1\n"}
