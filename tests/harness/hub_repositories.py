"""The harness's hub, taking what is published as well: repositories are made and removed, commits, tags.

Separate from `hub`, which only hands out: what this speaks is the other half of the hub's API, as the hub's own client
asks for it. `/api/repos/create` and `delete`; `/preupload`, the LFS batch and its uploads to another host; `/commit`
with lines of JSON, refused where the branch has moved on; `/refs`, `/tag`, `/branch`; `/api/validate-yaml`. Called by
the tests of images/publisher.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import traceback
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.harness import hub, ranged

TOKEN = "hf_example"


@dataclass
class Hub(hub.Hub):
    """Besides: large files that were sent, by digest; what was sent of each is counted; a repository's branches."""

    large: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    branches: dict[str, list[str]] = field(default_factory=dict)


class _Api(hub._Hub):
    def do_POST(self) -> None:
        self._hub.asked.append((self.command, self.path, ""))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._change(urllib.parse.unquote(self.path.partition("?")[0]), body)
        except hub._Refused as refused:
            more = {"X-Error-Code": refused.code} if refused.code else {}
            said = json.dumps({"error": str(refused)}).encode()
            self.send_said(refused.status, said, **{"X-Error-Message": str(refused), **more})

    do_DELETE = do_POST

    @property
    def _hub(self) -> Hub:
        told: Hub = self.server.told
        return told

    def _answer(self) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/refs", path):
            self._at(found[1], "main")
            repository = self._hub.repositories[found[1]]
            branches = {"main", *self._hub.branches.get(found[1], ())}
            tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha}
                    for name, sha in repository.refs.items() if name not in branches]  # fmt: skip
            heads = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": repository.refs[name]}
                     for name in sorted(branches)]  # fmt: skip
            self._say({"branches": heads, "converts": [], "tags": tags})
        else:
            super()._answer()

    def _change(self, path: str, body: bytes) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise hub._Refused(401, "", "Invalid username or password.")
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/repos/delete":
            self._delete(json.loads(body))
        elif path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            self._preupload(found[1], found[2], json.loads(body))
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._batch(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            self._commit(found[1], found[2], [json.loads(line) for line in body.splitlines()])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tag/(.+)", path):
            self._tag(found[1], found[2], json.loads(body or b"{}"))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/(.+)", path):
            self._hub.repositories[found[1]].refs[found[2]] = self._at(found[1], "main")[0]
            self._hub.branches.setdefault(found[1], []).append(found[2])
            self._say({})
        else:
            raise hub._Refused(404, "", "Sorry, we can't find the page you are looking for.")

    def _create(self, asked: Any) -> None:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        url = f"{self._hub.endpoint}/{name}"
        if name in self._hub.repositories:
            said = {"error": "You already created this model repo", "url": url}
            self.send_said(409, json.dumps(said).encode())
            return
        self._hub.add(
            name, {".gitattributes": b"*.bin filter=lfs\n"}, token=TOKEN if _is_private(asked) else ""
        )
        self._say({"url": url, "name": name})

    def _delete(self, asked: Any) -> None:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if self._hub.repositories.pop(name, None) is None:
            raise hub._Refused(404, "RepoNotFound", "Repository not found")
        self._say({})

    def _preupload(self, name: str, revision: str, asked: Any) -> None:
        self._at(name, revision)
        modes = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["size"] >= hub.LFS_FROM else "regular",
                "shouldIgnore": False,
            }
            for one in asked["files"]
        ]
        self._say({"files": modes})

    def _batch(self, asked: Any) -> None:
        """NB: what is there already gets no action."""
        objects = []
        for one in asked["objects"]:
            if one["oid"] not in self._hub.large:
                one["actions"] = {"upload": {"href": f"{self._hub.files}/upload/{one['oid']}", "header": {}}}
            objects.append(one)
        self._say({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, revision: str, lines: list[Any]) -> None:
        head, files = self._at(name, revision)
        made = dict(files)
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header" if value.get("parentCommit") not in (None, head):
                    raise hub._Refused(412, "", "A commit has happened since. Please refresh and try again.")
                case "file":
                    made[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self._hub.large:
                        raise hub._Refused(400, "", f"LFS pointer of {value['path']} points to nothing")
                    made[value["path"]] = self._hub.large[value["oid"]]
                case "deletedFile":
                    if made.pop(value["path"], None) is None:
                        raise hub._Refused(404, "EntryNotFound", f"{value['path']} does not exist")
        commit = self._hub.repositories[name].commit(made, ref=revision)
        self._say(
            {
                "commitUrl": f"{self._hub.endpoint}/{name}/commit/{commit}",
                "commitOid": commit,
                "success": True,
            }
        )

    def _tag(self, name: str, revision: str, asked: Any) -> None:
        refs = self._hub.repositories[name].refs
        if self.command == "DELETE":
            if refs.pop(revision, None) is None:
                raise hub._Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif asked["tag"] in refs:
            raise hub._Refused(409, "", f"Tag reference exists already: refs/tags/{asked['tag']}")
        else:
            refs[asked["tag"]] = self._at(name, revision)[0]
        self._say({})


def _is_private(asked: Any) -> bool:
    return bool(asked.get("private")) or asked.get("visibility") == "private"


class _Uploads(hub._Files):
    def do_PUT(self) -> None:
        told: Hub = self.server.told
        length = self.headers.get("Content-Length")
        data = self.rfile.read(int(length)) if length else b"".join(self._chunks())
        digest = self.path.rpartition("/")[2]
        if hashlib.sha256(data).hexdigest() != digest:
            self.send_said(400, b"BadDigest")
            return
        told.large[digest] = data
        told.sent.append(digest)
        self.send_said(200, b"")

    def _chunks(self) -> Iterator[bytes]:
        """The body of a request that does not say how long it is (RFC 9112, section 7.1)."""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


class _Server(ranged.Server):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """NB: unlike downloads, nothing is cut on purpose here."""
        traceback.print_exc()


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on loopback until the end of the block; TOKEN is who may write."""
    told = Hub()
    told.add("example/known", {}, token=TOKEN)  # whose tokens count are those of repositories
    with ExitStack() as stack:
        told.port, told.files_port = (
            stack.enter_context(
                ranged.serving(_Server(("127.0.0.1", 0), handler, told, told.traffic), tls=None)
            )
            for handler in (_Api, _Uploads)
        )
        yield told
