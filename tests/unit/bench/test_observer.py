"""What the observer reads of the events of a watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.bench.contenders import ENDS
from tests.bench.journal import Reader, Writer
from tests.bench.jsonpath import JsonPath
from tests.bench.observer import object_reader, pod_reader, version


def line(kind: str, metadata: dict[str, Any], status: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, "object": {"metadata": metadata, "status": status}})


def pod(phase: str, **more: Any) -> bytes:
    return line("MODIFIED", {"labels": {"trainyard.dev/job": "one"}, **more}, {"phase": phase})


def test_each_step_of_a_pod_is_written_once(tmp_path: Path) -> None:
    journal = Writer(tmp_path / "journal")
    read = pod_reader("trainyard.dev/job", journal)
    phases = ["Pending", "Pending", "Running", "Running", "Succeeded", "Succeeded"]
    for at, phase in enumerate(phases):
        read(float(at), pod(phase))
    journal.close()
    entries = Reader(tmp_path / "journal").new()
    assert entries == [[0.0, "created", "one"], [2.0, "running", "one"], [4.0, "ended", "one"]]


def test_a_phase_within_an_annotation_is_not_the_pods(tmp_path: Path) -> None:
    journal = Writer(tmp_path / "journal")
    pod_reader("trainyard.dev/job", journal)(1.0, pod("Pending", annotations={"x": '{"phase":"Succeeded"}'}))
    journal.close()
    assert Reader(tmp_path / "journal").new() == [[1.0, "created", "one"]]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Done"}, "done"),
        ({"phase": "Error"}, "failed"),
        ({"phase": "Running"}, None),
        ({"phase": "Running", "message": 'a log said "phase":"Done"'}, None),
        ({"phase": "Running", "other": {"phase": "Done"}}, None),
    ],
)
def test_the_end_of_a_job_is_what_its_own_phase_says(
    tmp_path: Path, status: dict[str, Any], expected: str | None
) -> None:
    journal = Writer(tmp_path / "journal")
    object_reader(ENDS, journal)(1.0, line("MODIFIED", {"name": "one"}, status))
    journal.close()
    assert Reader(tmp_path / "journal").new() == ([[1.0, expected, "one"]] if expected else [])


def test_a_watch_goes_on_from_the_version_of_its_last_event() -> None:
    assert version(line("ADDED", {"name": "one", "resourceVersion": "77"}, {})) == "77"


def test_a_journal_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    reader, writer = Reader(path), Writer(path)
    assert reader.new() == []
    writer.add(1.0, "sent", "one")
    writer.close()
    with path.open("ab") as file:
        file.write(b'[2.0,"se')
    assert reader.new() == [[1.0, "sent", "one"]]
    with path.open("ab") as file:
        file.write(b'nt","two"]\n')
    assert reader.new() == [[2.0, "sent", "two"]]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".status.phase", ["Running"]),
        ("{.status.phase}", ["Running"]),
        ('.status.conditions[?(@.type=="Complete")].status', ["True"]),
        (".status.conditions[*].type", ["Ready", "Complete"]),
        (".status.nothing.there", []),
    ],
)
def test_a_json_path_gives_all_values_there(path: str, expected: list[str]) -> None:
    conditions = [{"type": "Ready", "status": "False"}, {"type": "Complete", "status": "True"}]
    thing = {"status": {"phase": "Running", "conditions": conditions}}
    assert JsonPath(path).values(thing) == expected


def test_a_json_path_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="is not known here"):
        JsonPath(".status..phase")
