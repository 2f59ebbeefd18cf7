"""A server that speaks the Hugging Face hub's API for datasets and models, as far as listing and fetching go.

Separate because the real hub cannot be part of a test. What it speaks: `/api/datasets/<repo>[/revision/<rev>]`;
`/api/datasets/<repo>/tree/<rev>[/<folder>]` in pages with a `Link` to the next;
`/datasets/<repo>/resolve/<rev>/<path>`, which redirects small files to itself and large ones (LFS) to another host,
whose addresses are signed and take no credentials; the same of models, under `/api/models` and `/<repo>`; branches,
tags and commits; tokens, gated repositories, and the errors' `X-Error-Code`. A test runs the hub's own client against
it. Called by tests of the puller; `python3 -m tests.harness.hub` serves a folder in a pod.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import re
import signal
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import ranged

PAGE = 100
LFS_FROM = 10_000
_SIGNING = b"an example signature"


@dataclass
class Repository:
    """A dataset's commits, newest last, and its branches and tags; `token` is whose it is, if it is private."""

    token: str = ""
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], *, ref: str = "main") -> str:
        """Makes these files the content of a branch or tag; gives the commit."""
        listing = "".join(f"{path} {_oid(content)}\n" for path, content in sorted(files.items()))
        name = hashlib.sha1(f"{len(self.commits)} {listing}".encode()).hexdigest()
        self.commits[name] = dict(files)
        self.refs[ref] = name
        return name


