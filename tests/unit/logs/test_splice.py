"""A log that was cut is put together again: nothing twice, nothing lost without a mark."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainyard.logs.splice import (
    CUT_MARK,
    MAX_LINE,
    Line,
    LineSplitter,
    Splicer,
    gap,
    is_gap,
    nanoseconds,
    split,
)

SECOND = 1_000_000_000
START = 1_741_503_909


def stamp(offset: int) -> bytes:
    """A stamp `offset` nanoseconds after the start."""
    seconds, rest = divmod(offset, SECOND)
    moment = datetime.fromtimestamp(START + seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest:09d}Z".encode()


def raw(line: Line) -> bytes:
    return b" ".join(line)


def served(log: list[Line], since: str | None) -> list[bytes]:
    """What the kubelet answers: lines from `since` on, in the order of its file."""
    if since is None:
        return [raw(line) for line in log]
    least = nanoseconds(since.encode())
    assert least is not None
    return [raw(line) for line in log if (nanoseconds(line[0]) or 0) >= least]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"1970-01-01T00:00:01Z", SECOND, id="whole seconds"),
        pytest.param(b"1970-01-01T00:00:01.000000002Z", SECOND + 2, id="nine digits"),
        pytest.param(b"1970-01-01T00:00:01.5Z", SECOND + SECOND // 2, id="fewer digits"),
        pytest.param(b"1970-01-01T02:00:01.5+02:00", SECOND + SECOND // 2, id="another zone"),
        pytest.param(b"1970-13-01T00:00:01Z", None, id="no such month"),
        pytest.param(b"unable", None, id="a word"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_stamps(text: bytes, expected: int | None) -> None:
    assert nanoseconds(text) == expected


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b""))), st.lists(st.integers(1, 30)))
def test_lines_come_out_as_they_went_in_wherever_chunks_end(lines: list[bytes], sizes: list[int]) -> None:
    data, splitter, found = b"".join(line + b"\n" for line in lines), LineSplitter(), []
    for size in sizes:
        found += splitter.feed(data[:size])
        data = data[size:]
    found += splitter.feed(data)
    assert found == lines
    assert splitter.finish() == []


@pytest.mark.parametrize("size", [1000, MAX_LINE, 10 * MAX_LINE], ids=["small", "as the limit", "huge"])
def test_a_line_that_is_too_long_is_cut_the_same_way_in_every_chunking(size: int) -> None:
    data = b"x" * (3 * MAX_LINE) + b"\nnext\n"
    splitter, found = LineSplitter(), []
    for start in range(0, len(data), size):
        found += splitter.feed(data[start : start + size])
    assert found == [b"x" * MAX_LINE + CUT_MARK, b"next"]


def test_a_last_line_without_newline_comes_at_the_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"a\nb") == [b"a"]
    assert splitter.finish() == [b"b"]


A, B, C, D = ((stamp(n), f"line {n}".encode()) for n in (100, 200, 200 + SECOND, 300 + SECOND))
B2 = (B[0], b"another of the same moment")


@pytest.mark.parametrize(
    ("kept", "again", "new"),
    [
        pytest.param([], [A, B], [A, B], id="takes all lines of a first stream"),
        pytest.param([A, B], [A, B, C], [C], id="drops the lines of the last second"),
        pytest.param([A, B], [A, B], [], id="takes nothing when nothing is new"),
        pytest.param([A, B], [A, B, B2, C], [B2, C], id="takes a new line of the same moment"),
        pytest.param([A, B], [A, B, B, C], [B, C], id="counts equal lines"),
        pytest.param([A, B, B], [A, B, B, C], [C], id="drops equal lines as often as they are kept"),
        pytest.param(
            [A, B], [C, D], [gap(B[0], C[0]), C, D], id="marks a gap when the last line is not there"
        ),
        pytest.param([A, B, C], [C, D], [D], id="asks only from the last second on"),
        pytest.param([B], [B, A, C], [A, C], id="keeps a line that is out of order by a little"),
    ],
)
def test_resuming(kept: list[Line], again: list[Line], new: list[Line]) -> None:
    splicer = Splicer()
    assert splicer.take(map(raw, kept)) == kept
    splicer.resume()
    assert splicer.take(map(raw, again)) == new


@pytest.mark.parametrize("complete", [True, False], ids=["whole", "only the end of it"])
def test_continues_after_a_restart_from_what_is_stored(complete: bool) -> None:
    splicer = Splicer.resumed_from([B, C], complete=complete)
    assert splicer.since == "2025-03-09T07:05:10Z"
    splicer.resume()
    assert splicer.take(map(raw, [C, D])) == [D]


def test_does_not_take_lines_before_those_read_back() -> None:
    splicer = Splicer.resumed_from([B], complete=False)
    splicer.resume()
    assert splicer.take(map(raw, [A, B, C])) == [C]


def test_a_mark_of_a_gap_is_not_expected_to_come_again() -> None:
    splicer = Splicer.resumed_from([A, gap(A[0], C[0]), C], complete=True)
    splicer.resume()
    assert splicer.take(map(raw, [C, D])) == [D]


def test_only_our_own_marks_are_marks() -> None:
    assert is_gap(gap(A[0], B[0]))
    assert not is_gap((C[0], gap(A[0], B[0])[1]))


def test_the_kubelets_own_complaints_are_no_lines_of_the_trainer() -> None:
    splicer = Splicer()
    assert splicer.take([b"unable to retrieve container logs for containerd://abc", raw(A)]) == [A]
    assert split(b"failed to watch file") is None


def test_asks_for_nothing_special_at_first() -> None:
    assert Splicer().since is None
    assert Splicer.resumed_from([], complete=True).since is None


def test_a_second_with_more_lines_than_are_remembered_doubles_none() -> None:
    log = [(stamp(n), b"x") for n in range(70_000)]
    splicer = Splicer()
    splicer.take(map(raw, log))
    splicer.resume()
    assert splicer.take(map(raw, [*log, C])) == [C]


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """Lines with equal stamps, equal texts, and stamps slightly out of order within a second."""
    moment, log = 0, []
    for step in draw(st.lists(st.sampled_from([0, 0, 1, 5, 300_000_000, SECOND, 3 * SECOND]), max_size=25)):
        moment += step
        early = draw(st.sampled_from([0, 0, 0, 1, 4]))
        log.append(
            (stamp(max(moment - early, moment // SECOND * SECOND)), draw(st.sampled_from([b"a", b"b", b""])))
        )
    return log


@given(logs(), st.lists(st.integers(0, 25)), st.data())
def test_cuts_neither_double_nor_lose_a_line(log: list[Line], cuts: list[int], data: st.DataObject) -> None:
    splicer, kept = Splicer(), []
    written = 0
    for cut in [*cuts, len(log)]:
        written = max(written, min(cut, len(log)))
        if data.draw(st.booleans(), label="the operator restarts"):
            splicer = Splicer.resumed_from(kept, complete=True)
        lines = served(log[:written], splicer.since)
        splicer.resume()
        kept += splicer.take(lines[: data.draw(st.integers(0, len(lines)), label="lines before the cut")])
    splicer.resume()
    kept += splicer.take(served(log, splicer.since))
    assert sorted(kept) == sorted(log)


@given(logs(), st.integers(0, 25), st.integers(0, 25))
def test_what_a_rotation_takes_away_is_marked_and_the_rest_is_kept(
    log: list[Line], cut: int, lost: int
) -> None:
    splicer = Splicer()
    kept = splicer.take(map(raw, log[:cut]))
    rest = log[cut + lost :]
    # A line that is in all like a kept one cannot be told from it.
    assume(not set(kept) & set(rest))
    splicer.resume()
    new = splicer.take(served(rest, splicer.since))
    newest = max((nanoseconds(stamp) or 0 for stamp, _ in kept), default=-1)
    later = [line for line in rest if (nanoseconds(line[0]) or 0) > newest]
    taken = [line for line in new if not is_gap(line)]
    assert taken[len(taken) - len(later) :] == later
    assert any(map(is_gap, new)) == bool(later and kept)
