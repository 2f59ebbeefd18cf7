"""A small synchronous client for tests and the harness: raw JSON in, raw JSON out, over the real API.

Separate from the operator's own client on purpose: a test must not see the cluster through the code
that it tests.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import urllib3
import yaml

from tests.harness.errors import HarnessError

Json = dict[str, Any]
T = TypeVar("T")

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """The API server said no: `status` is the HTTP code, `reason` that of the Status object ("Forbidden")."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        self.status = status
        self.reason = str(answer.get("reason", ""))
        self.message = str(answer.get("message", body[:500]))
        super().__init__(f"{method} {path}: {status} {self.reason}: {self.message}")


class Client:
    """Talks to the cluster of a kubeconfig as its user. Use it as a context manager, or `close` it."""

    def __init__(self, kubeconfig: Path, *, context: str | None = None, timeout: float = 30.0) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        chosen = _named(config["contexts"], context or config["current-context"])["context"]
        cluster = _named(config["clusters"], chosen["cluster"])["cluster"]
        user = _named(config["users"], chosen["user"])["user"]
        if "exec" in user or "auth-provider" in user:
            raise HarnessError(
                f"{kubeconfig} logs in by a program; this client takes certificates and tokens."
            )
        self.server: str = cluster["server"].rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "trainyard-tests"}
        if "token" in user:
            self._headers["Authorization"] = f"Bearer {user['token']}"
        self._pool = urllib3.PoolManager(
            maxsize=8,
            ssl_context=_ssl_context(cluster, user, kubeconfig.parent),
            retries=False,
            timeout=urllib3.Timeout(connect=5.0, read=timeout),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._pool.clear()

    def raw(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, object] | None = None,
    ) -> str:
        """The answer's text. Raises ApiError from 400 on and OSError if nobody answers."""
        url = self.server + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {**self._headers, "Accept": accept}
        if data is not None:
            headers["Content-Type"] = content_type
        try:
            response = self._pool.request(method, url, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"{method} {url}: {error}") from error
        text = response.data.decode(errors="replace")
        if response.status >= 400:
            raise ApiError(method, path, response.status, text)
        return text

    def text(self, path: str) -> str:
        """For /metrics, /readyz, pods' logs."""
        return self.raw("GET", path, accept="text/plain, */*")

    def get(self, path: str, **query: object) -> Json:
        return _object(self.raw("GET", path, query=query))

    def find(self, path: str) -> Json | None:
        """Like `get`, but None if there is no such object."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **query: object) -> list[Json]:
        """The items of a collection; `labelSelector`, `fieldSelector` and the like are keywords."""
        items: list[Json] = self.get(path, **query)["items"]
        return items

    def stream(self, path: str, **query: object) -> Iterator[Json]:
        """The lines of an answer that goes on, as a watch does, until the server ends it."""
        url = f"{self.server}{path}?{urllib.parse.urlencode(query)}"
        try:
            answer = self._pool.request("GET", url, headers=self._headers, preload_content=False)
            try:
                if answer.status >= 400:
                    raise ApiError("GET", path, answer.status, answer.read().decode(errors="replace"))
                rest = b""
                for chunk in answer.stream(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (_object(line.decode()) for line in lines if line)
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"GET {url}: {error}") from error

    def post(self, path: str, body: Json, **query: object) -> Json:
        return _object(self.raw("POST", path, body=body, query=query))

    def put(self, path: str, body: Json, **query: object) -> Json:
        return _object(self.raw("PUT", path, body=body, query=query))

    def patch(self, path: str, body: object, *, kind: str = "merge", **query: object) -> Json:
        """`kind` is merge, strategic, json or apply (which needs `fieldManager`)."""
        return _object(self.raw("PATCH", path, body=body, content_type=PATCH_TYPES[kind], query=query))

    def delete(self, path: str, *, body: Json | None = None, **query: object) -> Json:
        """`body` is a DeleteOptions object, for preconditions."""
        return _object(self.raw("DELETE", path, body=body, query=query))

    def apply(self, manifest: Json, *, manager: str = "trainyard-tests") -> Json:
        """Server-side apply of one object, whose path is found by discovery; conflicts are forced."""
        return self.patch(self.path_of(manifest), manifest, kind="apply", fieldManager=manager, force="true")

    def path_of(self, manifest: Json) -> str:
        """The path of an object that says its apiVersion, kind, name and perhaps namespace."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        for resource in self.get(base)["resources"]:
            if resource["kind"] == kind and "/" not in resource["name"]:
                metadata = manifest["metadata"]
                scope = (
                    f"/namespaces/{metadata.get('namespace', 'default')}" if resource["namespaced"] else ""
                )
                return f"{base}{scope}/{resource['name']}/{metadata['name']}"
        raise HarnessError(f"The cluster knows no {kind} of {version}.")


def wait_for(predicate: Callable[[], T], *, what: str, timeout: float = 30.0, every: float = 0.1) -> T:
    """Asks until the answer is truthy and gives it. Raises TimeoutError with `what` and the last answer."""
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}; the last answer was {answer!r}")
        time.sleep(every)
    return answer


def _object(text: str) -> Json:
    answer: Json = json.loads(text)
    return answer


def _named(entries: list[Json], name: str) -> Json:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise HarnessError(
        f"The kubeconfig has no entry {name!r}; it has {[entry['name'] for entry in entries]}."
    )


def _ssl_context(cluster: Json, user: Json, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Python 3.13's default; k3s and older kubeadm clusters have authorities without the key usage it wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority := _material(cluster, "certificate-authority", folder):
        context.load_verify_locations(cadata=authority.decode())
    certificate = _material(user, "client-certificate", folder)
    key = _material(user, "client-key", folder)
    if certificate and key:
        # NB: OpenSSL reads keys from files only; this one is ours alone and gone at once.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _material(entry: Json, name: str, folder: Path) -> bytes | None:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data)
    path: str | None = entry.get(name)
    if path:
        return (folder / Path(path).expanduser()).read_bytes()
    return None
