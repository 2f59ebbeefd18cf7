"""The status server on a real API server: who may report, what becomes of it, and what is refused."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import urllib3

from tests.harness import kubeflow_sdk
from tests.harness.client import Json
from tests.integration.posting import Post, token
from tests.objects import Jobs, found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]

LINE = {"epoch": 3, "max_epoch": 12, "eta": "0:01:00", "kpi": {"accuracy": 0.91}, "status": "RUNNING"}
TEN_MB = b"{" + b" " * 10_000_000


@pytest.fixture
def post(jobs: Jobs) -> Post:
    """The pod of a job `posts` that runs until the test ends."""
    return running(jobs, "posts")


def running(jobs: Jobs, name: str, **spec: Any) -> Post:
    jobs.create(name, run_for=None, **spec)
    jobs.reaches(name, "Running", "Training")
    return Post.of(jobs.client, jobs.namespace, name)


def shows(jobs: Jobs, name: str, **progress: Any) -> Json:
    """The status once its progress has these fields."""

    def there() -> Json | None:
        status = jobs.status(name)
        told = status.get("progress") or {}
        return status if all(told.get(key) == value for key, value in progress.items()) else None

    return dict(found(there, what=f"{progress} of {name}", timeout=20))


def refused(answer: Any, status: int, reason: str) -> str:
    """The sentence of a refusal, which is a Status object of Kubernetes'."""
    assert answer.status == status, answer
    assert (answer.body["kind"], answer.body["status"]) == ("Status", "Failure")
    assert (answer.body["code"], answer.body["reason"]) == (status, reason)
    return str(answer.body["message"])


def test_a_posted_line_is_in_the_status(jobs: Jobs, post: Post) -> None:
    answer = post.send(LINE)
    assert answer.status == 200, answer
    assert answer.body == {**LINE, "eta": 60.0}
    status = shows(jobs, "posts", epoch=3, percent=25, eta="0:01:00", summary="3/12")
    assert status["keyMetric"]["display"] == "accuracy 0.91"
    assert status["lastReport"]["status"] == "RUNNING"


def test_lines_in_one_request_are_taken_in_their_order(jobs: Jobs, post: Post) -> None:
    answer = post.send([{"epoch": n, "max_epoch": 100} for n in range(1, 101)])
    assert (answer.status, len(answer.body)) == (200, 100)
    shows(jobs, "posts", epoch=100, percent=100)


def test_what_is_posted_last_before_the_end_is_in_the_final_status(jobs: Jobs) -> None:
    jobs.create("ends", run_for="3s")
    jobs.reaches("ends", "Running", "Training")
    post = Post.of(jobs.client, jobs.namespace, "ends")
    assert post.send([LINE, {"epoch": 12, "kpi": {"accuracy": 0.95}, "status": "SUCCESS"}]).status == 200
    done = jobs.reaches("ends", "Done", "Completed")
    assert done["progress"]["percent"] == 100
    assert done["keyMetric"]["display"] == "accuracy 0.95"


def test_a_failure_that_is_posted_fails_the_job_though_the_exit_code_is_0(jobs: Jobs) -> None:
    jobs.create("fails", run_for="3s", backoffLimit=0)
    jobs.reaches("fails", "Running", "Training")
    post = Post.of(jobs.client, jobs.namespace, "fails")
    assert post.send({"status": "FAILURE", "message": "diverged"}).status == 200
    jobs.reaches("fails", "Error", "TrainerFailed")


def test_silence_of_a_trainer_that_only_posts_ends_it(jobs: Jobs) -> None:
    post = running(jobs, "silent", progressTimeoutSeconds=3, backoffLimit=0)
    for epoch in range(3):
        assert post.send({"epoch": epoch, "max_epoch": 9}).status == 200
        time.sleep(1.5)
    assert jobs.status("silent")["phase"] == "Running"
    jobs.reaches("silent", "Error", "NoProgress", timeout=20)


def test_kubeflows_sdk_reports_unmodified(jobs: Jobs, post: Post, tmp_path: Path) -> None:
    script = (
        "from kubeflow.trainer import update_trainjob_status as update\n"
        "assert update(progress_percent=42, estimated_remaining_seconds=434, metrics={'loss': 0.25, 'rank': 'gold'})\n"
    )
    environment = {**os.environ, **post.files(tmp_path), "PYTHONPATH": str(kubeflow_sdk.ensure())}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    status = shows(jobs, "posts", percent=42, eta="0:07:14", summary="42%")
    assert status["metrics"] == [{"name": "loss", "value": "0.25"}]
    assert status["keyMetric"]["display"] == "loss 0.25"


def test_the_payload_of_kubeflows_protocol_is_given_back(post: Post) -> None:
    given = {
        "progressPercentage": 7,
        "estimatedRemainingSeconds": 5,
        "metrics": [{"name": "loss", "value": "0.5"}],
        "lastUpdatedTime": "2026-01-01T00:00:00Z",
    }
    assert post.send({"trainerStatus": given}).body == {"trainerStatus": given}
    assert post.send({"trainerStatus": None}).status == 200


def test_the_agent_is_told_that_the_trainer_has_not_ended(post: Post) -> None:
    answer = post.verdict()
    assert (answer.status, answer.body) == (200, {"state": "Pending"})


def test_the_pod_of_another_job_is_refused(jobs: Jobs, post: Post) -> None:
    other = running(jobs, "other")
    message = refused(other.send(LINE, url=post.url), 403, "Forbidden")
    assert "other-0-0" in message
    assert "posts" in message
    refused(other.verdict(url=post.url), 403, "Forbidden")
    assert "progress" not in jobs.status("posts")


