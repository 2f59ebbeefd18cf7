"""What follows the end of a stream, row by row."""

from __future__ import annotations

import pytest

from trainyard.logs.reconnect import Next, Outcome, after_stream, delay


@pytest.mark.parametrize(
    ("outcome", "ended_for", "tries", "early_by", "expected"),
    [
        pytest.param(
            Outcome.CLEAN, None, 0, None, Next.AWAIT_END, id="waits whether the container has ended"
        ),
        pytest.param(Outcome.CLEAN, 0.0, 0, None, Next.ENDED, id="asks no second time after a clean end"),
        pytest.param(
            Outcome.CLEAN, 0.0, 0, -0.5, Next.ENDED, id="ends when the stream outlived the container"
        ),
        pytest.param(
            Outcome.CLEAN, 0.0, 0, 9.0, Next.RECONNECT, id="asks again when the stream closed long before"
        ),
        pytest.param(Outcome.CLEAN, 1.0, 1, 9.0, Next.ENDED, id="asks only once then"),
        pytest.param(
            Outcome.COMPLAINED, None, 0, None, Next.AWAIT_END, id="waits a while when a kubelet cannot follow"
        ),
        pytest.param(
            Outcome.COMPLAINED,
            0.0,
            0,
            -0.5,
            Next.RECONNECT,
            id="reads the rest that a kubelet did not follow",
        ),
        pytest.param(Outcome.COMPLAINED, 1.0, 1, -0.5, Next.ENDED, id="reads that rest only once"),
        pytest.param(Outcome.CUT, None, 0, None, Next.RECONNECT, id="reconnects after a cut"),
        pytest.param(Outcome.CUT, 0.0, 0, None, Next.RECONNECT, id="fetches the rest of an ended container"),
        pytest.param(Outcome.CUT, 99.0, 0, None, Next.RECONNECT, id="fetches the rest however late, once"),
        pytest.param(
            Outcome.CUT, 20.0, 4, None, Next.RECONNECT, id="tries for a while while the API is away"
        ),
        pytest.param(
            Outcome.CUT, 31.0, 1, None, Next.ENDED, id="gives an ended container's log up in the end"
        ),
        pytest.param(
            Outcome.NOT_STARTED, None, 0, None, Next.RECONNECT, id="waits for the container to start"
        ),
        pytest.param(
            Outcome.NOT_STARTED, 0.0, 0, None, Next.RECONNECT, id="asks an ended container once more"
        ),
        pytest.param(
            Outcome.NOT_STARTED, 1.0, 1, None, Next.ENDED, id="ends when the container never started"
        ),
        pytest.param(
            Outcome.GONE, None, 0, None, Next.RECONNECT, id="asks again when a kubelet does not know the pod"
        ),
        pytest.param(Outcome.GONE, 0.0, 0, None, Next.ENDED, id="ends when an ended pod is gone"),
    ],
)
def test_after_a_stream(
    outcome: Outcome, ended_for: float | None, tries: int, early_by: float | None, expected: Next
) -> None:
    assert after_stream(outcome, ended_for=ended_for, tries_after_end=tries, early_by=early_by) is expected


@pytest.mark.parametrize(
    ("gone_for", "expected"),
    [
        pytest.param(59.0, Next.RECONNECT, id="asks for a minute"),
        pytest.param(60.0, Next.ENDED, id="believes in the end that the pod is gone"),
    ],
)
def test_after_nothing_but_gone(gone_for: float, expected: Next) -> None:
    assert after_stream(Outcome.GONE, ended_for=None, gone_for=gone_for) is expected


@pytest.mark.parametrize(
    ("outcome", "failures", "jitter", "expected"),
    [
        pytest.param(Outcome.CUT, 0, 0.5, 0.5, id="soon at first"),
        pytest.param(Outcome.CUT, 3, 0.5, 4.0, id="doubling"),
        pytest.param(Outcome.CUT, 99, 0.5, 30.0, id="at most half a minute"),
        pytest.param(Outcome.CUT, 99, 0.0, 22.5, id="with jitter"),
        pytest.param(Outcome.NOT_STARTED, 99, 0.5, 5.0, id="sooner for a container that is about to start"),
        pytest.param(Outcome.GONE, 99, 0.5, 5.0, id="sooner for a kubelet that has just started"),
    ],
)
def test_delays(outcome: Outcome, failures: int, jitter: float, expected: float) -> None:
    assert delay(outcome, failures=failures, jitter=jitter) == expected


@pytest.mark.parametrize(
    ("asked", "ended", "expected"),
    [
        pytest.param(0.0, False, 4.0, id="nothing asked"),
        pytest.param(2.0, False, 4.0, id="less asked"),
        pytest.param(7.0, False, 7.0, id="as the server asks"),
        pytest.param(3600.0, False, 30.0, id="no server puts it off for an hour"),
        pytest.param(3600.0, True, 5.0, id="a verdict waits for the end of a log"),
    ],
)
def test_what_the_server_asks_to_wait_has_a_bound(asked: float, ended: bool, expected: float) -> None:
    assert delay(Outcome.CUT, failures=3, jitter=0.5, asked=asked, ended=ended) == expected


def test_once_the_container_has_ended_its_log_is_asked_for_every_few_seconds() -> None:
    assert delay(Outcome.CUT, failures=99, jitter=0.5, ended=True) == 5.0
