"""Analyze: what is in a dataset, as profile.json for programs and as a report for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_data.actions import drawing, output, statistics
from trainyard_data.actions.checking import checked
from trainyard_data.actions.contract import Order
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.reporting import Reporter, Verdict
from trainyard_data.actions.source import opened
from trainyard_data.actions.statistics import Chart, Statistics
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.actions.validate import findings_of, metrics_of
from trainyard_data.checks.subject import Subject

_MOST_BARS = 50


def analyze(order: Order, given: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry out the order; data that is not valid is analysed as far as it can be. Raises Refused, Stopped."""
    folder = output.folder_of(order)
    subject = checked(order, target=given["target"], reporter=reporter, stop=stop)
    found = Statistics()
    first = subject.findings.first
    if first is None:
        found = _statistics(order, subject, bins=given["bins"], reporter=reporter, stop=stop)
    report = {**findings_of(subject), "statistics": found.figures}
    notes = [f"Not valid: {one}" for one in subject.findings.kept[:20]]
    charts = [*_of_profile(subject), *found.charts]
    title = f"Dataset {order.dataset}"
    output.write_text(folder / "report.md", drawing.markdown(title, _facts(order, subject), notes, charts))
    output.write_text(folder / "report.html", drawing.html(title, _facts(order, subject), notes, charts))
    output.write_json(folder / "profile.json", report)
    valid = "" if first is None else f"; it is not valid: {first}"
    message = f"analyzed {order.dataset}: {subject.profile.summary()}{valid}"
    metrics = metrics_of(subject)
    reporter.line(
        "SUCCESS",
        message,
        kpi=metrics,
        categorical={"classes": dict(subject.profile.classes.most_common(_MOST_BARS))},
        artifacts=output.artifacts(folder),
    )
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics, key_metric="valid")


def _statistics(
    order: Order, subject: Subject, *, bins: int, reporter: Reporter, stop: StopFlag
) -> Statistics:
    try:
        source = opened(order, works_on=("table", "boxes", "folders", "masks"))
    except Refused as unknown:
        reporter.log(f"Only the profile: {unknown}")
        return Statistics()
    profile = subject.profile
    if source.kind == "table":
        progress = reporter.progress("rows", profile.rows, stopped=stop)
        columns = {column.name: column for column in profile.column_profiles}
        return statistics.of_table(source, columns, bins=bins, progress=progress)
    progress = reporter.progress("images", profile.images, stopped=stop)
    if source.kind == "boxes":
        return statistics.of_boxes(source, bins=bins, progress=progress)
    return statistics.of_images(source, bins=bins, progress=progress)


def _facts(order: Order, subject: Subject) -> list[tuple[str, str]]:
    profile = subject.profile
    rows: list[tuple[str, object]] = [
        ("Type", order.type),
        ("Format", order.format),
        ("Content", profile.summary()),
        ("Valid", "yes" if subject.findings.first is None else "no"),
        ("Files", f"{profile.files:,}"),
        ("Bytes", f"{profile.bytes:,}"),
        ("Target", profile.target),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]


def _of_profile(subject: Subject) -> list[Chart]:
    profile = subject.profile
    missing = [(column.name, column.missing) for column in profile.column_profiles if column.missing]
    charts = (
        ("Classes", profile.classes.most_common(_MOST_BARS)),
        ("Parts", list(profile.splits.items())),
        ("Missing values", sorted(missing, key=lambda one: -one[1])[:_MOST_BARS]),
    )
    return [Chart(title, tuple(bars)) for title, bars in charts if bars]
