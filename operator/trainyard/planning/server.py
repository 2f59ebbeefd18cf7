"""The way from a pod to the operator's status server: environment, token and certificate authority.

Separate because every training pod has it, with or without the agent, as long as the server is on. The protocol is in
docs/status-server.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainyard.api import names

Json = dict[str, Any]

_MOUNT = "/trainyard/server"
CA_FILE = f"{_MOUNT}/ca.crt"
TOKEN_FILE = f"{_MOUNT}/token"
_TOKEN_SECONDS = 3600
_VOLUME = "trainyard-server"


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """Where pods reach the status server, `https://<host>:<port>`, and who has signed its certificate, in PEM."""

    url: str
    ca: str


def job_url(server: ServerAddress, *, namespace: str, job: str, what: str) -> str:
    """What pods of a job ask (`verdict`) or tell (`status`) the server at."""
    path = f"apis/{names.API_VERSION}/namespaces/{namespace}/trainingjobs/{job}/{what}"
    return f"{server.url.rstrip('/')}/{path}"


def environment(server: ServerAddress, *, namespace: str, job: str) -> dict[str, str]:
    """Variables of the training container: ours, and those that a trainer written for Kubeflow Trainer reads."""
    url = job_url(server, namespace=namespace, job=job, what="status")
    return {
        "TRAINYARD_SERVER_URL": url,
        "KUBEFLOW_TRAINER_SERVER_URL": url,
        "KUBEFLOW_TRAINER_SERVER_CA_CERT": CA_FILE,
        "KUBEFLOW_TRAINER_SERVER_TOKEN": TOKEN_FILE,
    }


def volume() -> Json:
    """The token of the pod, made and renewed by the kubelet, and the authority, which is an annotation of the pod."""
    return {
        "name": _VOLUME,
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "audience": names.TOKEN_AUDIENCE,
                        "expirationSeconds": _TOKEN_SECONDS,
                        "path": "token",
                    }
                },
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "ca.crt",
                                "fieldRef": {"fieldPath": f"metadata.annotations['{names.SERVER_CA}']"},
                            }
                        ]
                    }
                },
            ]
        },
    }


def mount() -> Json:
    """Where it is in a container."""
    return {"name": _VOLUME, "mountPath": _MOUNT, "readOnly": True}
