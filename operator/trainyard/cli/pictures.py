"""Panels as pictures: all of them in one PNG, or each as SVG for a page.

Separate from `figures`, which draws on the axes of a panel, because this alone knows files and formats. Called by
`plot`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GREY = "#8f8f8f"
#: A colour that stands nowhere else; in a page it becomes that of the text around.
INK = "#010203"
#: The same for what lies below text.
PAPER = "#fdfefe"
_WIDTH, _HEIGHT = 7.2, 4.0
_COLUMNS = 2
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]+)')
_ID = re.compile(r' id="([^"]+)"')

Draw = Callable[[Any], None]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture, with what it shows in a sentence."""

    key: str
    title: str
    caption: str
    draw: Draw


def png(chosen: Sequence[Panel], *, title: str) -> bytes:
    """All panels in one picture on white, which is legible on any page."""
    with _style() as pyplot:
        lines = -(-len(chosen) // _COLUMNS)
        columns = min(_COLUMNS, len(chosen))
        figure = pyplot.figure(
            figsize=(_WIDTH * columns, _HEIGHT * lines + 0.5), layout="constrained", facecolor="white"
        )
        figure.suptitle(title, fontsize=12)
        for number, panel in enumerate(chosen):
            axis = figure.add_subplot(lines, columns, number + 1)
            panel.draw(axis)
            axis.set_title(panel.title, fontsize=11, loc="left")
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=100)
        pyplot.close(figure)
    return _smaller(content)


def _smaller(content: io.BytesIO) -> bytes:
    """With 256 colours, which are enough, in a third of the room."""
    from PIL import Image

    found = io.BytesIO()
    Image.open(content).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        found, "PNG", optimize=True
    )
    return found.getvalue()


def svg(panel: Panel) -> str:
    """One panel as an element for a page: transparent, its text in the colour of the page's."""
    with _style() as pyplot:
        figure = pyplot.figure(figsize=(_WIDTH * 1.25, _HEIGHT * 1.1), layout="constrained")
        axis = figure.add_subplot()
        axis.set_facecolor("none")
        panel.draw(axis)
        content = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": panel.key}):
            figure.savefig(content, format="svg", transparent=True, dpi=150, metadata=nothing)
        pyplot.close(figure)
    text = content.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "Canvas")
    # NB: several pictures in one page would have the same names, as figure_1.
    used = set(_REFERENCE.findall(text))
    return _ID.sub(lambda found: found[0] if found[1] in used else "", text)


@contextmanager
def _style() -> Iterator[Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    style: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        # NB: names of parameters and metrics are strangers' text, no formulas.
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
        ),
        "legend.frameon": False,
        "legend.fontsize": 8,
        "grid.color": GREY,
        "grid.alpha": 0.3,
    }
    with mpl.rc_context(style):
        yield pyplot


def write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)
