"""A receiver of callbacks inside a cluster, where an operator in a pod can reach it; its log is what it was told.

Separate because a pod does not reach the process that runs the test. Called by the storm test of tests/e2e.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.harness.client import Client, wait_for
from tests.storm.checks import Told

Json = dict[str, Any]

NAME = "storm-receiver"
PORT = 8080
_CODE = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
refusals = json.loads(sys.argv[2])
class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        refused = refusals.get(self.path, 0) > 0
        if refused:
            refusals[self.path] -= 1
        else:
            said = {key: body["data"][key] for key in ("event", "sequence")}
            said |= {"job": body["data"]["name"], "id": self.headers["webhook-id"]}
            sys.stdout.write(json.dumps(said) + "\\n")  # one write: print makes two, and threads come between
        self.send_response(503 if refused else 204)
        self.end_headers()
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
"""


class InsideReceiver:
    """Accepts everything but the first requests of each path for which `refusals` has a number."""

    def __init__(
        self, client: Client, namespace: str, *, image: str, refusals: Mapping[str, int] | None = None
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._image = image
        self._refusals = dict(refusals or {})

    def start(self) -> None:
        """Returns when it answers."""
        base = f"/api/v1/namespaces/{self._namespace}"
        self._client.post(f"{base}/services", self._service())
        account = f"{base}/serviceaccounts/default"
        wait_for(lambda: self._client.find(account), what="the service account")
        self._client.post(f"{base}/pods", self._pod())

        def ready() -> bool:
            pod = self._client.get(f"{base}/pods/{NAME}")
            conditions = pod.get("status", {}).get("conditions", [])
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        wait_for(ready, what="the receiver to be ready", timeout=60)

    def url(self, path: str) -> str:
        return f"http://{NAME}.{self._namespace}.svc:{PORT}{path}"

    def told(self) -> list[Told]:
        """What it has accepted so far, in order."""
        log = self._client.text(f"/api/v1/namespaces/{self._namespace}/pods/{NAME}/log")
        return [Told(**json.loads(line)) for line in log.splitlines() if line.startswith("{")]

    def _service(self) -> Json:
        return {
            "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
        }

    def _pod(self) -> Json:
        container = {
            "name": "receiver",
            "image": self._image,
            "command": ["python3", "-uc", _CODE, str(PORT), json.dumps(self._refusals)],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        }
        return {
            "metadata": {"name": NAME, "labels": {"app": NAME}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsUser": 65532, "runAsGroup": 65532},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                "containers": [container],
            },
        }