def test_a_pod_that_is_no_pod_of_a_job_is_refused(jobs: Jobs, post: Post) -> None:
    spec = {"containers": [{"name": "main", "image": "example.com/any:1"}]}
    path = f"/api/v1/namespaces/{jobs.namespace}/pods"
    labels = post.pod["metadata"]["labels"]
    copy = {"metadata": {"name": "stranger", "labels": labels}, "spec": spec}
    stranger = jobs.client.post(path, copy)
    foreign = token(jobs.client, jobs.namespace, stranger)

    def code() -> int:
        return post.send(LINE, token=foreign).status

    assert code() in (401, 403)
    time.sleep(1.0)  # its labels are ours, so that the watch shows it
    assert code() == 403


def test_a_token_for_another_audience_is_refused(jobs: Jobs, post: Post) -> None:
    other = token(
        jobs.client, jobs.namespace, post.pod, audience="https://kubernetes.default.svc.cluster.local"
    )
    assert "audience" in refused(post.send(LINE, token=other), 401, "Unauthorized")


def test_a_token_of_no_pod_is_refused(jobs: Jobs, post: Post) -> None:
    loose = token(jobs.client, jobs.namespace, None)
    assert "not bound to a pod" in refused(post.send(LINE, token=loose), 401, "Unauthorized")


def test_a_changed_token_is_refused_by_the_api_server(post: Post) -> None:
    head, claims, signature = post.token.split(".")
    forged = f"{head}.{claims}.{'A' * len(signature)}"
    assert "does not accept" in refused(post.send(LINE, token=forged), 401, "Unauthorized")
    for wrong in ("", "nonsense", "a.b.c"):
        refused(post.send(LINE, token=wrong), 401, "Unauthorized")


def test_an_address_that_guesses_tokens_does_not_keep_the_api_server_busy(jobs: Jobs, post: Post) -> None:
    elsewhere = urllib3.PoolManager(
        ssl_context=ssl.create_default_context(cadata=post.authority), source_address=("127.0.0.2", 0)
    )
    head, claims, signature = post.token.split(".")

    def guess(number: int) -> str:
        token = f"{head}.{claims}.{number:0{len(signature)}d}"
        answer = elsewhere.request(
            "POST", post.url, body=orjson.dumps(LINE), headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status == 401
        return str(orjson.loads(answer.data)["message"])

    said = [guess(number) for number in range(40)]
    assert "does not accept" in said[0]
    asked = [text for text in said if "Too many wrong tokens" not in text]
    assert 20 <= len(asked) <= 30
    own = Post(jobs.client, jobs.namespace, post.pod)
    assert own.send(LINE).status == 200, "the pod itself is heard, from where it is"


def test_the_token_of_a_deleted_pod_is_refused(jobs: Jobs, post: Post) -> None:
    jobs.delete("trainingjobs", "posts")
    found(lambda: not jobs.pods("posts"), what="the pod to go")

    def code() -> int:
        return post.send(LINE).status

    found(lambda: code() == 401, what="its token to be refused", timeout=10)


def test_a_body_of_10_mb_is_refused_before_it_is_read(post: Post) -> None:
    refused(post.send(TEN_MB), 413, "RequestEntityTooLarge")
    address = urlsplit(post.url)
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {post.token}\r\n"
        f"Content-Length: {len(TEN_MB)}\r\n\r\n"
    )
    context = ssl.create_default_context(cadata=post.authority)
    assert address.hostname is not None
    assert address.port is not None
    with (
        socket.create_connection((address.hostname, address.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=address.hostname) as connection,
    ):
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_pod_that_posts_without_pause_is_told_to_wait(post: Post) -> None:
    answers = [post.send({"step": n}) for n in range(60)]
    codes = [answer.status for answer in answers]
    assert codes[:20] == [200] * 20, "twice the rate may come at once"
    limited = next(answer for answer in answers if answer.status != 200)
    refused(limited, 429, "TooManyRequests")
    assert limited.headers["Retry-After"] == "1"
    time.sleep(1.1)
    assert post.send(LINE).status == 200


def test_what_is_no_report_is_refused_with_what_one_is(post: Post) -> None:
    for wrong in (b"", b"{", b"[]", b"7", b"{}", {"loss": 3}, [LINE, 7], [LINE] * 101, {"trainerStatus": 3}):
        refused(post.send(wrong), 400, "BadRequest")
    refused(post.send(LINE, url=post.url + "es"), 404, "NotFound")
    refused(post.verdict(url=post.url.removesuffix("status") + "x/"), 404, "NotFound")


def test_numbers_that_json_has_not_are_left_out(post: Post) -> None:
    answer = post.send(orjson.dumps({"step": 1, "kpi": {"loss": "?"}}).replace(b'"?"', b"NaN"))
    assert (answer.status, answer.body) == (200, {"step": 1})


def test_one_token_is_looked_into_once(jobs: Jobs, post: Post, operator: Any) -> None:
    def reviews() -> float:
        return float(operator.metrics().get('trainyard_token_reviews_total{outcome="confirmed"}', 0.0))

    before = reviews()
    for step in range(15):
        assert post.send({"step": step}).status == 200
    assert reviews() - before == 1


def test_no_token_is_in_the_log_of_the_operator(post: Post, operator: Any) -> None:
    assert post.send(LINE).status == 200
    refused(post.send(LINE, token=post.token[:-1]), 401, "Unauthorized")
    log = operator.log.read_text()
    assert post.token.split(".")[2][:30] not in log
    assert post.token.split(".")[1][:60] not in log
