"""Manifests in files, for `trainyard submit`: read as the API server would be sent them by kubectl.

Separate and free of the cluster because what is wrong with a file is told before anything is sent.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from trainyard.api import names
from trainyard.cli import kinds
from trainyard.cli.errors import as_sentence
from trainyard.cli.exits import CommandError, UsageError
from trainyard.yamlloader import Loader

Json = dict[str, Any]

_ENDINGS = (".yaml", ".yml", ".json")
_STDIN = "-"
# What the API server keeps as it is; a longer number would become another one.
_WHOLE = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An object as a file says it."""

    source: str
    raw: Json

    @property
    def kind(self) -> str:
        return str(self.raw["kind"])

    @property
    def name(self) -> str:
        metadata = self.raw["metadata"]
        return str(metadata.get("name") or f"{metadata.get('generateName')}...")

    @property
    def ours(self) -> bool:
        return self.kind in kinds.PLURALS and self.raw["apiVersion"] == names.API_VERSION

    def __str__(self) -> str:
        return f"{self.source}: {self.kind} {self.name}"


def read(sources: Sequence[str]) -> list[Manifest]:
    """The objects of files, of the files of folders, and of stdin (`-`), in their order.

    Raises CommandError for what cannot be read or is no object of Kubernetes.
    """
    found = [manifest for source in sources for manifest in _read(source)]
    if not found:
        raise CommandError(f"There is no object in {', '.join(sources)}.")
    return found


def renamed(manifests: list[Manifest], name: str) -> list[Manifest]:
    """The only TrainingJob among them under this name. Raises UsageError unless there is exactly one."""
    jobs = [one for one in manifests if one.ours and one.kind == "TrainingJob"]
    if len(jobs) != 1:
        raise UsageError(f"--name is for a file with one TrainingJob; there are {len(jobs)}.")
    return [_named(one, name) if one is jobs[0] else one for one in manifests]


def checked(manifest: Manifest) -> Manifest:
    """The manifest. Raises CommandError for the first value in it that JSON would not carry as it is."""
    try:
        wrong = next(_unsendable("", manifest.raw), None)
    except RecursionError:
        wrong = "it is nested too deep, or contains itself."
    if wrong is not None:
        raise CommandError(f"{manifest}: {wrong}")
    return manifest


def _unsendable(path: str, value: Any) -> Iterator[str]:
    where = f"{path}: " if path else ""
    if isinstance(value, dict):
        for key, below in value.items():
            if not isinstance(key, str):
                yield f"{where}{key!r} is no key: put it into quotes, if it is meant as text."
            else:
                yield from _unsendable(f"{path}.{key}" if path else key, below)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _unsendable(f"{path}[{number}]", below)
    elif isinstance(value, str):
        if not value.isascii() and value != value.encode("utf-8", "replace").decode("utf-8"):
            yield f"{where}the text holds what is no character: write it in UTF-8."
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{where}{value} is no number in JSON: put it into quotes, if it is meant as text."
    elif isinstance(value, int):
        if value not in _WHOLE:
            yield f"{where}{value} takes more than 64 bits: put it into quotes, if it is meant as text."
    elif value is not None:
        yield f"{where}a value of YAML's {type(value).__name__} has no place in JSON: write it as text."


def _named(manifest: Manifest, name: str) -> Manifest:
    metadata = {k: v for k, v in manifest.raw["metadata"].items() if k != "generateName"}
    return replace(manifest, raw={**manifest.raw, "metadata": {**metadata, "name": name}})


def _read(source: str) -> Iterator[Manifest]:
    if source == _STDIN:
        yield from _objects("stdin", sys.stdin.buffer.read())
        return
    path = Path(source)
    try:
        files = sorted(f for f in path.iterdir() if f.suffix in _ENDINGS) if path.is_dir() else [path]
        if not files:
            raise CommandError(f"Folder {source} has no file that ends in {', '.join(_ENDINGS)}.")
        for file in files:
            yield from _objects(str(file), file.read_bytes())
    except OSError as error:
        raise CommandError(
            f"{error.filename or source} cannot be read: {as_sentence(error.strerror or '')}"
        ) from None


def _objects(source: str, data: bytes) -> Iterator[Manifest]:
    try:
        documents = list(yaml.load_all(data.decode("utf-8-sig"), Loader))
    except UnicodeDecodeError:
        raise CommandError(f"{source} is no text in UTF-8.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandError(f"{source} is no YAML: {_where(error)}") from None
    for raw in documents:
        if raw is not None:
            yield from _flattened(source, raw)


def _flattened(source: str, raw: Any) -> Iterator[Manifest]:
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), str) for key in ("apiVersion", "kind")):
        raise CommandError(
            f"{source} holds something without apiVersion and kind, so no object of Kubernetes."
        )
    if raw["kind"] == "List" and raw["apiVersion"] == "v1":
        items = raw.get("items") or []
        if not isinstance(items, list):
            raise CommandError(f"{source} holds a List whose items are no list.")
        for item in items:
            yield from _flattened(source, item)
        return
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise CommandError(f"{source} holds a {raw['kind']} without metadata.name: give it one.")
    for key in ("name", "generateName", "namespace"):
        if not isinstance(metadata.get(key), str | None):
            raise CommandError(
                f"{source} holds a {raw['kind']} whose metadata.{key} is no text: put it into quotes."
            )
    yield checked(Manifest(source=source, raw=raw))


def _where(error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return as_sentence(str(error))
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {as_sentence(error.problem or 'a mistake')}"
