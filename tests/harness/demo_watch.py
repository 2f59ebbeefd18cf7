"""Watching training jobs until they have ended: a live table on a terminal, lines elsewhere.

Separate from `demo`, which says what runs, as this only looks. Called by `demo`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from tests.harness import chart, console
from tests.harness.errors import HarnessError
from tests.harness.kubectl import Json, Kubectl

EVERY_SECONDS = 1.0
# Lines are written at each change of state, and in between when so much more is done.
PERCENT_STEP = 25
COLOURS = {"Pending": "yellow", "Running": "cyan", "Done": "green", "Error": "red", "Canceled": "magenta"}
FINAL = ("Done", "Error", "Canceled")

_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What a TrainingJob's status says, as far as it is shown."""

    name: str
    phase: str
    reason: str
    message: str
    summary: str
    percent: int
    metric: str

    @classmethod
    def of(cls, job: Json) -> JobState:
        status = job.get("status") or {}
        progress = status.get("progress") or {}
        return cls(
            name=job["metadata"]["name"],
            phase=status.get("phase", "new"),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            summary=progress.get("summary", ""),
            percent=progress.get("percent", 0),
            metric=(status.get("keyMetric") or {}).get("display", ""),
        )

    @property
    def ended(self) -> bool:
        return self.phase in FINAL

    @property
    def mark(self) -> tuple[str, str, int]:
        """Changes when there is something new to say."""
        return self.phase, self.reason, self.percent // PERCENT_STEP


def until_finished(kubectl: Kubectl, namespace: str, *, timeout: float) -> bool:
    """Shows the namespace's TrainingJobs until all have ended; whether all are Done.

    Says of each that is not Done why. Raises HarnessError when `timeout` seconds have passed.
    """
    started = time.monotonic()
    said: dict[str, tuple[str, str, int]] = {}
    states: list[JobState] = []
    with _display() as show:
        while True:
            states = [JobState.of(job) for job in kubectl.items("trainingjobs", f"--namespace={namespace}")]
            elapsed = time.monotonic() - started
            show(states, elapsed, said)
            if states and all(state.ended for state in states):
                break
            if elapsed > timeout:
                break
            time.sleep(EVERY_SECONDS)
    late = [state for state in states if not state.ended]
    for state in states:
        if state.phase != "Done":
            _explain(kubectl, namespace, state)
    if late or not states:
        names = ", ".join(state.name for state in late) or "any TrainingJob"
        raise HarnessError(
            f"Waited {timeout:g} s in vain for {names}. The operator says:\n{chart.troubles(kubectl)}"
        )
    return all(state.phase == "Done" for state in states)


class _Lines:
    """For logs: a line for each job that has something new."""

    def __call__(
        self, states: Sequence[JobState], elapsed: float, said: dict[str, tuple[str, str, int]]
    ) -> None:
        for state in states:
            if said.get(state.name) != state.mark:
                said[state.name] = state.mark
                parts = (f"{state.phase}/{state.reason}".strip("/"), state.summary, state.metric)
                text = "  ".join(part for part in parts if part)
                _console.print(escape(f"{elapsed:5.0f} s  {state.name:20} {text}"))


class _Picture:
    """For terminals: one table that is drawn again and again."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __call__(self, states: Sequence[JobState], elapsed: float, said: Mapping[str, object]) -> None:
        self._live.update(table(states, elapsed), refresh=True)


@contextlib.contextmanager
def _display() -> Iterator[_Lines | _Picture]:
    if _console.is_terminal:
        with Live(console=_console, auto_refresh=False) as live:
            yield _Picture(live)
    else:
        yield _Lines()


def table(states: Sequence[JobState], elapsed: float) -> Table:
    """One row a job."""
    result = Table(title=f"TrainingJobs, {elapsed:.0f} s", title_justify="left", box=None, pad_edge=False)
    for heading in ("Job", "Phase", "Reason", "Progress", "Metric"):
        result.add_column(heading)
    for state in states:
        colour = COLOURS.get(state.phase, "white")
        bar = "█" * (state.percent // 10) + "░" * (10 - state.percent // 10) if state.summary else ""
        progress = f"{bar} {state.summary}".strip()
        result.add_row(state.name, f"[{colour}]{state.phase}[/]", state.reason, progress, state.metric)
    return result


def _explain(kubectl: Kubectl, namespace: str, state: JobState) -> None:
    """Why a job is not Done: what its status says, and the end of its last pod's log."""
    console.say(f"{state.name} is {state.phase}, {state.reason or 'without a reason'}: {state.message}")
    with contextlib.suppress(HarnessError):
        selector = f"--selector=trainyard.dev/job={state.name}"
        text = kubectl.run("logs", f"--namespace={namespace}", selector, "--tail=15", "--container=trainer")
        for line in text.splitlines():
            console.say(f"  {line}")
