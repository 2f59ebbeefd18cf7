"""A repository of an OCI registry, by the distribution API.

Separate because it knows nothing of models: blobs, manifests, tags, and who we are. Called by `modelpack`. The source
of its rules is the OCI distribution specification 1.1; the tokens are Docker's ("Token Authentication Specification").
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import urllib3

from trainyard_publisher import credentials
from trainyard_publisher.order import Order
from trainyard_publisher.problems import Failed, Refused
from trainyard_publisher.version import File
from trainyard_publisher.web import Web, parsed

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ACCEPT = {"Accept": f"{MANIFEST}, {_INDEX}, application/vnd.docker.distribution.manifest.v2+json"}
_BYTES = {"Content-Type": "application/octet-stream"}
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
#: Answers of a registry that lets no tag be deleted; what passes by itself (401, 408, 429) is none of them.
_NOT_ALLOWED = (400, 403, 405, 415, 501)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
#: Docker Hub answers at another name than it has.
_HUB, _HUB_API, _HUB_KEY = "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """`oci://<registry>/<repository>:<tag>`."""

    registry: str
    repository: str
    tag: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest as it is stored, and its digest."""

    digest: str
    content: Mapping[str, Any]


def reference(order: Order) -> Reference:
    """The parts of a uri; without a tag it is `latest`, as everywhere with registries. Raises Refused."""
    registry, _, rest = order.place.partition("/")
    repository, _, tag = rest.partition(":")
    if not _REPOSITORY.fullmatch(repository) or (tag and not _TAG.fullmatch(tag)):
        raise Refused(
            f"uri: {order.uri} is to be oci://<registry>/<repository>:<tag>, the repository in lower-case letters."
        )
    if registry == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry=registry, repository=repository, tag=tag or "latest")


