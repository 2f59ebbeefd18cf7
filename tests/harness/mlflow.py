"""A tracking server of MLflow, and its client, as they are published, for tests of `trainyard export --to mlflow`.

Separate because they are no dependency: they bring as much as all of ours together. They go to a folder of their own in
the cache, from the package index, like other programs of tests. Called by tests/integration/test_cli_mlflow.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import urllib3

from tests.harness import cache, console, processes
from tests.harness.client import Json
from tests.harness.errors import HarnessError
from tests.harness.tethered import Tethered

#: The client that the extra `mlflow` brings, and what its package needs besides to be a server.
REQUIREMENTS = ("mlflow-skinny==3.17.2", "flask", "flask-cors", "sqlalchemy", "alembic", "pandas")
_READY_SECONDS = 90.0
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_DUMP = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
where = client.get_experiment_by_name(sys.argv[2])
runs = client.search_runs([where.experiment_id], max_results=5000) if where else []
print(json.dumps([{
    "name": run.info.run_name,
    "status": run.info.status,
    "start": run.info.start_time,
    "end": run.info.end_time,
    "params": run.data.params,
    "tags": run.data.tags,
    "metrics": {key: [[one.step, one.value] for one in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics},
} for run in runs]))
"""


def ensure() -> Path:
    """The folder to put on the path."""

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", f"--target={folder}"]
        with console.step("Getting MLflow"):
            console.run([*pip, *REQUIREMENTS], log=cache.root() / "logs" / "mlflow.log")

    return cache.built("wheels", f"mlflow-{cache.digest_of(*REQUIREMENTS)}", install)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server that keeps what it is told in this folder, until the end of the block."""
    packages = ensure()
    (port,) = processes.free_ports(1)
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    argv += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    argv += ["--artifacts-destination", folder / "artifacts"]
    env = {**_QUIET, "PYTHONPATH": str(packages)}
    server = Tethered("MLflow", argv, port=port, log=folder / "mlflow.log", env=env, ready=_READY_SECONDS)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def with_client(arguments: Sequence[str]) -> list[str]:
    """The command line of `trainyard` in an interpreter that has MLflow's client behind its own packages."""
    path = f"import sys; sys.path.append({str(ensure())!r})"
    code = f"{path}; from trainyard.cli import main; main(prog_name='trainyard')"
    return [sys.executable, "-c", code, *arguments]


def runs(uri: str, experiment: str) -> list[Json]:
    """What MLflow says that it has: name, status, start, end, params, tags, and each metric's steps and values.

    A server is asked by its API, a folder is read by the client.
    """
    if uri.startswith("http"):
        return [_run(uri, run) for run in _listed(uri, experiment)]
    env = {**os.environ, **_QUIET, "PYTHONPATH": str(ensure())}
    argv = [sys.executable, "-c", _DUMP, uri, experiment]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=True)
    found: list[Json] = json.loads(done.stdout)
    return found


def _listed(uri: str, experiment: str) -> list[Json]:
    where = _ask(uri, "experiments/get-by-name", {"experiment_name": experiment})
    if not where:
        return []
    body = {"experiment_ids": [where["experiment"]["experiment_id"]], "max_results": 5000}
    return list(_ask(uri, "runs/search", body, method="POST").get("runs") or [])


def _run(uri: str, raw: Json) -> Json:
    info, data = raw["info"], raw["data"]
    told = {one["key"] for one in data.get("metrics") or []}
    asked = {key: {"run_id": info["run_id"], "metric_key": key} for key in told}
    points = {key: _ask(uri, "metrics/get-history", query)["metrics"] for key, query in asked.items()}
    return {
        "name": info["run_name"],
        "status": info["status"],
        "start": info["start_time"],
        "end": info.get("end_time"),
        "params": {one["key"]: one["value"] for one in data.get("params") or []},
        "tags": {one["key"]: one["value"] for one in data.get("tags") or []},
        "metrics": {key: [[one["step"], one["value"]] for one in found] for key, found in points.items()},
    }


def _ask(uri: str, what: str, body: Json, *, method: str = "GET") -> Json:
    """Empty where there is no such thing."""
    query = f"?{urllib.parse.urlencode(body)}" if method == "GET" else ""
    content = None if query else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = urllib3.request(
        method, f"{uri}/api/2.0/mlflow/{what}{query}", body=content, headers=headers, timeout=60.0
    )
    if answer.status == 404:
        return {}
    if answer.status >= 300:
        raise HarnessError(f"{method} {what}: {answer.status} {answer.data[:200]!r}")
    return dict(answer.json())
