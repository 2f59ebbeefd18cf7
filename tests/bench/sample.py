"""The job that the bench makes, and what our operator writes for one: the model for the contenders without an operator.

Separate because the ceiling must post the same pods, and `writes` must send the same bytes, as the operator does now:
so they are recorded from it once, over the real API, and kept until the operator's code changes.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.bench import command, recorder, rig
from tests.bench.loader import NAME, POD_UID, UID, VERSION, Request
from tests.harness import cache, chart, console
from tests.harness import operator as operators
from tests.harness.client import Json, wait_for
from tests.harness.controlplane import ControlPlane
from tests.objects import API, Jobs

NAMESPACE = "@NAMESPACE@"
RUN_FOR = "1s"
JOBS = f"/apis/{API}/namespaces/{NAMESPACE}/trainingjobs"
_JSON = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "bench"}
_UNSENT = frozenset({"host", "content-length", "connection"})
_QUIET_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Requests for one job with tokens: those of a user, and then those of our operator, in its order."""

    job: Request
    operator: tuple[Request, ...]

    @property
    def pod(self) -> Request:
        """The operator's POST of the pod, as somebody would post it who has no operator."""
        post = next(one for one in self.operator if one.method == "POST" and "/pods" in one.path)
        body = orjson.loads(post.body)
        for key in ("ownerReferences", "finalizers"):
            body["metadata"].pop(key, None)
        body["metadata"]["labels"].pop("trainyard.dev/job-uid", None)
        return Request(method="POST", path=post.path, headers=post.headers, body=_text(body))


def job(*, callback: str | None = None, run_for: str = RUN_FOR) -> Request:
    """A user's POST: one pod with one GPU that runs for a while; with a URL, one that is told of its end there."""
    spec: Json = {
        "image": "example.com/trainer:1",
        "accelerator": {"count": 1},
        "template": {"metadata": {"annotations": {"fake.trainyard.dev/run-for": run_for}}},
    }
    if callback is not None:
        spec["callbacks"] = [{"name": "bench", "url": callback, "events": ["Completed", "Failed"]}]
    return post(JOBS, {"apiVersion": API, "kind": "TrainingJob", "metadata": {"name": NAME}, "spec": spec})


def post(collection: str, body: Json) -> Request:
    """A user's POST of an object."""
    return Request(method="POST", path=collection, headers=_JSON, body=_text(body))


def sample(plane: ControlPlane) -> Sample:
    """What there is for this state of the operator's code, else recorded now on this control plane."""
    inputs: list[str | Path] = [
        chart.REPOSITORY / "operator",
        chart.CRDS,
        chart.CHART,
        _text(asdict(job())),
        _this(),
    ]
    kept = cache.root() / "bench" / f"sample-{cache.digest_of(*inputs)}.json"
    if kept.exists():
        raw = orjson.loads(kept.read_bytes())
        return Sample(job=Request(**raw["job"]), operator=tuple(Request(**one) for one in raw["operator"]))
    found = record(plane)
    kept.parent.mkdir(parents=True, exist_ok=True)
    cache.write_atomically(kept, orjson.dumps(asdict(found)))
    return found


def record(plane: ControlPlane) -> Sample:
    """Runs one job under an operator whose writes are kept."""
    namespace, name = "bench-sample", "sample-job"
    rig.make_namespace(plane, namespace)
    with (
        console.step("Recording what the operator writes for a job"),
        recorder.recording(plane, operators.USER) as recorded,
        command.running(plane, our_operator(plane, "recorded"), kubeconfig=recorded.kubeconfig),
        plane.client() as client,
    ):
        request, jobs = for_namespace(job(), namespace), Jobs(client, namespace)
        uid = client.post(request.path, orjson.loads(request.body.replace(NAME, name)))["metadata"]["uid"]
        jobs.reaches(name, "Done", timeout=60)
        pod_uid = jobs.pods(name)[0]["metadata"]["uid"]
        _wait_quiet(recorded)
    path = f"/namespaces/{namespace}/"
    writes = [one for one in recorded.writes if path in one.path]
    tokens = {namespace: NAMESPACE, name: NAME, uid: UID, pod_uid: POD_UID}
    return Sample(
        job=Request(**{**asdict(job()), "keeps": {"uid": UID, "resourceVersion": VERSION}}),
        operator=tuple(_request(one, tokens) for one in writes),
    )


def our_operator(plane: ControlPlane, name: str) -> command.Command:
    """Our operator as a program like any other."""
    settings = rig.chart_settings(plane, name, {"endpoint": {"address": "127.0.0.1"}})
    settings["endpoint"]["port"] = "{port}"
    text = _text(settings).replace('"{port}"', "{port}")
    return command.Command(
        name=name,
        argv=(
            "{python}",
            "-m",
            "trainyard",
            "run",
            "--kubeconfig",
            "{kubeconfig}",
            "--config",
            "{folder}/settings.yaml",
        ),
        files={"settings.yaml": text},
        ready="http://127.0.0.1:{port}/readyz",
    )


def for_namespace(request: Request, namespace: str) -> Request:
    """With the token of the namespace replaced."""
    raw: dict[str, Any] = orjson.loads(
        orjson.dumps(asdict(request)).replace(NAMESPACE.encode(), namespace.encode())
    )
    return Request(**raw)


def _wait_quiet(recorded: recorder.Recording) -> None:
    """Until nothing has been written for a while: what comes last is an Event."""
    last, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        if len(recorded.writes) != last:
            last, since = len(recorded.writes), time.monotonic()
        return time.monotonic() - since > _QUIET_SECONDS

    wait_for(quiet, what="the operator to have written all", timeout=30)


def _request(write: recorder.Write, tokens: dict[str, str]) -> Request:
    path, body = write.path, write.body
    for value, token in tokens.items():
        path, body = path.replace(value, token), body.replace(value, token)
    body = re.sub(r'"resourceVersion":"\d+"', f'"resourceVersion":"{VERSION}"', body)
    keeps = {}
    if write.method == "POST" and "/pods" in path:
        keeps = {"uid": POD_UID}
    elif "/trainingjobs/" in path:
        keeps = {"resourceVersion": VERSION}
    headers = {key: value for key, value in write.headers.items() if key not in _UNSENT}
    return Request(method=write.method, path=path, headers=headers, body=body, keeps=keeps)


def _text(thing: Any) -> str:
    return orjson.dumps(thing).decode()


def _this() -> str:
    return Path(__file__).read_text(encoding="utf-8")
