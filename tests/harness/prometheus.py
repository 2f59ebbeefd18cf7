"""A real Prometheus that scrapes what it is told to, and promtool.

Separate because it needs no cluster. The user's own programs on PATH come first, then the project's release, then
Debian's package. Called by tests of metrics and by the picture of the dashboard.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.harness import binaries, cache, console, debian, processes, released
from tests.harness.errors import HarnessError

READY_SECONDS = 30.0
VERSION = "3.5.0"
_BASE = "https://github.com/prometheus/prometheus/releases/download/v{version}"
RELEASE = released.Release(
    url=f"{_BASE}/prometheus-{{version}}.linux-{{arch}}.tar.gz",
    checksums=f"{_BASE}/sha256sums.txt",
    member="prometheus-{version}.linux-{arch}/{name}",
)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of an answer: its labels, and its samples as (seconds since the epoch, value)."""

    labels: dict[str, str]
    samples: tuple[tuple[float, float], ...]


class Prometheus:
    """A Prometheus that is ready."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    def query(self, expression: str) -> list[Series]:
        """The instant vector of an expression. Raises HarnessError with Prometheus' words when it refuses it."""
        answer = self._get("query", {"query": expression})
        if answer["resultType"] != "vector":
            raise HarnessError(f"{expression} gives a {answer['resultType']}, not a vector.")
        return [_series(one["metric"], [one["value"]]) for one in answer["result"]]

    def query_range(self, expression: str, *, start: float, end: float, step: float) -> list[Series]:
        """The matrix of an expression from `start` to `end` in seconds since the epoch."""
        fields = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        return [_series(one["metric"], one["values"]) for one in self._get("query_range", fields)["result"]]

    def scrapes(self) -> dict[str, str]:
        """The health of each target ("up"), or its last error, by the target's address."""
        targets = self._get("targets", {})["activeTargets"]
        return {one["scrapeUrl"]: one["lastError"] or one["health"] for one in targets}

    def _get(self, what: str, fields: dict[str, str]) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}"
        try:
            answer = urllib3.request("GET", url, fields=fields, retries=False, timeout=10.0)
            body = answer.json()
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise HarnessError(f"Prometheus does not answer: {error}") from error
        if body.get("status") != "success":
            raise HarnessError(f"Prometheus refuses {fields or what}: {body.get('error')}")
        return body["data"]


@contextlib.contextmanager
def scraping(*ports: int, interval: float = 1.0) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these ports of this machine every `interval` seconds; its data goes with it."""
    (port,) = processes.free_ports(1)
    with tempfile.TemporaryDirectory(prefix="trainyard-prometheus-") as name:
        folder = Path(name)
        targets = [{"targets": [f"127.0.0.1:{one}" for one in ports]}]
        every = f"{round(interval * 1000)}ms"
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every},
            "scrape_configs": [{"job_name": "trainyard", "static_configs": targets}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        argv: list[str | Path] = [
            programs()["prometheus"],
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        pidfile, log = folder / "prometheus.pid", folder / "prometheus.log"
        daemon = processes.start(argv, pidfile=pidfile, log=log)
        try:
            prometheus = Prometheus(port, log)
            _wait_until_up(prometheus, daemon, len(ports))
            yield prometheus
        finally:
            processes.stop(pidfile)


def _wait_until_up(prometheus: Prometheus, daemon: processes.Daemon, count: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    seen: object = "nothing"
    while time.monotonic() < deadline:
        if not daemon.alive:
            raise console.failure("Prometheus ended by itself", prometheus.log)
        try:
            scrapes = prometheus.scrapes()
            seen = scrapes
            if len(scrapes) == count and set(scrapes.values()) == {"up"}:
                return
        except HarnessError as error:
            seen = error
        time.sleep(0.1)
    raise HarnessError(f"Prometheus did not scrape within {READY_SECONDS:.0f} s: {seen}")


@functools.cache
def programs() -> dict[str, Path]:
    """Paths of `prometheus` and `promtool`.

    Raises HarnessError where they are not there and cannot be had.
    """
    names = ("prometheus", "promtool")
    own = {name: Path(found) for name in names if (found := shutil.which(name))}
    if len(own) == len(names):
        return own
    folder = cache.entry("bin", cache.digest_of("prometheus", VERSION, binaries.architecture()))
    if folder.exists() or _downloaded(folder, names):
        return {name: folder / name for name in names}
    if not debian.usable():
        raise HarnessError(
            "There is no Prometheus here, and none could be had: put `prometheus` and `promtool` on PATH."
        )
    unpacked = debian.unpacked(("prometheus",), log=cache.root() / "logs" / "prometheus.log")
    return {name: unpacked / "usr" / "bin" / name for name in names}


def _downloaded(folder: Path, names: tuple[str, ...]) -> bool:
    def fill(target: Path) -> None:
        for name in names:
            given = released.download(
                RELEASE, name=name, version=VERSION, arch=binaries.architecture(), target=target / name
            )
            if given is None:
                raise HarnessError(f"{name} could not be downloaded.")

    try:
        cache.built("bin", folder.name, fill)
    except HarnessError:
        return False
    return True


def _series(labels: dict[str, str], values: list[list[Any]]) -> Series:
    return Series(labels=labels, samples=tuple((float(at), float(value)) for at, value in values))


def main() -> None:
    """`python -m tests.harness.prometheus`: gets the programs and prints their paths."""
    try:
        for name, path in programs().items():
            print(name, path)
    except HarnessError as error:
        console.complain(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
