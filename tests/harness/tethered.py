"""A server of another's on loopback that ends with us, also when we are killed.

Separate because the stores of tests (S3, GCS, Azure) are such servers and differ in their arguments only. Unlike
`processes`, whose daemons outlive the command that started them. Called by `s3`, `gcs`, `azurite` and `mlflow`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness import console

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
# NB: it ends with its input, and so with us; what runs in the background has no input but one that it is given.
_LEASH = 'exec 3<&0; "$@" 3<&- & server=$!; { cat <&3 >/dev/null; kill $server; } 2>/dev/null & wait $server'


class Tethered:
    """One server that listens on `port` of 127.0.0.1 once it is ready; it can be started again."""

    def __init__(
        self,
        title: str,
        argv: Sequence[str | Path],
        *,
        port: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        ready: float = READY_SECONDS,
    ) -> None:
        self._title = title
        self._ready = ready
        self._argv = [str(word) for word in argv]
        self._port = port
        self._log = log
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it listens. Raises HarnessError when it does not."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", _LEASH, "sh", *self._argv],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                start_new_session=True,
            )
        deadline = time.monotonic() + self._ready
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise console.failure(f"{self._title} did not start", self._log)
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it, by force where it does not end by itself; again is no harm."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
