"""From what was measured to tables."""

from __future__ import annotations

import pytest

from tests.bench import figures, report
from tests.bench.scenarios.requests import counted

MACHINE = {"date": "2026-01-02", "cores": 2, "memoryGiB": 8.0, "kernel": "6.1", "python": "3.11"}
SLOW = {"jobsPerSecond": 20.0, "applyToPod": {"p50Ms": 8.0, "p99Ms": 16.0}}
FAST = {"jobsPerSecond": 40.0, "applyToPod": {"p50Ms": 4.0, "p99Ms": 8.0}}


def test_numbers_are_named_by_where_they_are() -> None:
    assert figures.flat({"a": 1, "b": {"c": 2.5, "d": "text"}}) == {"a": 1, "b.c": 2.5}


def test_a_summary_has_only_what_every_round_has() -> None:
    found = figures.summarized([{"a": 1, "b": 2}, {"a": 3}])
    assert list(found) == ["a"]
    assert found["a"]["median"] == 2


def test_rounds_are_compared_pair_by_pair() -> None:
    found = figures.compared([SLOW, FAST], [FAST, FAST], ["jobsPerSecond", "none"])
    assert list(found) == ["jobsPerSecond"]
    assert (found["jobsPerSecond"]["lowest"], found["jobsPerSecond"]["highest"]) == (0.5, 1.0)


def test_the_table_of_a_burst_has_each_contender_and_the_ratios() -> None:
    result = {
        "rounds": 1,
        "summaries": {"bare": figures.summarized([FAST]), "trainyard": figures.summarized([SLOW])},
        "ratios": {"trainyard/bare": figures.compared([SLOW], [FAST], ["jobsPerSecond"])},
    }
    lines = report.text({"machine": MACHINE, "burst": {"500": result}}).splitlines()
    assert "### A burst of 500 jobs" in lines
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert ["", "bare", "trainyard"] in cells
    assert ["jobs/s", "40.0 (40.0 to 40.0)", "20.0 (20.0 to 20.0)"] in cells
    assert ["trainyard / bare", "jobs/s", "0.50", "-", "0.50 to 0.50"] in cells


def test_tables_go_between_the_markers_of_a_document() -> None:
    document = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.into(document, "new")
    assert once == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    assert report.into(once, "new") == once


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="figures: begin"):
        report.into("text", "new")


def test_requests_are_counted_by_verb_and_resource_for_one_user_and_namespace() -> None:
    def event(
        user: str, verb: str, *, namespace: str = "a", stage: str = "ResponseComplete", code: int = 200
    ) -> bytes:
        return (
            f'{{"user":{{"username":"{user}"}},"verb":"{verb}","stage":"{stage}","responseStatus":{{"code":{code}}},'
            f'"objectRef":{{"resource":"pods","subresource":"status","namespace":"{namespace}"}}}}'
        ).encode()

    lines = [
        event("me", "patch"),
        event("me", "patch", code=409),
        event("me", "watch"),
        event("me", "patch", namespace="b"),
        event("me", "patch", stage="ResponseStarted"),
        event("you", "patch"),
    ]
    found = counted(lines, user="me", namespace="a")
    assert found == {"patch pods/status": 1, "patch pods/status (409)": 1}
