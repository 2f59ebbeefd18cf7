"""Datasets and models of the Hugging Face Hub: hf://datasets/<name>[/<folder>], by its HTTP API.

Separate because the hub pins by itself: a branch or tag is a commit, and what a commit holds never changes. Made by
`sources`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import quote, urljoin

from trainyard_agent import refusals
from trainyard_agent.credentials import secret_values, set_variables
from trainyard_agent.dataorder import DataOrder
from trainyard_agent.listings import Collector, Entry, Listing, pinned
from trainyard_agent.patience import Patience
from trainyard_agent.troubles import Trouble
from trainyard_agent.unpacking import is_archive
from trainyard_agent.webclient import Web, origin_of

ENDPOINT = "https://huggingface.co"
_KINDS = {"datasets": "datasets", "models": "models"}
_MOST_ANSWER = 16 << 20
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')
#: The hub's own words in X-Error-Code, which say more than its status.
_NOT_THERE = ("RepoNotFound", "RevisionNotFound", "EntryNotFound")


class HubSource:
    """A repository, or a folder or a file in it, at one commit."""

    def __init__(self, order: DataOrder, patience: Patience) -> None:
        source = order.source
        self.name = source.name
        self._source = source
        self._secret = order.secret
        self._patience = patience
        set_variables(secret_values(order.secret))
        self._endpoint = source.place.endpoint or os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT
        self._web = Web(name=self.name, endpoint=self._endpoint)
        self._headers: dict[str, str] | None = None
        parts = source.place.uri.removeprefix("hf://").strip("/").split("/")
        self._kind = _KINDS[parts.pop(0)] if parts[0] in _KINDS else "models"
        if not parts or not parts[0]:
            raise Trouble(
                "unsupported",
                f"{self.name} names no repository: hf://datasets/<owner>/<name>[/<folder>] is expected.",
            )
        self._parts = parts
        self._repository = self._commit = self._folder = ""

    def listing(self) -> Listing:
        return self._patience(self._listed, place=self.name, refused=self.refused)

    def read(self, entry: Entry, start: int, end: int) -> Generator[bytes]:
        whole = (start, end) == (0, entry.size)
        path = f"{self._folder}/{entry.path}".lstrip("/")
        prefix = "" if self._kind == "models" else f"{self._kind}/"
        url = f"{self._endpoint}/{prefix}{self._repository}/resolve/{self._commit}/{quote(path)}"
        answer = self._get(url, {} if whole else {"Range": f"bytes={start}-{end - 1}"})
        if answer.status != (200 if whole else 206):
            raise self._refusal(answer, entry.path)
        return self._web.chunks(answer)

    def reads_ranges(self, entry: Entry) -> bool:
        return True

    def refused(self) -> None:
        self._headers = None

    def _listed(self) -> Listing:
        self._repository, path, self._commit = self._resolved()
        found, is_file = self._tree(path)
        self._folder = path.rpartition("/")[0] if is_file else path
        if self._source.file_type == ("folder" if is_file else "file"):
            raise Trouble(
                "missing",
                f"{self.name} is a {'file' if is_file else 'folder'}, and source.fileType says that it is not.",
            )
        collector = Collector(place=self.name, filters=() if is_file else self._source.filters)
        for one in found:
            if one["type"] == "file":
                collector.add(_entry(one, self._folder))
        return pinned(
            collector,
            place=self.name,
            # NB: not the commit: one that leaves these files as they are brings no new data.
            origin=f"{self._endpoint} {self._kind} {self._repository} {path}",
            revision=self._commit,
            single=is_file,
            unpack=is_file and is_archive(path),
            wanted=self._source.sha256,
        )

    def _resolved(self) -> tuple[str, str, str]:
        """Repository, path in it and commit. Old repositories have a name without an owner."""
        parts, first = self._parts, None
        for length in (2, 1)[-len(parts) :]:
            named, _, said = "/".join(parts[:length]).partition("@")
            revision = self._source.revision or said or "main"
            answer = self._get(
                f"{self._endpoint}/api/{self._kind}/{quote(named)}/revision/{quote(revision, safe='')}", {}
            )
            if answer.status == 200:
                return named, "/".join(parts[length:]), str(self._json(answer)["sha"])
            first = first or self._refusal(answer, f"revision {revision}")
            if (
                answer.status not in (401, 403, 404)
                or answer.headers.get("X-Error-Code") == "RevisionNotFound"
            ):
                break
        assert first is not None
        raise first

    def _tree(self, path: str) -> tuple[Iterator[dict[str, Any]], bool]:
        """The files below a path; for a file that one, and True."""
        if not path:
            return self._pages("", recursive=True), False
        parent, _, _ = path.rpartition("/")
        for one in self._pages(parent, recursive=False):
            if one["path"] == path:
                if one["type"] == "file":
                    return iter([one]), True
                return self._pages(path, recursive=True), False
        raise refusals.missing(
            f"{self.name}: {path}", f"commit {self._commit[:12]} has no such file or folder"
        )

    def _pages(self, path: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
        below = f"/{quote(path)}" if path else ""
        url: str | None = f"{self._endpoint}/api/{self._kind}/{self._repository}/tree/{self._commit}{below}"
        url = f"{url}?recursive={str(recursive).lower()}&expand=false"
        while url:
            answer = self._get(url, {})
            if answer.status != 200:
                raise self._refusal(answer, path)
            link = _NEXT.search(answer.headers.get("Link") or "")
            yield from self._json(answer)
            target = urljoin(url, link[1]) if link else None
            if target and origin_of(target) != origin_of(self._endpoint):
                raise Trouble(
                    "unsupported", f"{self.name}: the list goes on at another server than it began."
                )
            url = target

    def _json(self, answer: Any) -> Any:
        data = bytearray()
        for chunk in self._web.chunks(answer):
            data += chunk
            if len(data) > _MOST_ANSWER:
                raise Trouble("unsupported", f"{self.name} answers with a list that is too long.")
        try:
            return json.loads(data)
        except ValueError as error:
            raise refusals.unreachable(self.name, "its answer is no JSON") from error

    def _refusal(self, answer: Any, path: str) -> Exception:
        """NB: the hub refuses those whom it does not know what is not there, too."""
        code = answer.headers.get("X-Error-Code") or ""
        why = answer.headers.get("X-Error-Message") or f"{answer.status} {code}".rstrip()
        refusal = self._web.refusal(answer, path=path, why=why)
        if code in _NOT_THERE and not (
            answer.status == 401 or (code == "RepoNotFound" and not self._headers)
        ):
            return refusals.missing(f"{self.name}: {path}", why)
        if answer.status in (401, 403):
            return refusals.refused(
                self.name,
                f"{why}; it may not be there, be private, or ask for your consent on its page; HF_TOKEN in the Secret"
                " says who you are",
            )
        return refusal

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        # NB: another thread may be refused, and forget them, at any moment.
        if (credentials := self._headers) is None:
            values = secret_values(self._secret)
            token = values.get("HF_TOKEN") or values.get("token") or os.environ.get("HF_TOKEN")
            credentials = self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._web.get(url, headers=headers, credentials=credentials)


def _entry(said: dict[str, Any], folder: str) -> Entry:
    path = str(said["path"]).removeprefix(f"{folder}/" if folder else "")
    large = said.get("lfs") or {}
    digest = str(large.get("oid") or "").removeprefix("sha256:")
    return Entry(
        path=path,
        size=int(large.get("size", said["size"])),
        version=digest or str(said["oid"]),
        sha256=digest,
    )
