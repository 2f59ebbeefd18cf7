"""How long a verdict waits for the end of its trainer's log."""

from __future__ import annotations

import dataclasses

from tests.unit.planning.builders import CONTEXT, NOW, a_job, a_pod
from trainyard.planning.observed import LogView
from trainyard.planning.plan import Plan
from trainyard.planning.podends import LOG_END_SECONDS, LOG_READ_SECONDS
from trainyard.planning.trainingjob import plan_training_job

FOLLOWING = dataclasses.replace(CONTEXT, follow_logs=True)
POD = a_pod(exit_code=0)


def after(seconds: float, log: LogView | None) -> Plan:
    """The plan so long after the end of the trainer was seen, with this log."""
    observed = a_job(pods=(POD,), logs={POD.uid: log} if log is not None else {})
    seen = plan_training_job(observed, now=NOW, context=FOLLOWING)
    again = dataclasses.replace(observed, memory=seen.memory)
    return plan_training_job(again, now=NOW + seconds, context=FOLLOWING)


def test_it_waits_on_while_the_log_is_being_read_and_looks_again_soon() -> None:
    for seconds in (LOG_END_SECONDS + 1, LOG_READ_SECONDS - 1):
        waiting = after(seconds, LogView(reading=True))
        assert waiting.status is None
        assert waiting.ended == (POD,)
        assert waiting.requeue_after is not None
        assert 0 < waiting.requeue_after <= 5.0
        assert seconds + waiting.requeue_after <= LOG_READ_SECONDS


def test_it_does_not_wait_for_ever_for_one_that_has_no_end() -> None:
    assert after(LOG_READ_SECONDS, LogView(reading=True)).status is not None


def test_it_does_not_wait_longer_for_one_that_nobody_reads() -> None:
    for log in (None, LogView()):
        assert after(LOG_END_SECONDS - 1, log).status is None
        assert after(LOG_END_SECONDS, log).status is not None
