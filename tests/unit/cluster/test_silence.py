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
    silence.closed()
    assert silence.lasted(now=500.0) is None


def test_it_is_not_known_until_a_new_stream_has_caught_up() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    silence.closed()
    silence.opened(now=500.0)
    assert silence.lasted(now=500.0 + SETTLE_SECONDS - 0.1) is None
    assert silence.lasted(now=500.0 + SETTLE_SECONDS) == 400.0 + SETTLE_SECONDS, "a cut does not end it"


def test_what_was_printed_during_a_cut_ends_it_at_once() -> None:
    silence = Silence()
    silence.opened(now=100.0)
    silence.closed()
    silence.opened(now=500.0)
    silence.broken(now=500.5)
    assert silence.lasted(now=501.5) == 1.0


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        pytest.param(0, 600.0, id="never stopped"),
        pytest.param(3600, 600.0, id="an hour"),
        pytest.param(120, 60.0, id="two minutes"),
        pytest.param(5, 15.0, id="hardly anything"),
    ],
)
def test_a_silent_stream_is_checked_before_its_trainer_is_stopped(timeout: float, expected: float) -> None:
    assert check_seconds(timeout, at_most=600.0) == expected
