"""What a job leaves in its store, in the layout of docs/artifacts.md, as tests make it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.harness.kindnodes import GPU_TOLERATION
from tests.objects import Jobs, found

_WRITE = """
import hashlib, json, os, sys
for path, made in json.load(sys.stdin).items():
    os.makedirs(os.path.dirname("/claim/" + path), exist_ok=True)
    data = made.encode() if isinstance(made, str) else hashlib.shake_128(made[0].encode()).digest(made[1])
    with open("/claim/" + path, "wb") as file:
        file.write(data)
"""


@dataclass
class Stored:
    """Files by their path in the store: a text, or a seed and a size that make their bytes."""

    uid: str
    files: dict[str, str | tuple[str, int]] = field(default_factory=dict)

    def artifacts(self, attempt: int, files: dict[str, int], *, rank: int = 0) -> str:
        """Adds files of some sizes and their manifest, which it gives."""
        return self._add(self._folder(attempt, rank), "artifacts.json", files, attempt=attempt, rank=rank)

    def checkpoint(self, attempt: int, epoch: int, files: dict[str, int], *, ranks: int = 1) -> None:
        """Adds the parts of all ranks, and the index that lists it."""
        name = f"checkpoints/epoch-{epoch:06d}"
        manifests = [
            self._add(
                f"{self._folder(attempt, rank)}/{name}",
                "manifest.json",
                files,
                epoch=epoch,
                step=epoch * 10,
                rank=rank,
                worldSize=ranks,
            )
            for rank in range(ranks)
        ]
        index = f"{self._folder(attempt, 0)}/checkpoints/index.json"
        listed = json.loads(str(self.files[index]))["checkpoints"] if index in self.files else []
        listed.append({"epoch": epoch, "step": epoch * 10, "sha256": digest(manifests[0].encode())})
        self.files[index] = json.dumps({"attempt": attempt, "checkpoints": listed})

    def content(self, path: str) -> bytes:
        """Of a file below the job's folder."""
        made = self.files[f"{self.uid}/{path}"]
        return made.encode() if isinstance(made, str) else hashlib.shake_128(made[0].encode()).digest(made[1])

    def objects(self) -> dict[str, bytes]:
        """Everything, by its path in the store."""
        return {path: self.content(path.removeprefix(f"{self.uid}/")) for path in self.files}

    def _folder(self, attempt: int, rank: int) -> str:
        return f"{self.uid}/attempt-{attempt}" + (f"/rank-{rank}" if rank else "")

    def _add(self, folder: str, manifest: str, files: dict[str, int], **more: Any) -> str:
        entries = []
        for path, size in files.items():
            self.files[f"{folder}/{path}"] = (f"{folder}/{path}", size)
            data = self.content(f"{folder}/{path}".removeprefix(f"{self.uid}/"))
            entries.append({"path": path, "size": size, "sha256": digest(data)})
        self.files[f"{folder}/{manifest}"] = text = json.dumps({**more, "files": entries})
        return text


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def a_claim(jobs: Jobs, name: str = "models") -> None:
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims",
        {
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    )


def write_to_claim(
    jobs: Jobs,
    image: str,
    files: dict[str, str | tuple[str, int]],
    *,
    claim: str = "models",
    pod: str = "write",
) -> None:
    """By a pod of an image with python3, as the user that trainers run as."""
    told = json.dumps(files)
    writing: dict[str, Any] = {
        "metadata": {"name": pod},
        "spec": {
            "restartPolicy": "Never",
            "tolerations": [GPU_TOLERATION],
            "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532},
            "containers": [
                {
                    "name": "write",
                    "image": image,
                    "command": ["sh", "-c", f"printf %s \"$FILES\" | python3 -c '{_WRITE}'"],
                    "env": [{"name": "FILES", "value": told.replace("$", "$$")}],
                    "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
                }
            ],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
    path = f"/api/v1/namespaces/{jobs.namespace}/pods"
    jobs.client.post(path, writing)
    found(
        lambda: jobs.client.get(f"{path}/{pod}")["status"].get("phase") in ("Succeeded", "Failed"),
        what="the files to be written",
        timeout=120,
    )
    assert jobs.client.get(f"{path}/{pod}")["status"]["phase"] == "Succeeded"
    jobs.client.delete(f"{path}/{pod}")
