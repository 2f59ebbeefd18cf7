"""What lies on a volume claim, seen by a pod that mounts it: nothing else on a cluster can look there."""

from __future__ import annotations

from typing import Any

from tests.harness.kindnodes import GPU_TOLERATION
from tests.objects import Jobs, found


def files_at(jobs: Jobs, image: str, uri: str, *, pod: str = "look") -> list[str]:
    """Names in a folder, `pvc://<claim>/<folder>`; `image` is one that the nodes have and that has `ls`."""
    claim, _, folder = uri.removeprefix("pvc://").partition("/")
    looking: dict[str, Any] = {
        "metadata": {"name": pod},
        "spec": {
            "restartPolicy": "Never",
            "tolerations": [GPU_TOLERATION],
            "securityContext": {"runAsUser": 65532, "runAsGroup": 65532},
            "containers": [
                {
                    "name": "look",
                    "image": image,
                    "command": ["ls", f"/claim/{folder}"],
                    "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
                }
            ],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
    path = f"/api/v1/namespaces/{jobs.namespace}/pods"
    jobs.client.post(path, looking)
    found(
        lambda: jobs.client.get(f"{path}/{pod}")["status"].get("phase") in ("Succeeded", "Failed"),
        what="ls",
        timeout=60,
    )
    return jobs.client.text(f"{path}/{pod}/log").split()