class Repository:
    """One repository; methods raise Failed or Refused."""

    def __init__(self, order: Order) -> None:
        self.reference = reference(order)
        registry = self.reference.registry
        address = order.endpoint or f"https://{_HUB_API if registry == _HUB else registry}"
        self._web = Web(address, name=f"the registry {registry}", patience=order.patience)
        self._base = f"/v2/{self.reference.repository}"
        self._account = _account(credentials.values(order.secret), registry)
        self._authorization = ""
        self._patience = order.patience

    def manifest(self, name: str) -> Manifest | None:
        """The manifest with a tag or a digest; None where there is none."""
        answer = self._ask("GET", f"{self._base}/manifests/{quote(name, safe=':')}", headers=_ACCEPT)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._web.refusal(answer, f"reading manifest {name}")
        digest = f"sha256:{hashlib.sha256(answer.data).hexdigest()}"
        return Manifest(digest=digest, content=parsed(answer, name=self._web.name))

    def tags(self) -> Iterator[str]:
        """All tags of the repository; none where it is not there."""
        path = f"{self._base}/tags/list"
        while path:
            answer = self._ask("GET", path)
            if answer.status == 404:
                return
            if answer.status != 200:
                raise self._web.refusal(answer, "listing the tags")
            yield from parsed(answer, name=self._web.name).get("tags") or ()
            more = _NEXT.search(answer.headers.get("Link") or "")
            path = urljoin(f"{self._web.address}{path}", more[1]) if more else ""

    def tag(self, name: str, manifest: bytes) -> None:
        """Stores a manifest under a tag."""
        path = f"{self._base}/manifests/{quote(name)}"
        answer = self._ask("PUT", path, headers={"Content-Type": MANIFEST}, body=manifest)
        if answer.status != 201:
            raise self._web.refusal(answer, f"tag {name}")

    def has(self, sha256: str) -> bool:
        answer = self._ask("HEAD", f"{self._base}/blobs/sha256:{sha256}")
        if answer.status not in (200, 404):
            raise self._web.refusal(answer, "looking for a file")
        return answer.status == 200

    def send(self, sha256: str, *, file: File | None = None, data: bytes | None = None) -> None:
        """Sends a blob in one piece. NB: from the file, as one may be larger than the memory."""
        answer = self._ask("POST", f"{self._base}/blobs/uploads/", headers={"Content-Length": "0"})
        where = answer.headers.get("Location")
        if answer.status != 202 or not where:
            raise self._web.refusal(answer, "beginning to send a file")
        url = urljoin(f"{self._web.address}/", where)
        url = f"{url}{'&' if urlsplit(url).query else '?'}digest=sha256:{sha256}"
        answer = self._ask("PUT", url, headers=_BYTES, body=data, file=file)
        if answer.status != 201:
            raise self._web.refusal(answer, f"sending {file.name if file else 'the configuration'}")

    def delete(self, digest: str) -> None:
        """Removes a manifest, with all its tags; one that is gone already is no error."""
        answer = self._ask("DELETE", f"{self._base}/manifests/{digest}")
        if answer.status in (405, 415, 501):
            raise Refused(
                f"{self._web.name} does not let manifests be deleted ({self._web.said(answer)}): allow it there (of "
                "distribution: storage.delete.enabled), or remove it by the registry's own means."
            )
        if answer.status not in (202, 200, 204, 404):
            raise self._web.refusal(answer, "deleting the manifest")

    def untag(self, name: str) -> str:
        """Removes a tag alone; why the registry does not do that, empty where it is gone. NB: it need not let tags
        be deleted where it lets them be set (OCI distribution specification 1.1, "Deleting tags").
        """
        answer = self._ask("DELETE", f"{self._base}/manifests/{quote(name)}")
        if answer.status in (202, 200, 204, 404):
            return ""
        if answer.status in _NOT_ALLOWED:
            return f"{self._web.name} does not let it be removed ({answer.status} {self._web.said(answer)})"
        raise self._web.refusal(answer, f"removing tag {name}")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        file: File | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """NB: the registry says how it is to be told who we are; a token may have run out at any time."""
        for attempt in range(2):
            said = (
                {"Authorization": self._authorization} if self._authorization and self._is_its(path) else {}
            )
            answer = self._web.ask(method, path, headers={**(headers or {}), **said}, body=body, file=file)
            challenge = answer.headers.get("WWW-Authenticate") or ""
            if answer.status != 401 or attempt or not challenge:
                break
            self._authorization = self._answered(challenge)
        return answer

    def _is_its(self, path: str) -> bool:
        """Whether it goes to the registry itself, which alone is told who we are."""
        return not path.startswith(("http://", "https://")) or path.startswith(f"{self._web.address}/")

    def _answered(self, challenge: str) -> str:
        kind, _, rest = challenge.partition(" ")
        basic = (
            f"Basic {base64.b64encode(':'.join(self._account).encode()).decode()}" if self._account else ""
        )
        if kind.lower() == "basic":
            return basic
        asked = dict(_CHALLENGE.findall(rest))
        realm = asked.pop("realm", "")
        if kind.lower() != "bearer" or not realm.startswith(("https://", "http://")):
            raise Failed(
                f"{self._web.name} asks for a way to say who we are that is not known: {challenge[:80]}."
            )
        # NB: what came over https:// never leads on to http://.
        if self._web.address.startswith("https:") and not realm.startswith("https:"):
            raise Failed(f"{self._web.name} wants the password sent to {realm}, without encryption.")
        repository = self.reference.repository
        asked = {
            "scope": f"repository:{repository}:pull,push,delete",
            **{key: asked[key] for key in ("service",) if key in asked},
        }
        server = Web(realm, name=f"the token server of {self._web.name}", patience=self._patience)
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(asked)}"
        answer = server.ask("GET", url, headers={"Authorization": basic} if basic else {})
        if answer.status != 200:
            raise server.refusal(answer, "asking for a token")
        found = parsed(answer, name=server.name)
        return f"Bearer {found.get('token') or found.get('access_token') or ''}"


def _account(values: Mapping[str, str], registry: str) -> tuple[str, str] | None:
    """Name and password for a registry: from `.dockerconfigjson`, else from `username` and `password`."""
    text = values.get(".dockerconfigjson")
    if text:
        try:
            auths = json.loads(text).get("auths") or {}
        except (ValueError, AttributeError) as error:
            raise Refused(
                ".dockerconfigjson in the target's Secret cannot be read: it is no JSON object."
            ) from error
        keys = (registry, f"https://{registry}", *((_HUB_KEY, "index.docker.io") if registry == _HUB else ()))
        found = next((auths[key] for key in keys if key in auths), None)
        if found is None:
            raise Refused(
                f".dockerconfigjson in the target's Secret has nothing for {registry}; it has "
                f"{', '.join(sorted(auths)) or 'no registry'}."
            )
        if found.get("auth"):
            name, _, password = base64.b64decode(found["auth"]).decode().partition(":")
            return name, password
        return str(found.get("username") or ""), str(found.get("password") or "")
    if values.get("username") or values.get("password"):
        return values.get("username", ""), values.get("password", "")
    return None
