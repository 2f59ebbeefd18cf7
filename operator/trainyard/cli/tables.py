"""Objects as the API server's own table of them: the columns that `kubectl get` has, from the CRDs.

Separate because the columns are the server's (`Accept: ...;as=Table`), so that nothing here knows a kind.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import typer

from trainyard.cli.changes import LISTED, watch
from trainyard.cli.reading import printable
from trainyard.cluster.client import Client

Json = dict[str, Any]

_ACCEPT = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
_GAP = "   "
_COLOURS = {"Done": "green", "Error": "red", "Canceled": "yellow", "Running": "cyan"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Titles and rows, all of them text; `phase` is the column that may be coloured."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    phase: int | None

    @classmethod
    def of(cls, raw: Json, *, wide: bool, namespaced: bool) -> Table:
        """From a meta.k8s.io Table; `namespaced` puts each object's namespace first."""
        columns = [
            (number, column)
            for number, column in enumerate(raw.get("columnDefinitions") or [])
            if wide or not column.get("priority")
        ]
        titles = tuple(str(column["name"]).upper() for _, column in columns)
        rows = []
        for row in raw.get("rows") or []:
            cells = tuple(_cell(row["cells"][number]) for number, _ in columns)
            rows.append((row["object"]["metadata"]["namespace"], *cells) if namespaced else cells)
        titles = ("NAMESPACE", *titles) if namespaced else titles
        return cls(
            titles=titles, rows=tuple(rows), phase=titles.index("PHASE") if "PHASE" in titles else None
        )

    def widths(self, least: Sequence[int] = ()) -> list[int]:
        """Of the columns, at least those of an earlier part of the same table."""
        found = [
            max(len(line[number]) for line in (self.titles, *self.rows)) for number in range(len(self.titles))
        ]
        return [max(pair) for pair in zip(found, least, strict=True)] if least else found

    def lines(self, widths: Sequence[int], *, titled: bool) -> list[str]:
        colour = _has_colours()
        shown = [*([self.titles] if titled else []), *self.rows]
        return [self._line(row, widths, colour=colour and row is not self.titles) for row in shown]

    def _line(self, row: Sequence[str], widths: Sequence[int], *, colour: bool) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        if colour and self.phase is not None and (fg := _COLOURS.get(row[self.phase])):
            cells[self.phase] = typer.style(cells[self.phase], fg=fg)
        return _GAP.join(cells).rstrip()


async def listed(client: Client, path: str, params: dict[str, str]) -> Json:
    """The server's table of a collection or of one object."""
    return await client.request("GET", path, params=params, headers=_ACCEPT)


async def changed(client: Client, path: str, params: dict[str, str]) -> AsyncGenerator[Json, None]:
    """The table of a collection, then one of a row for each change; goes on when it is cut.

    Raises ApiError for a refusal, aiohttp.ClientError when there is no answer at the start or for half a minute.
    """
    seen: dict[str, str] = {}
    columns: list[Json] = []
    query = {**params, "allowWatchBookmarks": "false"}
    async with aclosing(watch(client, path, query, headers=_ACCEPT, patient=False)) as stream:
        async for kind, table in stream:
            rows = table.get("rows") or []
            if kind == LISTED:
                columns = table["columnDefinitions"]
                new = [row for row in rows if seen.get(_uid(row)) != _version(row)]
                seen = {_uid(row): _version(row) for row in rows}
                yield {**table, "rows": new}
                continue
            seen |= {_uid(row): _version(row) for row in rows}
            # NB: only the first table of a watch names its columns.
            yield {**table, "columnDefinitions": columns}


def _uid(row: Json) -> str:
    return str(row["object"]["metadata"]["uid"])


def _version(row: Json) -> str:
    return str(row["object"]["metadata"]["resourceVersion"])


def _cell(value: Any) -> str:
    return "" if value is None else printable(str(value))


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
