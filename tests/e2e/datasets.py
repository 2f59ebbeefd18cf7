"""Datasets in the bucket of an S3 server in the cluster, and jobs that tell what they find of them.

Separate because the tests of one Dataset's life and those of many jobs on one share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.s3pod import S3Pod
from tests.objects import Jobs, found, manifest

SECRET = "keys"
_READ = """
import hashlib, os, pathlib, sys, time
def digest():
    top = pathlib.Path(os.environ["TRAINYARD_DATA_DIR"]) / sys.argv[1]
    files = sorted(path for path in top.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(top)}\\n" for path in files]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
print("found", digest(), flush=True)
while sys.argv[2] == "wait" and not os.path.exists("/tmp/go"):
    time.sleep(0.2)
print("in the end", digest(), flush=True)
"""


class Data(Jobs):
    """A namespace with an S3 server in it."""

    def __init__(self, client: Client, handle: ClusterHandle, store: S3Pod, image: str) -> None:
        super().__init__(client, store.namespace)
        self.handle = handle
        self.store = store
        self.image = image

    def fill(self, name: str, files: Mapping[str, bytes]) -> None:
        self.store.write({f"{name}/{path}": data for path, data in files.items()})

    def source(self, name: str, *, secret: str = SECRET) -> Json:
        where = {"uri": f"s3://{self.store.bucket}/{name}", "endpoint": self.store.endpoint}
        return {**where, "region": "us-east-1", "secretRef": {"name": secret}}

    def dataset(self, name: str, *, folder: str = "", secret: str = SECRET, **spec: Any) -> Json:
        """A Dataset of a folder of the bucket, its own unless it is said; `spec` in camelCase."""
        body = {
            "type": "tabular",
            "format": "csv",
            "source": self.source(folder or name, secret=secret),
            **spec,
        }
        return self.client.post(self.path("datasets"), manifest("Dataset", name, body))

    def told(self, name: str) -> Json:
        return dict(self.client.get(self.path("datasets", name)).get("status") or {})

    def comes_to(self, name: str, phase: str, reason: str | None = None, *, timeout: float = 120) -> Json:
        """The Dataset's status once it has this phase and reason."""
        seen: Json = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.told(name))
            return seen.get("phase") == phase and reason in (None, seen.get("reason"))

        try:
            found(there, what=f"Dataset {name} to be {phase} {reason or ''}", timeout=timeout)
        except Exception as error:
            raise AssertionError(f"{error}; its status is {seen}") from error
        return seen

    def read(self, name: str, dataset: str, *, wait: bool = False) -> None:
        """A job that tells what it finds, at its beginning and at its end; with `wait` it ends when it is let go."""
        spec = {
            "image": self.image,
            "command": ["python3", "-uc", _READ, dataset, "wait" if wait else "once"],
            "action": "custom",
            "datasets": {"train": [dataset]},
            "tolerations": [GPU_TOLERATION],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
            "gracePeriodSeconds": 5,
            "backoffLimit": 0,
        }
        self.client.post(self.path("trainingjobs"), manifest("TrainingJob", name, spec))

    def log(self, job: str) -> dict[str, str]:
        """What a job has told so far: `found`, `in the end`."""
        pods = self.pods(job)
        states = pods[0]["status"].get("containerStatuses") or [] if pods else []
        # NB: not by the pod's phase, which is Pending for a moment when its container has ended already.
        if not states or "waiting" in states[0]["state"]:
            return {}
        where = f"/api/v1/namespaces/{self.namespace}/pods/{pods[0]['metadata']['name']}/log"
        text = self.client.text(where)
        lines = (line.rpartition(" ") for line in text.splitlines())
        return {what: digest for what, _, digest in lines}

    def claims(self) -> dict[str, Json]:
        """Those that hold data."""
        where = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        every = {one["metadata"]["name"]: one for one in self.client.list(where)}
        return {name: one for name, one in every.items() if name.startswith("data-")}

    def gets(self, name: str) -> dict[str, int]:
        """How often each file of a folder was got from the bucket, in whole or in part."""
        counts: dict[str, int] = {}
        for method, key in self.store.asked(f"{name}/"):
            if method == "GET":
                counts[key.removeprefix(f"{name}/")] = counts.get(key.removeprefix(f"{name}/"), 0) + 1
        return counts


def digest_of(files: Mapping[str, bytes]) -> str:
    """What `status.sha256` says of a folder of several files."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def table(seed: str, *, rows: int = 60, width: int = 4) -> bytes:
    """A csv of numbers, with three classes in the column `label`."""
    head = ",".join([*(f"x{column}" for column in range(width)), "label"])
    stream = hashlib.shake_128(seed.encode()).digest(rows * width)
    lines = [
        ",".join([*(str(value) for value in stream[row * width : (row + 1) * width]), "abc"[row % 3]])
        for row in range(rows)
    ]
    return "\n".join([head, *lines, ""]).encode()
