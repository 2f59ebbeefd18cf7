"""Validate: the check that a Dataset passes, as an action: a verdict, and all that was found in report.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_data.actions import output
from trainyard_data.actions.checking import checked
from trainyard_data.actions.contract import Order
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.reporting import Reporter, Verdict
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.checks.subject import Subject


def validate(order: Order, given: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry out the order. Raises Refused, with the first finding, for data that is not valid."""
    subject = checked(order, target=given["target"], reporter=reporter, stop=stop)
    report = findings_of(subject)
    if order.output_dir is not None:
        output.write_json(order.output_dir / "report.json", report)
    for finding in subject.findings.kept:
        reporter.log(str(finding))
    first = subject.findings.first
    metrics = metrics_of(subject)
    if first is not None:
        files = subject.findings.files
        more = f" ({files:,} files have problems; report.json and the log have more)" if files > 1 else ""
        reporter.line("RUNNING", "checked", kpi=metrics)
        raise Refused(f"Dataset {order.dataset} is not valid: {first}{more}")
    message = f"dataset {order.dataset} is valid: {subject.profile.summary()}"
    reporter.line("SUCCESS", message, kpi=metrics, artifacts=output.artifacts(order.output_dir))
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics, key_metric="valid")


def findings_of(subject: Subject) -> dict[str, Any]:
    """The report: the verdict, the findings that are kept, and the profile as status.profile has it."""
    return {
        "valid": subject.findings.first is None,
        "filesChecked": len(subject.checked),
        "problems": subject.findings.files,
        "findings": [
            {"path": one.path, "line": one.line, "message": one.message} for one in subject.findings.kept
        ],
        "profile": subject.profile.as_api(),
    }


def metrics_of(subject: Subject) -> dict[str, float]:
    """Counts, and `valid`, which is 1 or 0."""
    profile = subject.profile
    found = {
        "valid": float(subject.findings.first is None),
        "problems": subject.findings.files,
        "files": profile.files,
        "rows": profile.rows,
        "columns": profile.columns,
        "images": profile.images,
        "boxes": profile.boxes,
        "classes": len(profile.classes) or None,
    }
    return {name: float(value) for name, value in found.items() if value is not None}
