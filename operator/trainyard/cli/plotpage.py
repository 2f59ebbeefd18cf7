"""The page of `trainyard plot`: one HTML file with pictures in it and a table of all runs, which needs no network.

Separate because it is text alone. Its policy forbids whatever is not in the file itself. Called by `plot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from trainyard.cli.experimenthistory import History, Run
from trainyard.cli.reading import printable
from trainyard.cli.rendering import amount

_STYLE = """
:root { color-scheme: light dark; --line: #8f8f8f55; --good: #e07b0033 }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1180px; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 0 .3rem } h2 { font-size: 1.1rem; margin: 2rem 0 .2rem }
p { margin: .2rem 0 .6rem } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem }
dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere } svg { width: 100%; height: auto }
.table { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th button { all: unset; cursor: pointer; font-weight: 600 } th button:focus-visible { outline: 2px solid }
th[aria-sort=ascending] button::after { content: " ▲" } th[aria-sort=descending] button::after { content: " ▼" }
tr.best td { background: var(--good); font-weight: 600 }
"""
# Sorts by a cell's data-by, as a number where both are; what is empty stays below.
_SCRIPT = """
for (const head of document.querySelectorAll("th")) head.firstChild.addEventListener("click", () => {
  const up = head.getAttribute("aria-sort") !== "ascending", at = head.cellIndex;
  for (const one of head.parentNode.cells) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0], by = row => row.cells[at].dataset.by ?? row.cells[at].textContent;
  const rows = [...body.rows].sort((left, right) => {
    const a = by(left), b = by(right), x = Number(a), y = Number(b);
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
    return up ? order : -order;
  });
  body.append(...rows);
});
"""


def page(history: History, pictures: Sequence[tuple[str, str, str]], *, when: str) -> str:
    """Of pictures as (title, caption, SVG element)."""
    title = f"Experiment {history.experiment}"
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{_text(title)}</h1>",
        "<dl>",
        *(
            f"<dt>{_text(name)}</dt><dd>{_text(text)}</dd>"
            for name, text in _head(history, when=when)
            if text
        ),
        "</dl>",
    ]
    for heading, caption, svg in pictures:
        parts += [f"<section>\n<h2>{_text(heading)}</h2>\n<p>{_text(caption)}</p>", svg, "</section>"]
    parts += ["<h2>All runs</h2>", _table(history), f"<script>{_SCRIPT}</script>", "</body>\n</html>\n"]
    return "\n".join(parts)


def _head(history: History, *, when: str) -> Iterator[tuple[str, str]]:
    yield "Namespace", history.namespace
    seed = "" if history.seed is None else f", seed {history.seed}"
    yield "Search", f"{history.algorithm}{seed}" if history.algorithm else ""
    yield "Objective", f"{history.metric}, {history.goal}" if history.metric else ""
    trials = {run.number for run in history.trials}
    yield "Trials", f"{len(trials)} in {len(history.trials)} runs" if trials else ""
    best = history.best
    if best is not None and best.value is not None:
        epoch = "" if best.epoch is None else f" in epoch {best.epoch:g}"
        yield "Best", f"{best.value:.6g}{epoch}, trial {best.number} ({best.job})"
        yield "With", ", ".join(f"{name} = {value}" for name, value in best.parameters.items())
    yield "Drawn", when


def _table(history: History) -> str:
    searched = history.parameter_names
    titles = ["trial", *(["bracket", "rung", "epochs"] if history.rungs else []), "state"]
    titles += [history.metric or "value", "epoch", "took", *searched, "job"]
    head = "".join(f'<th scope="col"><button>{_text(title)}</button></th>' for title in titles)
    rows = "\n".join(_row(run, history, searched) for run in history.runs)
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def _row(run: Run, history: History, searched: Sequence[str]) -> str:
    rungs = [_number(run.bracket), _number(run.rung), _number(run.epochs)] if history.rungs else []
    took = "" if run.took is None else amount(run.took)
    cells = [
        _cell(run.step) if run.number is None else _number(run.number),
        *rungs,
        _cell(run.state),
        _number(run.value),
        _number(run.epoch),
        _cell(took, by="" if run.took is None else f"{run.took:g}"),
        *(_cell(run.parameters.get(name, "")) for name in searched),
        _cell(run.job),
    ]
    return f"<tr{' class=best' if run is history.best else ''}>{''.join(cells)}</tr>"


def _number(value: float | None) -> str:
    return "<td></td>" if value is None else _cell(f"{value:.6g}", by=repr(float(value)))


def _cell(text: str, *, by: str | None = None) -> str:
    said = "" if by is None or by == text else f' data-by="{_text(by)}"'
    return f"<td{said}>{_text(text)}</td>"


def _text(text: str) -> str:
    return escape(printable(text))
