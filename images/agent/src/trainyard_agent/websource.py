"""Datasets on web servers: one file by https://, or a list of files.

Separate because a web server lists nothing: each file is asked for by its address. Made by `sources`.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import urllib3

from trainyard_agent import refusals
from trainyard_agent.credentials import secret_values, set_variables
from trainyard_agent.dataorder import DataOrder, RemoteFile
from trainyard_agent.listings import Collector, Entry, Listing, pinned
from trainyard_agent.patience import Patience
from trainyard_agent.safenames import shown
from trainyard_agent.troubles import Trouble
from trainyard_agent.unpacking import is_archive
from trainyard_agent.webclient import Web

_AT_ONCE = 8
_TOTAL = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


class _Known(NamedTuple):
    url: str
    ranges: bool


class WebSource:
    """`source.uri`, or `source.files`."""

    def __init__(self, order: DataOrder, patience: Patience) -> None:
        source = order.source
        self.name = source.name
        self._secret = order.secret
        self._patience = patience
        self._files = source.files or (RemoteFile(url=source.place.uri, path="", sha256=""),)
        self._filters = source.filters
        self._wanted = source.sha256
        self._web = Web(name=self.name, endpoint=source.place.endpoint)
        self._known: dict[str, _Known] = {}
        self._headers: dict[str, str] | None = None
        if source.revision or source.file_type == "folder":
            raise Trouble(
                "unsupported",
                f"{self.name} is on a web server, which knows neither folders nor revisions: take source.revision and"
                " source.fileType away, or list the files in source.files.",
            )

    def listing(self) -> Listing:
        collector = Collector(place=self.name, filters=self._filters)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for entry in pool.map(self._patient_look, self._files):
                collector.add(entry)
        single = len(self._files) == 1
        first = collector.entries[0] if collector.entries else None
        return pinned(
            collector,
            place=self.name,
            origin=" ".join(file.url for file in self._files),
            revision=first.version.strip('"') if single and first else "",
            single=single,
            unpack=bool(single and first and is_archive(first.path)),
            wanted=self._wanted,
        )

    def read(self, entry: Entry, start: int, end: int) -> Generator[bytes]:
        whole = (start, end) == (0, entry.size)
        answer = self._get(
            self._known[entry.path].url, {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        )
        if answer.status != (200 if whole else 206):
            raise self._web.refusal(answer, path=entry.path)
        said = _TOTAL.match(answer.headers.get("Content-Range") or "")
        if _version(answer) not in (entry.version, "") and not entry.version.startswith("sha256:"):
            raise self._changed(answer, entry)
        if not whole and (said is None or said[1] != str(start) or said[2] != str(entry.size)):
            raise self._changed(answer, entry)
        return self._web.chunks(answer)

    def reads_ranges(self, entry: Entry) -> bool:
        return self._known[entry.path].ranges

    def refused(self) -> None:
        self._headers = None

    def _changed(self, answer: Any, entry: Entry) -> Trouble:
        answer.close()
        return refusals.changed(entry.path, self.name)

    def _patient_look(self, file: RemoteFile) -> Entry:
        return self._patience(partial(self._look, file), place=self.name, refused=self.refused)

    def _look(self, file: RemoteFile) -> Entry:
        """Size and version of a file, by its first byte: not every server answers HEAD, and signed addresses do not."""
        path = file.path or _own_name(file.url)
        answer = self._get(file.url, {"Range": "bytes=0-0"})
        said = _TOTAL.match(answer.headers.get("Content-Range") or "")
        if answer.status in (206, 416) and said:
            size = int(said[2])
            for _ in self._web.chunks(answer):
                pass
        elif answer.status == 416:
            size = 0
            answer.close()
        elif answer.status != 200:
            raise self._web.refusal(answer, path=path)
        elif (length := answer.headers.get("Content-Length") or "").isdecimal():
            size = int(length)
            answer.close()
        else:
            return self._read_through(answer, file, path)
        version = _version(answer)
        # NB: where neither a version nor a digest would tell, ranges could be of two contents.
        self._known[path] = _Known(file.url, answer.status == 206 and bool(version or file.sha256))
        return Entry(path=path, size=size, version=version, sha256=file.sha256)

    def _read_through(self, answer: Any, file: RemoteFile, path: str) -> Entry:
        """Of a file of which the server does not say how large it is."""
        size, digest = 0, hashlib.sha256()
        for chunk in self._web.chunks(answer):
            size += len(chunk)
            digest.update(chunk)
        self._known[path] = _Known(file.url, ranges=False)
        version = f"sha256:{digest.hexdigest()}"
        return Entry(path=path, size=size, version=version, sha256=file.sha256 or digest.hexdigest())

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        # NB: another thread may be refused, and forget them, at any moment.
        if (credentials := self._headers) is None:
            credentials = self._headers = _credentials(secret_values(self._secret))
        return self._web.get(url, headers=headers, credentials=credentials)


def _credentials(values: dict[str, str]) -> dict[str, str]:
    """The Secret's keys: `token`, or `username` and `password`."""
    set_variables(values)
    if values.get("token"):
        return {"Authorization": f"Bearer {values['token']}"}
    if values.get("username"):
        pair = f"{values['username']}:{values.get('password', '')}"
        return urllib3.make_headers(basic_auth=pair)
    return {}


def _version(answer: Any) -> str:
    return str(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")


def _own_name(url: str) -> str:
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
    if not name:
        raise Trouble(
            "unsupported",
            f"The address {shown(url.partition('?')[0])} has no file's name at its end: list it in source.files with a"
            " path.",
        )
    return name
