"""A trainer to run: in this process where only the outcome counts, as a process of its own for signals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainyard_trainer import __main__ as trainer_main
from trainyard_trainer import samples as sample_data
from trainyard_trainer.contract import thread_defaults

# NB: before anything imports numpy. Sums differ in their last bits with the number of threads, and runs in
# this process are compared with runs in processes of their own.
os.environ.update(thread_defaults(os.environ))

SOURCE = Path(__file__).resolve().parents[1] / "src"


@dataclass(frozen=True)
class Run:
    """What a run said and left."""

    code: int
    text: str
    verdict: dict[str, Any]
    output: Path
    checkpoints: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]

    @property
    def log(self) -> str:
        return "\n".join(line for line in self.text.splitlines() if not line.startswith("{"))

    def artifact(self, name: str) -> str:
        return (self.output / name).read_text()

    def closed(self) -> list[str]:
        return sorted(path.name for path in self.checkpoints.glob("epoch-*"))


class Process:
    """A trainer in a process of its own."""

    def __init__(self, environment: Mapping[str, str], *, output: Path, checkpoints: Path) -> None:
        self._output, self._checkpoints = output, checkpoints
        self._log = Path(environment["TRAINYARD_TERMINATION_LOG"])
        self._text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainyard_trainer"],
            env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read up to the first status line that is wanted."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._text += text
            if text.startswith("{") and wanted(record := json.loads(text)):
                return dict(record)
        raise AssertionError(f"the trainer ended without that line:\n{self._text}")

    def end(self, number: signal.Signals | None = None, *, timeout: float = 30) -> tuple[Run, float]:
        """Send a signal if one is given and wait; the run, and the seconds it took to end."""
        began = time.monotonic()
        if number is not None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=timeout)
        took = time.monotonic() - began
        verdict = json.loads(self._log.read_text() or "{}") if self._log.exists() else {}
        run = Run(self.process.returncode, self._text + rest, verdict, self._output, self._checkpoints)
        return run, took


class Trainer:
    """Makes the environment that the operator would make, one attempt folder after another."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root, self.data = root, data
        self._attempts = 0
        self._processes: list[Process] = []

    def environment(
        self,
        *,
        action: str = "train",
        type: str = "neural_network",
        train: str | list[str] | None = "digits",
        eval: str | None = None,
        inference: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        resume: Path | None = None,
        parent: Path | None = None,
        **more: str,
    ) -> dict[str, str]:
        folder = self.root / f"uid/attempt-{self._attempts}"
        self._attempts += 1
        roles = {"train": train, "eval": eval, "inference": inference}
        return {
            "TRAINYARD_ACTION": action,
            "TRAINYARD_TYPE": type,
            "TRAINYARD_PARAMETERS": json.dumps(parameters or {}),
            "TRAINYARD_DATA_DIR": str(self.data),
            "TRAINYARD_DATASETS": json.dumps({role: names for role, names in roles.items() if names}),
            "TRAINYARD_OUTPUT_DIR": str(folder),
            "TRAINYARD_CHECKPOINT_DIR": str(folder / "checkpoints"),
            "TRAINYARD_RESUME": str(resume or ""),
            "TRAINYARD_PARENT_DIR": str(parent or ""),
            "TRAINYARD_TERMINATION_LOG": str(self.root / f"termination-{self._attempts}"),
        } | more

    def run(self, **options: Any) -> Run:
        """Run to the end, in this process."""
        environment = self.environment(**options)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        before, show = dict(os.environ), trainer_main.warnings.showwarning
        said = io.StringIO()
        try:
            os.environ.update(environment)
            with contextlib.redirect_stdout(said):
                code = trainer_main.main()
        finally:
            os.environ.clear()
            os.environ.update(before)
            trainer_main.warnings.showwarning = show
            for number, handler in handlers.items():
                signal.signal(number, handler)
        verdict = json.loads(Path(environment["TRAINYARD_TERMINATION_LOG"]).read_text())
        return Run(code, said.getvalue(), verdict, *self._folders(environment))

    def start(self, **options: Any) -> Process:
        """Start as a process of its own; ended with the test at the latest."""
        environment = self.environment(**options)
        output, checkpoints = self._folders(environment)
        process = Process(environment, output=output, checkpoints=checkpoints)
        self._processes.append(process)
        return process

    def dataset(self, name: str, **files: str) -> str:
        """Make a dataset folder from file stems and CSV texts."""
        self._own_data()
        folder = self.data / name
        folder.mkdir(parents=True)
        for stem, text in files.items():
            (folder / f"{stem}.csv").write_text(text)
        return name

    def sample_in_two(self, name: str, *, fraction: float) -> None:
        """Write one of scikit-learn's datasets as two, NAME-seen and NAME-unseen, which has that share of the rows."""
        self._own_data()
        parts = self.root / "parts"
        sample_data.write(parts, name, test_fraction=fraction)
        (parts / name).rename(self.data / f"{name}-seen")
        (parts / f"{name}-test").rename(self.data / f"{name}-unseen")

    def close(self) -> None:
        for process in self._processes:
            if process.process.poll() is None:
                process.process.kill()
                process.process.communicate()

    def _own_data(self) -> None:
        """Leave the shared data folder for one that this test may write to."""
        shared, self.data = self.data, self.root / "data"
        if not self.data.exists():
            self.data.mkdir()
            for folder in shared.iterdir():
                (self.data / folder.name).symlink_to(folder, target_is_directory=True)

    def _folders(self, environment: Mapping[str, str]) -> tuple[Path, Path]:
        return Path(environment["TRAINYARD_OUTPUT_DIR"]), Path(environment["TRAINYARD_CHECKPOINT_DIR"])


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's real datasets, each whole, and wine also in two parts."""
    folder = tmp_path_factory.mktemp("samples")
    for name in sample_data.NAMES:
        sample_data.write(folder, name)
    parts = folder / "parts"
    sample_data.write(parts, "wine", test_fraction=0.3)
    (parts / "wine").rename(folder / "wine-train")
    (parts / "wine-test").rename(folder / "wine-test")
    parts.rmdir()
    return folder


@pytest.fixture
def trainer(tmp_path: Path, samples: Path) -> Iterator[Trainer]:
    made = Trainer(tmp_path, samples)
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting_trainer(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Trainer]:
    """For runs that several tests look at."""
    made = Trainer(tmp_path_factory.mktemp("lasting"), samples)
    yield made
    made.close()
