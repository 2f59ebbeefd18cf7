"""What the quickstart's receiver was told: by its own log, against what the jobs' status says.

Separate because a callback comes after the end that the demo waits for. Called by `demo`; the fixtures of tests/e2e
install the operator with the same values.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from tests.harness import console
from tests.harness.errors import HarnessError
from tests.harness.kubectl import Json, Kubectl

EVERY_SECONDS = 0.5
RECEIVER = "deployment/receiver"
# The namespace in the URLs of the examples.
EXAMPLES_NAMESPACE = "quickstart"


@dataclass(frozen=True, kw_only=True)
class Told:
    """One entry of a job's `status.callbacks`, and whether the receiver has printed it as verified."""

    job: str
    event: str
    id: str
    state: str
    attempts: int
    message: str
    verified: bool

    @property
    def good(self) -> bool:
        return self.state == "Delivered" and self.verified


def values(kubectl: Kubectl) -> Json:
    """Values of the chart that let callbacks reach Services of this cluster."""
    ranges = [cidr for one in kubectl.items("servicecidrs") for cidr in one["spec"]["cidrs"]]
    return {"settings": {"callbacks": {"allowedCIDRs": ranges}}}


def in_namespace(job: Json, namespace: str) -> None:
    """Turns the URLs of an example's callbacks to the receiver in `namespace`."""
    for callback in job["spec"].get("callbacks", []):
        callback["url"] = callback["url"].replace(f".{EXAMPLES_NAMESPACE}.svc", f".{namespace}.svc")


def until_told(kubectl: Kubectl, namespace: str, *, timeout: float) -> list[Told]:
    """Every delivery of the namespace's jobs, once all are good or `timeout` seconds have passed.

    Says of each that is not good what its status says. Raises HarnessError when no job has told anything.
    """
    deadline = time.monotonic() + timeout
    with console.step("What the receiver was told") as step:
        while not (told := told_so_far(kubectl, namespace)) or not all(one.good for one in told):
            if time.monotonic() > deadline:
                break
            time.sleep(EVERY_SECONDS)
        step.say(f"{sum(one.good for one in told)} of {len(told)}")
    if not told:
        raise HarnessError(f"No job in {namespace} has told anything after its end.")
    for one in told:
        if not one.good:
            console.say(f"{one.job} told {one.event}: {one.state}, {one.message or 'not tried yet'}")
    return told


def told_so_far(kubectl: Kubectl, namespace: str) -> list[Told]:
    """Every delivery of the namespace's jobs as it is now."""
    verified = {line["id"] for line in received(kubectl, namespace) if line.get("verified") is True}
    return [
        Told(
            job=job["metadata"]["name"],
            event=entry["event"],
            id=entry["id"],
            state=entry["state"],
            attempts=entry["attempts"],
            message=entry.get("message", ""),
            verified=entry["id"] in verified,
        )
        for job in kubectl.items("trainingjobs", f"--namespace={namespace}")
        for entry in (job.get("status") or {}).get("callbacks", [])
    ]


def received(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    """The lines that the receiver printed; none while it does not run."""
    lines = []
    with contextlib.suppress(HarnessError):
        for line in kubectl.run("logs", RECEIVER, f"--namespace={namespace}").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict)]


def table(all_told: Sequence[Told]) -> Table:
    """One row a delivery."""
    result = Table(title="What was told to the receiver", title_justify="left", title_style="bold")
    for heading in ("Job", "Event", "Id", "Tries", "State", "Signature"):
        result.add_column(heading, overflow="fold")
    for one in all_told:
        result.add_row(
            one.job,
            one.event,
            one.id,
            str(one.attempts),
            f"[{'green' if one.state == 'Delivered' else 'yellow'}]{one.state}[/]",
            "[green]verified[/]" if one.verified else "[red]not seen by the receiver[/]",
        )
    return result
