"""The panels of `trainyard plot`, drawn by matplotlib.

Separate because matplotlib takes a second to import, and comes with the extra `plot` alone. Called by `plot`.

Colours are of Okabe and Ito's palette and of a scale from blue to orange of even lightness: people with any colour
vision can tell them apart, and they stand out on white and on black. What is best is drawn thick besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainyard.cli import plotdata
from trainyard.cli.experimenthistory import SUCCESS, History
from trainyard.cli.importance import Importance, of_trials
from trainyard.cli.pictures import GREY, INK, PAPER, Panel
from trainyard.cli.plotdata import shortened

BLUE, ORANGE, GREEN, RED = "#3d7ebf", "#e07b00", "#1b9e77", "#d1495b"
_MANY, _POINTS = 300, 10_000


def panels(history: History, found: Importance | None) -> Iterator[Panel]:
    """Those that there is something to draw for."""
    metric = _metric(history)
    best = "least" if history.minimize else "greatest"
    runs = plotdata.final_runs(history)
    known = [run for run in runs if run.parameters]
    if runs:
        yield Panel(
            key="history",
            title="Optimisation history",
            caption=f"Each trial's {metric}, and the {best} until then.",
            draw=lambda axis: _history(axis, history),
        )
    shown = of_trials(history, found, known, most=plotdata.MOST_AXES)
    if len(known) > 1 and shown:
        yield Panel(
            key="parallel",
            title="Parameters of all trials",
            caption=f"A line is a trial, the orange ones have the best {metric}; the thick one is the best.",
            draw=lambda axis: _parallel(axis, history, shown),
        )
    if found is not None and any(share for _, share in found.shares):
        yield Panel(
            key="importance",
            title="Parameter importance",
            caption=f"Shuffling the parameter costs a forest so much of what it knows of {metric}; on runs that it has "
            f"not seen it explains {found.explained:.0%} of the order of {found.runs}.",
            draw=lambda axis: _importance(axis, found),
        )
    if history.rungs:
        yield Panel(
            key="rungs",
            title="Rungs",
            caption="Trials that each rung takes, those that have ended on it, and those that have gone on.",
            draw=lambda axis: _rungs(axis, history),
        )
    if curves := plotdata.curves(history):
        yield Panel(
            key="curves",
            title="Learning curves",
            caption=f"{metric} over the epochs, {len(curves)} of them; orange ones end best.",
            draw=lambda axis: _curves(axis, history, curves),
        )


def _scale() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("trainyard", [BLUE, GREY, ORANGE])


def _history(axis: Any, history: History) -> None:
    runs = plotdata.final_runs(history)
    size = 24 if len(runs) < 100 else 12 if len(runs) < _MANY else 6
    rungs = sorted({run.rung for run in runs})
    colour = _scale()
    for rung in rungs:
        chosen = [run for run in runs if run.rung == rung and run.state == SUCCESS]
        of_scale = rung / max(rungs) if max(rungs) else 0.0
        axis.scatter(
            [run.number for run in chosen],
            [run.value for run in chosen],
            s=size,
            color=colour(of_scale),
            label=f"rung {rung}" if len(rungs) > 1 else "trial",
            zorder=3,
        )
    if stopped := [run for run in runs if run.state == "stopped"]:
        numbers, values = [run.number for run in stopped], [run.value for run in stopped]
        axis.scatter(numbers, values, s=size * 1.5, marker="|", color=GREY, label="stopped early", zorder=3)
    failed = [run.number for run in history.trials if run.state == "failure" and run.number is not None]
    if failed:
        places = axis.get_xaxis_transform()
        axis.scatter(
            failed,
            [0.02] * len(failed),
            transform=places,
            marker="x",
            s=size * 1.5,
            color=RED,
            label="failed",
        )
    if line := plotdata.best_so_far(history):
        axis.step(*zip(*line, strict=True), where="post", color=GREEN, linewidth=2, label="best so far")
    _numbered(axis, "trial", _metric(history))
    _legend(axis)


def _parallel(axis: Any, history: History, shown: Sequence[str]) -> None:
    from matplotlib.collections import LineCollection

    runs = [run for run in plotdata.final_runs(history) if run.parameters]
    # NB: the best last, so that it lies above the others.
    runs.sort(key=lambda run: run.value or 0.0, reverse=history.minimize)
    best = history.best.number if history.best is not None else runs[-1].number
    places = plotdata.ranks([run.value for run in runs], minimize=history.minimize)
    drawn = plotdata.axes(history, runs, shown)
    lines = [
        [(float(at), place) for at, part in enumerate(drawn) if (place := part.places[index]) is not None]
        for index in range(len(runs))
    ]
    axis.add_collection(
        LineCollection(
            lines,
            colors=[_scale()(place) for place in places],
            linewidths=0.8,
            alpha=0.75 if len(runs) < 100 else 0.35,
        )
    )
    for line, run in zip(lines, runs, strict=True):
        if run.number == best:
            axis.plot(*zip(*line, strict=True), color=ORANGE, linewidth=3, zorder=4)
    for number, part in enumerate(drawn):
        axis.axvline(number, color=INK, linewidth=0.8, zorder=2)
        for place, text in part.ticks:
            axis.annotate(
                text,
                (number, place),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                zorder=5,
                bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
            )
    axis.set_xlim(-0.1, len(drawn) - 0.6)
    axis.set_ylim(-0.04, 1.04)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(axis="x", length=0)
    turned = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"} if len(drawn) > 5 else {}
    axis.set_xticks(range(len(drawn)), [shortened(part.name, 26) for part in drawn], **turned)


def _importance(axis: Any, found: Importance) -> None:
    shares = found.shares[: plotdata.MOST_AXES][::-1]
    bars = axis.barh(
        [shortened(name, 30) for name, _ in shares], [share for _, share in shares], color=BLUE, height=0.65
    )
    axis.bar_label(bars, [f"{share:.0%}" for _, share in shares], padding=3, fontsize=8)
    axis.set_xlim(0, max(share for _, share in shares) * 1.15)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_xlabel("share of the rise of the error when the parameter is shuffled")
    axis.grid(axis="x")
    axis.set_axisbelow(True)


def _rungs(axis: Any, history: History) -> None:
    places, names, place, bracket = [], [], 0.0, None
    for rung in history.rungs:
        place += 1.0 if bracket in (None, rung["bracket"]) else 1.7
        bracket = rung["bracket"]
        places.append(place)
        names.append(f"{rung['epochs']}")
    counts = [int(rung["configurations"]) for rung in history.rungs]
    ended = [int(rung.get("finished") or 0) for rung in history.rungs]
    promoted = [int(rung.get("promoted") or 0) for rung in history.rungs]
    axis.bar(places, counts, width=0.8, color="none", edgecolor=GREY, linewidth=1, label="to run")
    axis.bar(places, ended, width=0.8, color=BLUE, alpha=0.55, label="ended")
    axis.bar(places, promoted, width=0.8, color=ORANGE, label="gone on")
    for where, rung, count in zip(places, history.rungs, counts, strict=True):
        best = plotdata.short_number(rung.get("best"))
        axis.annotate(
            f"{count}\n{best}" if best else str(count),
            (where, count),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axis.set_xticks(places, names)
    axis.set_ylim(0, max(counts, default=1) * 1.25)
    brackets = list(dict.fromkeys(rung["bracket"] for rung in history.rungs))
    for one in brackets if len(brackets) > 1 else ():
        own = [where for where, rung in zip(places, history.rungs, strict=True) if rung["bracket"] == one]
        axis.annotate(
            f"bracket {one}",
            (sum(own) / len(own), 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -26),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axis.set_xlabel("epochs of each rung", labelpad=16 if len(brackets) > 1 else 4)
    axis.set_ylabel(f"trials (with the best {_metric(history)})")
    _legend(axis)


def _curves(axis: Any, history: History, curves: Sequence[plotdata.Curve]) -> None:
    from matplotlib.collections import LineCollection

    trials = curves[0].number is not None
    places = plotdata.ranks([curve.value for curve in curves], minimize=history.minimize)
    order = sorted(range(len(curves)), key=lambda index: places[index])
    if trials:
        axis.add_collection(
            LineCollection(
                [curves[index].points for index in order],
                colors=[_scale()(places[index]) for index in order],
                linewidths=0.9,
                alpha=0.8 if len(curves) < 100 else 0.4,
                # NB: a page with each of their points would have megabytes.
                rasterized=sum(len(curve.points) for curve in curves) > _POINTS,
            )
        )
        best = next((c for c in curves if history.best is not None and c.number == history.best.number), None)
        if best is not None:
            axis.plot(*zip(*best.points, strict=True), color=ORANGE, linewidth=3, label=f"best: {best.name}")
            _legend(axis)
        axis.autoscale_view()
    else:
        for curve, colour in zip(curves, (BLUE, ORANGE, GREEN, RED, GREY) * len(curves), strict=False):
            axis.plot(*zip(*curve.points, strict=True), color=colour, marker=".", label=curve.name)
        _legend(axis)
    _numbered(axis, "epoch", _metric(history))


def _numbered(axis: Any, below: str, beside: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel(below)
    axis.set_ylabel(beside)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    axis.grid()
    axis.set_axisbelow(True)


def _metric(history: History) -> str:
    return shortened(history.metric or "value", 40)


def _legend(axis: Any) -> None:
    """Above, where it hides nothing."""
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, ncols=4)
