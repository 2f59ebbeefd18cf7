"""Which TrainingJobs a verb is for: those that are named, that a selector finds, or all of the namespace; Experiments
only by name.

Separate because every verb that changes jobs takes them alike, and one that is not there must not hold up the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trainyard.cli import kinds
from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cluster import resources

Json = dict[str, Any]

Selector = Annotated[
    str | None, typer.Option("-l", "--selector", help="Jobs with these labels.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All jobs of the namespace.")]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the command line says about which jobs are meant."""

    names: tuple[tuple[str, str], ...]
    """Kind and name."""
    selector: str | None
    everything: bool

    @property
    def by_name(self) -> bool:
        return bool(self.names)


def selection(
    names: Sequence[str] | None, selector: str | None, everything: bool, *, also: Sequence[str] = ()
) -> Selection:
    """Raises UsageError unless jobs are chosen in exactly one way; `also` are kinds that may be named besides."""
    chosen = Selection(
        names=tuple(dict.fromkeys(kinds.runs(names or (), also=also))),
        selector=selector or None,
        everything=everything,
    )
    if [bool(chosen.names), chosen.selector is not None, everything].count(True) != 1:
        raise UsageError("Say which jobs: name them, or give -l SELECTOR, or --all.")
    return chosen


async def selected(there: Connection, chosen: Selection) -> AsyncIterator[Json | CommandError]:
    """The jobs and Experiments as they are now; for one that is not there, why."""
    for kind, name in chosen.names:
        try:
            yield await there.object(kind, name)
        except CommandError as error:
            yield error
    if chosen.by_name:
        return
    params = {"labelSelector": chosen.selector} if chosen.selector else {}
    listing = await there.client.get(resources.path("TrainingJob", there.namespace), params)
    found = listing.get("items") or []
    if not found:
        wanted = f"with the labels {chosen.selector} " if chosen.selector else ""
        typer.echo(f"There is no TrainingJob {wanted}in namespace {there.namespace}.", err=True)
    for job in found:
        yield {"apiVersion": listing["apiVersion"], "kind": "TrainingJob", **job}
