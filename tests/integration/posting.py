"""What a training pod has to reach the status server with, and requests made with it.

Separate because tests of several sorts play the pod: there is no kubelet here that would mount its token.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import urllib3

from tests.harness.client import Client, Json
from tests.objects import found

AUDIENCE = "trainyard.dev"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of the server, decoded."""

    status: int
    body: Any
    headers: dict[str, str]


class Post:
    """A pod of the operator's as the status server sees it: the address and authority are those in its manifest."""

    def __init__(self, client: Client, namespace: str, pod: Json, *, audience: str = AUDIENCE) -> None:
        metadata = pod["metadata"]
        self.pod = pod
        self.authority: str = metadata["annotations"]["trainyard.dev/server-ca"]
        self.environment = {e["name"]: e["value"] for e in trainer(pod)["env"] if "value" in e}
        self.url = self.environment["TRAINYARD_SERVER_URL"]
        self.token = token(client, namespace, pod, audience=audience)
        self._http = urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=self.authority))

    @classmethod
    def of(cls, client: Client, namespace: str, job: str, **more: Any) -> Post:
        """The first pod of a job, once it is there."""
        path = f"/api/v1/namespaces/{namespace}/pods/{job}-0-0"

        def made() -> Json | None:
            pods = client.list(path.rpartition("/")[0], fieldSelector=f"metadata.name={job}-0-0")
            return next(iter(pods), None)

        return cls(client, namespace, found(made, what=f"the pod of {job}"), **more)

    def send(self, payload: Any, *, url: str | None = None, token: str | None = None) -> Answer:
        """POST, by default our own token to our own job; bytes are sent as they are."""
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        return self._request("POST", url or self.url, token, body)

    def verdict(self, *, url: str | None = None, token: str | None = None) -> Answer:
        """What the agent asks for."""
        return self._request("GET", (url or self.url).removesuffix("status") + "verdict", token, None)

    def files(self, folder: Path) -> dict[str, str]:
        """The environment of a trainer, with the files that it names in a folder of this machine."""
        (folder / "ca.crt").write_text(self.authority)
        (folder / "token").write_text(self.token)
        names = {"KUBEFLOW_TRAINER_SERVER_CA_CERT": "ca.crt", "KUBEFLOW_TRAINER_SERVER_TOKEN": "token"}
        assert all(self.environment[name] == f"/trainyard/server/{file}" for name, file in names.items())
        return {**self.environment, **{name: str(folder / file) for name, file in names.items()}}

    def _request(self, method: str, url: str, token: str | None, body: bytes | None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        answer = self._http.request(method, url, body=body, headers=headers, retries=False, timeout=15.0)
        decoded = orjson.loads(answer.data) if answer.data else None
        return Answer(status=answer.status, body=decoded, headers=dict(answer.headers))


def trainer(pod: Json) -> Json:
    """The training container of a manifest."""
    (container,) = [c for c in pod["spec"]["containers"] if c["name"] == "trainer"]
    return dict(container)


def token(client: Client, namespace: str, pod: Json | None, *, audience: str = AUDIENCE) -> str:
    """A token as the kubelet projects it: of the pod's account, for an audience, bound to the pod."""
    account = pod["spec"]["serviceAccountName"] if pod is not None else "default"
    spec: Json = {"audiences": [audience], "expirationSeconds": 600}
    if pod is not None:
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec["boundObjectRef"] = bound
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    made = client.post(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
    return str(made["status"]["token"])
