"""What pods post, until a job is observed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trainyard.cluster.cache import TRAINING_JOB, Key
from trainyard.planning.curve import Curve
from trainyard.planning.observed import LogView
from trainyard.planning.podview import PodView
from trainyard.planning.progress import fold
from trainyard.planning.statusline import StatusLine
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.reported import Posted, PostedReports, merged

JOB = Key(TRAINING_JOB, "team", "resnet")
INTERVAL = 0.2


@dataclass
class Clock:
    seconds: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


def a_pod(rank: int = 0, *, job_uid: str = "job-uid") -> PodView:
    return PodView(
        name=f"resnet-0-{rank}", uid=f"{job_uid}-{rank}", job_uid=job_uid, job="resnet", attempt=0, rank=rank
    )


def an_epoch(number: int) -> StatusLine:
    return StatusLine(epoch=number)


def rung(queue: KeyedQueue) -> int:
    """How often the job has been queued since it was asked last: once or not at all."""
    return len(queue)


async def answered(queue: KeyedQueue) -> Key:
    key = await queue.get()
    queue.done(key)
    return key


async def test_a_job_is_rung_for_at_once_and_then_at_most_once_an_interval() -> None:
    queue = KeyedQueue()
    posted = PostedReports(queue=queue, interval=INTERVAL)
    posted.submit("team", a_pod(), [an_epoch(1)])
    assert await answered(queue) == JOB
    for epoch in range(2, 20):
        posted.submit("team", a_pod(epoch % 2), [an_epoch(epoch)])
    assert rung(queue) == 0
    await asyncio.sleep(2 * INTERVAL)
    assert rung(queue) == 1
    posted.close()


async def test_each_pod_has_a_report_of_its_own() -> None:
    posted = PostedReports(queue=KeyedQueue(), interval=INTERVAL)
    posted.submit("team", a_pod(0), [an_epoch(1), StatusLine(max_epoch=9)])
    posted.submit("team", a_pod(1), [an_epoch(2)])
    first, second = posted.view("job-uid", a_pod(0).uid), posted.view("job-uid", a_pod(1).uid)
    assert first is not None
    assert second is not None
    assert first.report is not None
    assert second.report is not None
    assert (first.report.epoch, first.report.max_epoch, second.report.epoch) == (1, 9, 2)
    assert posted.view("another", a_pod(0).uid) is None
    posted.close()


async def test_nothing_is_kept_of_pods_and_jobs_that_are_gone() -> None:
    posted = PostedReports(queue=KeyedQueue(), interval=INTERVAL)
    for rank in (0, 1):
        posted.submit("team", a_pod(rank), [an_epoch(1)])
    posted.keep("job-uid", (a_pod(1),))
    assert posted.view("job-uid", a_pod(0).uid) is None
    assert posted.view("job-uid", a_pod(1).uid) is not None
    posted.forget("job-uid")
    assert posted.view("job-uid", a_pod(1).uid) is None


async def test_a_request_without_lines_is_a_sign_of_life_that_rings_for_nobody() -> None:
    queue, clock = KeyedQueue(), Clock()
    posted = PostedReports(queue=queue, interval=INTERVAL, now=clock)
    posted.submit("team", a_pod(), [an_epoch(1)])
    await answered(queue)
    clock.seconds += 60
    posted.submit("team", a_pod(), [])
    view = posted.view("job-uid", a_pod().uid)
    assert view is not None
    assert view.heard_at == clock.seconds
    assert view.report is not None
    assert view.report.at < "2023-11-14T22:13:21"
    await asyncio.sleep(2 * INTERVAL)
    assert rung(queue) == 0
    posted.close()


async def test_what_is_posted_makes_the_curve_of_the_metric_that_a_job_is_compared_by() -> None:
    posted = PostedReports(queue=KeyedQueue(), interval=INTERVAL)
    posted.submit("team", a_pod(), [StatusLine(epoch=1, kpi={"loss": 0.5})])
    posted.compare("job-uid", Curve(metric="loss"))
    for epoch in (2, 3):
        posted.submit("team", a_pod(), [StatusLine(epoch=epoch, kpi={"loss": 0.5 / epoch})])
    view = posted.view("job-uid", a_pod().uid)
    assert view is not None
    assert view.report is not None
    assert view.report.curve is not None
    assert view.report.curve.points == ((2, 0.25), (3, 0.5 / 3)), "from when it is known on"
    posted.submit("team", a_pod(job_uid="other"), [StatusLine(epoch=1, kpi={"loss": 0.5})])
    other = posted.view("other", a_pod(job_uid="other").uid)
    assert other is not None
    assert other.report is not None
    assert other.report.curve is None
    posted.forget("job-uid")
    posted.submit("team", a_pod(), [StatusLine(epoch=4)])
    again = posted.view("job-uid", a_pod().uid)
    assert again is not None
    assert again.report is not None
    assert again.report.curve is None
    posted.close()


async def test_silence_counts_from_when_pods_could_be_heard_again() -> None:
    clock = Clock()
    posted = PostedReports(queue=KeyedQueue(), interval=INTERVAL, now=clock)
    posted.submit("team", a_pod(), [an_epoch(1)])
    clock.seconds += 3600
    posted.unheard()
    view = posted.view("job-uid", a_pod().uid)
    assert view is not None
    assert view.heard_at == clock.seconds
    posted.close()


POSTED = Posted(report=fold(None, an_epoch(2), at="2026-01-01T00:00:02Z"), heard_at=200.0)


def test_a_pod_that_only_posts_has_a_log_of_what_it_posts() -> None:
    view = merged(None, POSTED)
    assert view is not None
    assert (view.report, view.silent_since, view.tail, view.ended) == (POSTED.report, 200.0, (), False)


def test_a_pod_that_posts_nothing_has_its_log() -> None:
    log = LogView(tail=("words",), silent_since=1.0)
    assert merged(log, None) is log
    assert merged(None, None) is None


def test_silence_is_of_both_the_log_and_the_posts() -> None:
    for since, expected in ((100.0, 200.0), (300.0, 300.0), (None, None)):
        view = merged(LogView(tail=("words",), ended=True, silent_since=since), POSTED)
        assert view is not None
        assert view.silent_since == expected
        assert view.report == POSTED.report
        assert (view.tail, view.ended) == (("words",), True)
