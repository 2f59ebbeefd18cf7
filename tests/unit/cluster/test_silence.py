"""Silence is counted only where somebody listened."""

from __future__ import annotations

import pytest

from trainyard.cluster.silence import SETTLE_SECONDS, Silence, check_seconds


def test_there_is_none_before_the_first_stream() -> None:
    assert Silence().lasted(now=100.0) is None


def test_it_begins_with_the_first_stream() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    assert silence.lasted(now=100.0) == 0.0
    assert silence.lasted(now=160.0) == 60.0


def test_what_comes_ends_it() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    silence.broken(now=130.0)
    assert silence.lasted(now=140.0) == 10.0


def test_it_is_not_known_while_no_stream_is_open() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    silence.closed(now=160.0)
    assert silence.lasted(now=500.0) is None


def test_it_is_not_known_until_a_new_stream_has_caught_up() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    silence.closed(now=160.0)
    silence.opened(now=500.0)
    assert silence.lasted(now=500.0 + SETTLE_SECONDS - 0.1) is None
    assert silence.lasted(now=500.0 + SETTLE_SECONDS) == 60.0 + SETTLE_SECONDS, "a cut stands still"


def test_what_was_printed_during_a_cut_ends_it_at_once() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    silence.closed(now=160.0)
    silence.opened(now=500.0)
    silence.broken(now=500.5)
    assert silence.lasted(now=501.5) == 1.0


def test_cuts_in_a_row_are_not_counted_whether_or_not_a_stream_caught_up_between_them() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    for closed, opened in ((110.0, 200.0), (201.0, 300.0), (320.0, 400.0)):
        silence.closed(now=closed)
        silence.closed(now=closed + 1.0)
        silence.opened(now=opened)
    assert silence.lasted(now=410.0) == 10.0 + 1.0 + 20.0 + 10.0


def test_one_that_is_to_be_checked_counts_when_a_later_stream_has_heard_it_too() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    assert silence.lasted(now=109.0, checked=True) is None
    silence.closed(now=110.0)
    silence.opened(now=110.0)
    assert silence.lasted(now=116.0, checked=True) == 16.0
    silence.broken(now=117.0)
    assert silence.lasted(now=118.0, checked=True) is None
    assert silence.lasted(now=118.0) == 1.0


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        pytest.param(0, 600.0, id="never stopped"),
        pytest.param(3600, 600.0, id="an hour"),
        pytest.param(120, 72.0, id="two minutes"),
        pytest.param(20, 12.0, id="less than half a minute"),
        pytest.param(5, 10.0, id="hardly anything: what a new stream takes to catch up, twice"),
    ],
)
def test_a_silent_stream_is_checked_before_its_trainer_is_stopped(timeout: float, expected: float) -> None:
    assert check_seconds(timeout, at_most=600.0) == expected


@pytest.mark.parametrize("timeout", [12.0, 20.0, 60.0, 900.0])
def test_when_a_trainer_is_stopped_for_its_silence_a_later_stream_is_open_and_has_caught_up(
    timeout: float,
) -> None:
    check, between = check_seconds(timeout, at_most=600.0), 0.5
    silence = Silence()
    now, opened = 0.0, 0.0
    silence.opened(now=0.0)
    claimed = None
    while claimed is None:
        now += 0.25
        if now - opened >= check:
            silence.closed(now=now)
            now = opened = now + between
            silence.opened(now=now)
        if (silence.lasted(now=now, checked=timeout <= check) or 0.0) >= timeout:
            claimed = now
    assert opened > 0.0, "its first connection may be dead"
    assert claimed <= max(timeout, 3 * SETTLE_SECONDS) + between + 0.25, "and not much later"
