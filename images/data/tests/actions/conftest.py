"""Actions run in this process on datasets made on the spot, by the contract with a trainer."""

from __future__ import annotations

import contextlib
import io
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from trainyard_data import __main__ as data_main
from trainyard_data.checks import dispatch
from trainyard_data.checks.subject import Subject
from trainyard_data.findings import Findings
from trainyard_data.tree import listed


@dataclass(frozen=True)
class Acted:
    """What an action said and left."""

    code: int
    text: str
    verdict: dict[str, Any]
    output: Path

    @property
    def dataset(self) -> Path:
        return self.output / "dataset"

    @property
    def message(self) -> str:
        return str(self.verdict["message"])

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.output / "report.json").read_text()))

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The status lines."""
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    def files(self) -> list[str]:
        """Paths of the new dataset."""
        return sorted(str(p.relative_to(self.dataset)) for p in self.dataset.rglob("*") if p.is_file())


Act = Callable[..., Acted]
LAYOUTS = {"coco": "object_detection", "kitti": "object_detection", "pascal_voc": "object_detection"}


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.fixture
def act(tmp_path: Path) -> Iterator[Act]:
    """`act("convert", files or a folder, "object_detection", "coco", to="kitti", seed=1)`."""
    numbers = count()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(
        action: str,
        files: Mapping[str, str | bytes] | Path,
        type: str,
        format: str,
        /,
        *,
        to: str = "",
        output: Path | None = None,
        **parameters: Any,
    ) -> Acted:
        number = next(numbers)
        folder = files if isinstance(files, Path) else write(tmp_path / f"data-{number}" / "d", files)
        output = output or tmp_path / f"output-{number}"
        said, log = io.StringIO(), tmp_path / f"termination-{number}"
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
            for name, value in {
                "TERMINATION_LOG": str(log),
                "PARAMETERS": json.dumps(parameters),
                "DATA_DIR": str(folder.parent),
                "DATASETS": json.dumps({"train": [], "input": folder.name}),
                "INPUT_TYPE": type,
                "INPUT_FORMAT": format,
                "OUTPUT_TYPE": type if to else "",
                "OUTPUT_FORMAT": to,
                "OUTPUT_DIR": str(output),
            }.items():
                patch.setenv(f"TRAINYARD_{name}", value)
            code = data_main.main([action])
        return Acted(code, said.getvalue(), json.loads(log.read_text()), output)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def valid() -> Callable[[Path, str, str], Subject]:
    """Checks a folder as a Dataset is checked; fails with the first finding."""

    def check(folder: Path, type: str, format: str) -> Subject:
        findings = Findings()
        subject = Subject(listed(folder, findings), type, format, findings=findings)
        dispatch.run(subject)
        assert findings.first is None, str(findings.first)
        return subject

    return check
