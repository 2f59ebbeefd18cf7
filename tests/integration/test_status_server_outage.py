"""Pods that report while nobody can look into their tokens."""

from __future__ import annotations

import pytest

from tests.harness import operator as operators
from tests.harness.controlplane import ControlPlane
from tests.integration.posting import Post
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(120)


def test_while_the_api_server_is_away_known_pods_are_heard_and_others_told_to_come_again(
    plane: ControlPlane, jobs: Jobs
) -> None:
    with operators.running(plane, name="outage"):
        posts = []
        for name in ("known", "unknown"):
            jobs.create(name, run_for=None)
            jobs.reaches(name, "Running", "Training")
            posts.append(Post.of(jobs.client, jobs.namespace, name))
        known, unknown = posts
        assert known.send({"epoch": 1, "max_epoch": 10}).status == 200
        with plane.paused("kube-apiserver"):
            assert known.send({"epoch": 7, "max_epoch": 10}).status == 200
            answer = unknown.send({"epoch": 1, "max_epoch": 10})
            assert (answer.status, answer.body["reason"]) == (503, "ServiceUnavailable")
            assert int(answer.headers["Retry-After"]) >= 1

        def percent(name: str) -> int | None:
            return (jobs.status(name).get("progress") or {}).get("percent")

        found(lambda: percent("known") == 70, what="what was posted meanwhile", timeout=30)
        assert unknown.send({"epoch": 5, "max_epoch": 10}).status == 200
        found(lambda: percent("unknown") == 50, what="what is posted afterwards", timeout=30)