@dataclass
class Hub:
    """Repositories by name ("team/digits"), and what was asked for: method, path, range."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    #: How many requests are answered with 429 first.
    busy: int = 0
    port: int = 0
    files_port: int = 0
    host: str = "127.0.0.1"
    scheme: str = "http"
    traffic: ranged.Traffic = field(default_factory=ranged.Traffic)

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def files(self) -> str:
        """Where the large files lie."""
        return f"{self.scheme}://{self.host}:{self.files_port}"

    def add(self, name: str, files: Mapping[str, bytes], **more: Any) -> Repository:
        repository = self.repositories[name] = Repository(**more)
        repository.commit(files)
        return repository


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Hub(ranged.Handler):
    """The API, and the addresses that redirect to files."""

    def do_GET(self) -> None:
        self._hub.asked.append((self.command, self.path, self.headers.get("Range") or ""))
        try:
            self._answer()
        except _Refused as refused:
            body = json.dumps({"error": str(refused)}).encode()
            more = {"X-Error-Code": refused.code} if refused.code else {}
            if refused.status == 429:
                more["Retry-After"] = "1"
            self.send_said(refused.status, body, **{"X-Error-Message": str(refused), **more})

    do_HEAD = do_GET

    @property
    def _hub(self) -> Hub:
        told: Hub = self.server.told
        return told

    def _answer(self) -> None:
        if self._hub.busy > 0:
            self._hub.busy -= 1
            raise _Refused(429, "", "We had to rate limit you.")
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if found := re.fullmatch(r"/api/(?:datasets|models)/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            self._tell(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/api/(?:datasets|models)/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", path):
            self._list(found[1], found[2], urllib.parse.unquote(found[3] or "").strip("/"), asked)
        elif found := re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(found[1], found[2], urllib.parse.unquote(found[3]))
        elif found := re.fullmatch(r"/api/resolve-cache/datasets/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            commit, content = self._file(found[1], found[2], urllib.parse.unquote(found[3]))
            self.send_file(content, etag=f'"{_oid(content)}"', **{"X-Repo-Commit": commit})
        else:
            raise _Refused(404, "", "Sorry, we can't find the page you are looking for.")

    def _tell(self, name: str, revision: str) -> None:
        commit, files = self._at(name, revision)
        said = {
            "_id": hashlib.sha1(name.encode()).hexdigest()[:24],
            "id": name,
            "author": name.partition("/")[0],
            "sha": commit,
            "private": bool(self._hub.repositories[name].token),
            "gated": "manual" if self._hub.repositories[name].gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }
        self._say(said)

    def _list(self, name: str, revision: str, folder: str, asked: Mapping[str, str]) -> None:
        commit, files = self._at(name, revision)
        below = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, content in sorted(files.items()):
            if not path.startswith(below):
                continue
            parts = path[len(below) :].split("/")
            for depth in range(1, len(parts)):
                parent = below + "/".join(parts[:depth])
                entries[parent] = {
                    "type": "directory",
                    "oid": _oid(parent.encode()),
                    "size": 0,
                    "path": parent,
                }
            entries[path] = _entry(path, content)
        if folder and not entries:
            raise _Refused(404, "EntryNotFound", f'{folder} does not exist on "{revision}"')
        listing = list(entries.values())
        if asked.get("recursive", "").lower() not in ("true", "1"):
            listing = [entry for entry in listing if "/" not in entry["path"][len(below) :]]
        start, limit = int(asked.get("cursor") or 0), int(asked.get("limit") or PAGE)
        more = {}
        if start + limit < len(listing):
            query = urllib.parse.urlencode({**asked, "limit": limit, "cursor": start + limit})
            more["Link"] = f'<{self._hub.endpoint}{self.path.partition("?")[0]}?{query}>; rel="next"'
        self._say(listing[start : start + limit], **{"X-Repo-Commit": commit, **more})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        commit, content = self._file(name, revision, path)
        more = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "Vary": "Origin"}
        if len(content) < LFS_FROM:
            where = f"/api/resolve-cache/datasets/{name}/{commit}/{urllib.parse.quote(path)}"
            more |= {"Location": where, "ETag": f'"{_oid(content)}"', "X-Linked-Size": str(len(content))}
            self.send_said(307, b"Temporary Redirect.", **more)
            return
        digest = hashlib.sha256(content).hexdigest()
        where = f"{self._hub.files}/repos/{name}/{digest}?X-Amz-Signature={_signed(digest)}"
        more |= {"Location": where, "X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        self.send_said(302, b"Found.", **more)

    def _at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        """The commit that a revision names, and its files; a refusal as the hub words it."""
        repository = self._hub.repositories.get(name)
        said = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        known = {one.token for one in self._hub.repositories.values()} - {""}
        if said and said not in known:
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        if repository is None or (repository.token and said != repository.token):
            if not said:
                raise _Refused(401, "", "Invalid username or password.")
            raise _Refused(404, "RepoNotFound", "Repository not found")
        if repository.gated:
            raise _Refused(
                403, "GatedRepo", f"Access to dataset {name} is restricted. You must be on the list."
            )
        wanted = urllib.parse.unquote(revision)
        commit = repository.refs.get(wanted, wanted)
        if commit not in repository.commits:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {wanted}")
        return commit, repository.commits[commit]

    def _file(self, name: str, revision: str, path: str) -> tuple[str, bytes]:
        commit, files = self._at(name, revision)
        if path not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        return commit, files[path]

    def _say(self, said: Any, **headers: str) -> None:
        more = {"Content-Type": "application/json; charset=utf-8", **headers}
        self.send_said(200, json.dumps(said).encode(), **more)


class _Files(ranged.Handler):
    """Where large files lie: another host, which checks the address' signature and wants no other credentials."""

    def do_GET(self) -> None:
        hub: Hub = self.server.told
        path, _, query = self.path.partition("?")
        hub.asked.append((self.command, path, self.headers.get("Range") or ""))
        digest = path.rpartition("/")[2]
        signature = dict(urllib.parse.parse_qsl(query)).get("X-Amz-Signature", "")
        if self.headers.get("Authorization"):
            self.send_said(400, b"Only one auth mechanism allowed")
        elif not hmac.compare_digest(signature, _signed(digest)):
            self.send_said(403, b"AccessDenied")
        else:
            content = next(
                content
                for repository in hub.repositories.values()
                for files in repository.commits.values()
                for content in files.values()
                if hashlib.sha256(content).hexdigest() == digest
            )
            self.send_file(content, etag=f'"{digest}"')

    do_HEAD = do_GET


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": _oid(content), "size": len(content), "path": path}
    if len(content) >= LFS_FROM:
        digest = hashlib.sha256(content).hexdigest()
        entry["oid"] = _oid(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\n".encode())
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


def _oid(content: bytes) -> str:
    """As git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _signed(digest: str) -> str:
    return hmac.digest(_SIGNING, digest.encode(), "sha256").hex()


@contextmanager
def running(
    *,
    host: str = "127.0.0.1",
    address: str = "127.0.0.1",
    ports: tuple[int, int] = (0, 0),
    tls: ssl.SSLContext | None = None,
) -> Iterator[Hub]:
    """A hub until the end of the block, over https with `tls`. `host` is what clients call it."""
    hub = Hub(host=host, scheme="https" if tls else "http")
    with ExitStack() as stack:
        hub.port, hub.files_port = (
            stack.enter_context(
                ranged.serving(ranged.Server((address, port), handler, hub, hub.traffic), tls=tls)
            )
            for port, handler in zip(ports, (_Hub, _Files), strict=True)
        )
        yield hub


def main() -> None:
    """Serves the folders `<owner>/<name>` of a folder, for ever."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", required=True, help="what clients call it")
    parser.add_argument("--ports", type=int, nargs=2, default=(8080, 8081))
    asked = parser.parse_args()
    with running(host=asked.host, address="", ports=tuple(asked.ports)) as hub:
        for top in sorted(asked.folder.glob("*/*")):
            files = {
                str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()
            }
            hub.add(str(top.relative_to(asked.folder)), files)
        print(f"serving {', '.join(hub.repositories)}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
