"""`trainyard plot experiment NAME`: what a search has found, as a PNG or as one page that needs no network.

The way there: `experimenthistory` has the runs, `plotdata` and `importance` make numbers of them, `figures` draws
those, `pictures` and `plotpage` write the file.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from trainyard.cli import connection, experimentjobs
from trainyard.cli.connection import Where
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.experimenthistory import History

_FORMS = (".png", ".html")
_NEEDED = "Drawing needs matplotlib and scikit-learn: pip install 'trainyard[plot]', then run it again."


def command(
    kind: connection.ExperimentKind,
    name: connection.Experiment,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|FILE.html",
            help="A picture, or a page with pictures and a table; default: ./NAME.png.",
            show_default=False,
        ),
    ] = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Draw the history of the Experiment NAME, also while it runs and when its jobs are gone.

    Optimisation history, parameters side by side, parameter importance, rungs and learning curves. Needs the extra
    `plot`: pip install 'trainyard[plot]'.
    """
    path = out or Path(f"{name}.png")
    if path.suffix.lower() not in _FORMS:
        raise UsageError(f"--out is a file that ends in {' or '.join(_FORMS)}, not {path.name}.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} for --out; make it first.")
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    history = connection.run(_history(where, name))
    shown, left_out = drawn(history, path)
    typer.echo(f"{path} has {', '.join(shown)}.")
    for reason in left_out:
        typer.echo(reason, err=True)


async def _history(where: Where, name: str) -> History:
    async with connection.connected(where) as there:
        return await experimentjobs.gathered(there, name)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turns what a user can meet into CommandError."""
    try:
        yield
    except ImportError:
        raise CommandError(_NEEDED) from None
    except OSError as error:
        raise CommandError(f"The file cannot be written: {error}.") from None


def drawn(history: History, path: Path) -> tuple[list[str], list[str]]:
    """Writes the file; gives what it shows, and why something is left out. Raises CommandError."""
    with _told():
        return _drawn(history, path)


def _drawn(history: History, path: Path) -> tuple[list[str], list[str]]:
    import matplotlib as mpl  # noqa: F401  # NB: before a search of a thousand trials is looked at for nothing

    from trainyard.cli import figures, importance, pictures, plotpage

    found = importance.importance(history)
    panels = list(figures.panels(history, found))
    if not panels:
        raise CommandError(
            f"Experiment {history.experiment} has no run with a value yet; `trainyard describe experiment "
            f"{history.experiment}` tells how far it is."
        )
    with warnings.catch_warnings():
        # NB: of a letter that the font does not have, which is a box in the picture.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if path.suffix.lower() == ".png":
            content = pictures.png(panels, title=_title(history))
        else:
            parts = [(panel.title, panel.caption, pictures.svg(panel)) for panel in panels]
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            content = plotpage.page(history, parts, when=now).encode()
    pictures.write(path, content)
    left_out = []
    if history.trials and (found is None or not any(share for _, share in found.shares)):
        left_out.append(f"Left out: parameter importance, {_why(found)}.")
    return [panel.title.lower() for panel in panels], left_out


def _why(found: object) -> str:
    from trainyard.cli.importance import LEAST_RUNS

    if found is None:
        return f"which needs {LEAST_RUNS} runs with different values and their parameters"
    return "as no parameter tells anything of the values so far"


def _title(history: History) -> str:
    search = f", {history.algorithm} search" if history.algorithm else ""
    best = history.best
    if best is None or best.value is None:
        return f"Experiment {history.experiment}{search}"
    return f"Experiment {history.experiment}{search}: best {history.metric} {best.value:.6g}, trial {best.number}"
