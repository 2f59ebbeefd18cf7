"""The check of a dataset as an action runs it: with status lines, and ended by SIGTERM.

Separate because `validate` and `analyze` begin alike.
"""

from __future__ import annotations

from trainyard_data.actions.contract import Order
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.reporting import Progress, Reporter
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.checks import dispatch
from trainyard_data.checks.subject import Subject
from trainyard_data.findings import Findings
from trainyard_data.tree import listed


def checked(order: Order, *, target: str | None, reporter: Reporter, stop: StopFlag) -> Subject:
    """The dataset after its check. Raises Refused where its layout is not known, Stopped, and BadData where its folder
    cannot be listed.
    """
    if not (order.type and order.format):
        raise Refused(
            "TRAINYARD_INPUT_TYPE and TRAINYARD_INPUT_FORMAT say what the dataset is and how it is laid out: set them."
        )
    findings = Findings()
    tree = listed(order.folder, findings)
    progress = reporter.progress("files checked", len(tree.files), stopped=stop)
    subject = Subject(
        tree=tree,
        type=order.type,
        format=order.format,
        target=target or "",
        findings=findings,
        note=lambda text: reporter.log(f"Note: {text}"),
        checked=_Counted(progress),
    )
    dispatch.run(subject)
    return subject


class _Counted(set[str]):
    """The files that were looked at, each of which is a step."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def add(self, path: str) -> None:
        if path not in self:
            super().add(path)
            self._progress.step()
