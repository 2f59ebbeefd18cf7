"""`trainyard-data check`: the order in the environment, the verdict on stdout and in the termination log.

Separate because it is the contract with the operator (docs/datasets.md). Called by `trainyard_data.__main__`. Exit 0
whenever there is a verdict, on good and on bad data; anything else is a crash, after which it is run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_data.checks import dispatch
from trainyard_data.checks.subject import Subject
from trainyard_data.digest import digest_of
from trainyard_data.findings import BadData, Finding, Findings, printable
from trainyard_data.tree import Tree, listed

EXIT_VERDICT, EXIT_REFUSED = 0, 2
_ORDER = "TRAINYARD_CHECK"
_DEFAULT_TERMINATION_LOG = "/dev/termination-log"
#: In bytes: the termination log takes 4096.
_LONGEST_ERROR = 2000
_LONGEST_PATH = 1024
_LOGGED = 20


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be checked."""

    dataset: str
    folder: Path
    type: str
    format: str
    target: str
    full: bool
    digest: bool
    sha256: str


def run(environ: Mapping[str, str]) -> int:
    """Check as the environment says; the exit code."""
    try:
        order = read_order(environ)
    except ValueError as error:
        print(f"{_ORDER} {error}", file=sys.stderr)
        return EXIT_REFUSED
    verdict, told = checked(order)
    for line in told[1:]:
        print(line)
    print(
        json.dumps({"check": verdict}, ensure_ascii=False, allow_nan=False, separators=(",", ":")), flush=True
    )
    _terminate(environ, {"valid": verdict["valid"], "error": told[0] if told else ""})
    return EXIT_VERDICT


def read_order(environ: Mapping[str, str]) -> Order:
    """Raises ValueError, the rest of a sentence, for one that cannot be read."""
    text = environ.get(_ORDER, "")
    if not text:
        raise ValueError("is not set: it must be a JSON object.")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object.")
    for name in ("folder", "type", "format"):
        if not isinstance(found.get(name), str) or not found[name]:
            raise ValueError(f'must have "{name}".')
    return Order(
        dataset=str(found.get("dataset") or ""),
        folder=Path(found["folder"]),
        type=found["type"],
        format=found["format"],
        target=str(found.get("target") or ""),
        full=found.get("mode") != "None",
        digest=bool(found.get("digest")),
        sha256=str(found.get("sha256") or ""),
    )


def checked(order: Order) -> tuple[dict[str, Any], list[str]]:
    """The verdict as the operator reads it, and in sentences what is wrong: first all of it in one, then the log."""
    findings = Findings()
    try:
        tree = listed(order.folder, findings)
    except BadData as error:
        subject = Subject(Tree(order.folder, {}), order.type, order.format)
        subject.findings.bad(error)
        return _verdict(subject, None)
    subject = Subject(
        tree=tree,
        type=order.type,
        format=order.format,
        target=order.target,
        # NB: with mode None nothing is looked at, links and odd names neither.
        findings=findings if order.full else Findings(),
        note=lambda text: print(f"Note: {printable(text)}"),
    )
    digest = _digest(order, subject)
    if order.full:
        dispatch.run(subject)
    else:
        dispatch.measure(subject)
    return _verdict(subject, digest)


def _digest(order: Order, subject: Subject) -> str | None:
    if not (order.digest or order.sha256):
        return None
    try:
        digest = digest_of(subject.tree)
    except BadData as error:
        subject.findings.bad(error)
        return None
    if order.sha256 and digest != order.sha256:
        subject.findings.add(".", None, f"The digest is {digest}, not {order.sha256} as source.sha256 says.")
    return digest


def _verdict(subject: Subject, digest: str | None) -> tuple[dict[str, Any], list[str]]:
    findings = subject.findings
    first = findings.first
    everything = subject.tree.everything
    verdict = {
        "valid": first is None,
        "filesChecked": len(subject.checked),
        "problems": findings.files,
        "first": _said(first) if first is not None else None,
        "profile": subject.profile.as_api(),
        "sha256": digest,
        "bytes": sum(entry.size for entry in everything),
        "files": len(everything),
    }
    if first is None:
        return verdict, []
    more = f" ({findings.files:,} files have problems)" if findings.files > 1 else ""
    told = [str(one) for one in findings.kept[:_LOGGED]]
    if len(findings) > len(told):
        told.append(f"... and {len(findings) - len(told):,} more problems.")
    return verdict, [f"{first}{more}", *told]


def _said(finding: Finding) -> dict[str, Any]:
    return {"path": finding.path[:_LONGEST_PATH], "line": finding.line, "message": finding.message}


def _terminate(environ: Mapping[str, str], verdict: dict[str, Any]) -> None:
    """Kubernetes' own path is only written where the kubelet has put that file."""
    verdict["error"] = verdict["error"].encode()[:_LONGEST_ERROR].decode(errors="ignore")
    path = Path(environ.get("TRAINYARD_TERMINATION_LOG") or _DEFAULT_TERMINATION_LOG)
    if str(path) == _DEFAULT_TERMINATION_LOG and not path.exists():
        return
    with contextlib.suppress(OSError), path.open("wb") as file:
        file.write(json.dumps(verdict, ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())
