"""What `trainyard plot` shows of an Experiment, and the files that it writes."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.experiments import a_hyperband, a_job, a_random_search, accuracy, an_experiment, objective
from trainyard.cli import figures, importance, pictures, plot, plotdata, plotpage, redrawing
from trainyard.cli.exits import CommandError
from trainyard.cli.experimenthistory import History, history

ALL = ["history", "parallel", "importance", "rungs", "curves"]


def a_history(count: int = 40, **more: Any) -> History:
    return history(*a_random_search(count, **more))


def panels(found: History) -> list[pictures.Panel]:
    return list(figures.panels(found, importance.importance(found)))


def test_the_best_so_far_falls_for_a_loss_and_rises_else() -> None:
    found = a_history(12, failed=(0,))
    line = plotdata.best_so_far(found)
    assert [number for number, _ in line] == list(range(1, 12)), "one that failed is none of them"
    assert [value for _, value in line] == [
        max(accuracy(other, 10) for other in range(1, number + 1)) for number, _ in line
    ]
    experiment, _ = a_random_search(12)
    experiment["status"]["automl"]["goal"] = "Minimize"
    values = [value for _, value in plotdata.best_so_far(history(experiment, []))]
    assert values == sorted(values, reverse=True)


def test_each_trial_counts_once_by_its_highest_rung() -> None:
    found = history(*a_hyperband(9, 3))
    runs = plotdata.final_runs(found)
    assert len(runs) == len({run.number for run in found.trials})
    assert max(run.rung for run in runs) == 2


def test_a_trial_that_has_gone_on_has_one_curve_over_all_of_its_rungs() -> None:
    found = history(*a_hyperband(9, 3))
    assert found.best is not None
    best = next(curve for curve in plotdata.curves(found) if curve.number == found.best.number)
    assert [epoch for epoch, _ in best.points] == list(range(1, 10))
    assert best.value == found.best.value


def test_without_trials_the_curves_are_those_of_the_steps() -> None:
    found = history(an_experiment("chain"), [a_job("chain", "train", **objective(3))])
    (curve,) = plotdata.curves(found)
    assert (curve.number, curve.name, len(curve.points)) == (None, "train", 10)
    assert [panel.key for panel in panels(found)] == ["curves"]


@pytest.mark.parametrize(
    ("values", "minimize", "expected"),
    [
        ([3.0, 1.0, 2.0], False, [1.0, 0.0, 0.5]),
        ([3.0, 1.0, 2.0], True, [0.0, 1.0, 0.5]),
        ([2.0, None, 2.0], False, [1.0, 0.0, 1.0]),
        ([], False, []),
    ],
)
def test_places_among_all_values(values: list[float | None], minimize: bool, expected: list[float]) -> None:
    assert plotdata.ranks(values, minimize=minimize) == expected


def test_axes_have_the_scale_of_the_search() -> None:
    found = a_history(30)
    runs = plotdata.final_runs(found)
    activation, units, rate, metric = plotdata.axes(
        found, runs, ["activation", "hidden_units", "learning_rate"]
    )
    assert [text for _, text in activation.ticks] == ["relu", "tanh"]
    assert {*activation.places} == {0.0, 1.0}
    assert (units.name, rate.name, metric.name) == ("hidden_units", "learning_rate (log)", "accuracy")
    rates = [float(text) for _, text in rate.ticks]
    assert rates[1] / rates[0] == pytest.approx(rates[2] / rates[1], rel=0.02)
    for axis in (units, rate, metric):
        known = [place for place in axis.places if place is not None]
        assert (min(known), max(known)) == (0.0, 1.0)


def test_many_words_and_parameters_that_some_trials_lack_have_places_too() -> None:
    experiment, jobs = a_random_search(60)
    for number, job in enumerate(jobs):
        odd = {"word": f"w{number:02}", "new": "1"} if number % 2 else {"word": "nan"}
        job["metadata"]["annotations"]["trainyard.dev/trial-parameters"] = json.dumps(odd)
    found = history(experiment, jobs)
    word, new, _ = plotdata.axes(found, plotdata.final_runs(found), ["word", "new"])
    assert len(word.ticks) <= 24
    assert [place is None for place in new.places][:2] == [True, False]


def test_importance_finds_what_decides_and_gives_nothing_to_what_does_not() -> None:
    found = importance.importance(a_history(120))
    assert found is not None
    shares = dict(found.shares)
    assert next(iter(shares)) == "learning_rate"
    assert shares["momentum"] < 0.05
    assert sum(shares.values()) == pytest.approx(1.0)
    assert found.explained > 0.7
    few = a_history(20)
    assert importance.importance(few) == importance.importance(few), "the same history gives the same picture"


def test_noise_has_no_importance() -> None:
    import random

    experiment, jobs = a_random_search(60)
    values = random.Random(0)
    for line in experiment["status"]["automl"]["ledger"]:
        line["value"] = f"{values.random()}"
    found = importance.importance(history(experiment, jobs))
    assert found is not None
    assert found.explained < 0.2


@pytest.mark.parametrize("count", [1, 9], ids=["one trial", "too few"])
def test_of_few_trials_no_importance_is_told(count: int) -> None:
    assert importance.importance(a_history(count)) is None


def test_of_many_parameters_the_most_important_ones_are_drawn() -> None:
    found = a_history(40)
    told = importance.importance(found)
    runs = plotdata.final_runs(found)
    assert told is not None
    first = {name for name, _ in told.shares[:2]}
    assert {*importance.of_trials(found, told, runs, most=2)} == first
    assert importance.of_trials(found, told, runs, most=4) == list(found.parameter_names)


def read(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_picture_has_a_panel_for_all_that_there_is() -> None:
    found = history(*a_hyperband(9, 3))
    drawn = panels(found)
    assert [panel.key for panel in drawn] == ALL
    image = read(pictures.png(drawn, title="Experiment rungs"))
    assert image.format == "PNG"
    assert image.size[0] > 1000
    assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(lambda: a_history(1), id="one trial"),
        pytest.param(lambda: a_history(2, failed=(0,)), id="one of two failed"),
        pytest.param(lambda: history(a_random_search(25)[0], []), id="no job is left"),
        pytest.param(lambda: history(*a_hyperband(27, 3)), id="four brackets"),
        pytest.param(lambda: history(*a_hyperband(1, 3)), id="one rung"),
    ],
)
def test_there_is_a_picture_of_whatever_there_is(found: Any) -> None:
    drawn = panels(found())
    assert read(pictures.png(drawn, title="x")).size[0] > 500
    for panel in drawn:
        ElementTree.fromstring(pictures.svg(panel))


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def a_page(found: History) -> str:
    drawn = [(panel.title, panel.caption, pictures.svg(panel)) for panel in panels(found)]
    return plotpage.page(found, drawn, when="2025-03-09 07:05 UTC")


def test_a_value_without_a_place_on_any_axis_is_left_out_of_the_picture() -> None:
    experiment, jobs = a_random_search(5)
    experiment["status"]["automl"]["ledger"][0]["value"] = "1.7e308"
    jobs[1]["status"]["objective"]["curve"]["values"][3] = "-1.7e308"
    found = history(experiment, jobs)
    assert [run.number for run in plotdata.final_runs(found)] == [1, 2, 3, 4]
    assert len(pictures.png(panels(found), title="diverged")) > 1000


def test_a_page_needs_nothing_beside_itself() -> None:
    found = history(*a_hyperband(9, 3))
    text = a_page(found)
    page = Page(text)
    assert page.tags.count("svg") == len(ALL)
    assert page.tags.count("tr") == 1 + len(found.trials)
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not {"link", "img", "iframe", "object"} & {*page.tags}
    assert "default-src 'none'" in text
    outside = {url for url in re.findall(r"https?://[^\s\"'<]+", text) if "www.w3.org" not in url}
    assert outside == set(), "names of XML are no addresses"
    for reference in re.findall(r"url\(#([^)]+)\)", text):
        assert reference in page.ids
    assert "#010203" not in text, "text has the colour of the page"
    assert len(text) < 500_000


def test_names_of_strangers_are_text_in_pictures_and_pages() -> None:
    experiment, jobs = a_random_search(12)
    experiment["status"]["automl"]["metric"] = "a<b>$\\frac{&\x07"
    for number, job in enumerate(jobs):
        told = {"<script>alert(1)</script>": "$x^", "b\x07": str(number), "c": "\ud800"}
        job["metadata"]["annotations"]["trainyard.dev/trial-parameters"] = json.dumps(told)
    found = history(experiment, jobs)
    text = a_page(found)
    assert "<script>alert" not in text
    assert Page(text).tags.count("script") == 1
    assert "\x07" not in text
    text.encode()
    for panel in panels(found):
        ElementTree.fromstring(pictures.svg(panel))
    assert read(pictures.png(panels(found), title="$")).size[0] > 500


def test_a_thousand_trials_are_drawn_in_time_and_in_little_room() -> None:
    experiment, jobs = a_random_search(1000)
    found = history(experiment, jobs, redraw=redrawing.of(experiment))
    began = time.process_time()
    text = a_page(found)
    taken = time.process_time() - began
    assert len(text) < 2_000_000
    assert taken < 30


def test_without_the_extra_it_is_said_which_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in ("matplotlib", "sklearn.ensemble"):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(CommandError, match=r"pip install 'trainyard\[plot\]'"):
            plot.drawn(a_history(12), tmp_path / "a.png")
        monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        plot.drawn(a_history(12), tmp_path / "none" / "a.png")
    names, left_out = plot.drawn(a_history(3), tmp_path / "a.PNG")
    assert names == ["optimisation history", "parameters of all trials", "learning curves"]
    assert left_out == [
        "Left out: parameter importance, which needs 10 runs with different values and their parameters."
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.PNG"]
    with pytest.raises(CommandError, match="has no run with a value yet"):
        plot.drawn(history(an_experiment(), []), tmp_path / "b.png")
