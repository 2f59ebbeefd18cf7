"""How often one pod may ask."""

from __future__ import annotations

import pytest

from trainyard.reports import rate
from trainyard.reports.rate import Buckets


def test_a_burst_is_served_and_then_so_many_a_second() -> None:
    buckets = Buckets(rate=10, burst=20)
    assert [buckets.wait("pod", now=0.0) for _ in range(20)] == [0.0] * 20
    assert buckets.wait("pod", now=0.0) == pytest.approx(0.1)
    assert buckets.wait("pod", now=0.05) == pytest.approx(0.05)
    assert buckets.wait("pod", now=0.11) == 0.0
    assert sum(not buckets.wait("pod", now=1 + n / 100) for n in range(100)) == pytest.approx(18, abs=1)


def test_one_pod_does_not_use_up_what_another_has() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert buckets.wait("one", now=0.0) == 0.0
    assert buckets.wait("one", now=0.0) == 1.0
    assert buckets.wait("other", now=0.0) == 0.0


def test_a_rate_below_one_serves_one_at_a_time() -> None:
    buckets = Buckets(rate=0.1, burst=0.2)
    assert buckets.wait("pod", now=0.0) == 0.0
    assert buckets.wait("pod", now=0.0) == pytest.approx(10.0)


def test_looking_takes_nothing() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert not buckets.is_empty("one", now=0.0)
    assert buckets.wait("one", now=0.0) == 0.0
    assert buckets.is_empty("one", now=0.5)
    assert not buckets.is_empty("one", now=1.0)


def test_pods_that_come_and_go_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "_SWEEP_AT", 50)
    buckets = Buckets(rate=1, burst=2)
    buckets.wait("long gone", now=0.0)
    for n in range(1000):
        buckets.wait(f"pod-{n}", now=100.0 + n)
        assert len(buckets._left) <= 51
    assert "long gone" not in buckets._left
