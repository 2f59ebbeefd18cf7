"""A real S3 server (versitygw) as a pod, for what the agent does in pods: they cannot reach the one of `s3`.

Separate from `s3` because it needs a cluster. Its image is the program of the harness and nothing else; buckets lie
on a volume claim, so that they outlive an outage. Called by tests of artifacts on real nodes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.harness import binaries, cache, docker, image_archive, images, kindcluster, processes, scratch
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl, log_file
from tests.harness.s3 import ACCESS_KEY, SECRET_KEY

Json = dict[str, Any]

PORT = 7070
READY_SECONDS = 120.0
_NAME = "s3"
_REQUEST = re.compile(r"^\S+ \| vgw \|.*\| ([A-Z]+) \| (\S+) \|", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class S3Pod:
    """An S3 server in a namespace; `endpoint` is for pods, `forwarded` for this machine."""

    handle: ClusterHandle
    namespace: str
    bucket: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    @property
    def endpoint(self) -> str:
        return f"http://{_NAME}.{self.namespace}.svc:{PORT}"

    @property
    def credentials(self) -> dict[str, str]:
        """What the Secret of an output holds."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def secret(self, name: str) -> Json:
        """A Secret with the credentials, for jobs of the namespace."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": self.credentials,
        }

    def stop(self) -> None:
        """Takes it away, as in an outage; the objects stay."""
        self._scale(0)
        words = ("wait", "--for=delete", "pods", "--selector", f"app={_NAME}", "--timeout=60s")
        Kubectl(self.handle).run(*words, f"--namespace={self.namespace}", timeout=90)

    def start(self) -> None:
        """Brings it back, and waits until it answers."""
        self._scale(1)
        words = ("rollout", "status", f"deployment/{_NAME}", f"--timeout={READY_SECONDS:.0f}s")
        Kubectl(self.handle).run(*words, f"--namespace={self.namespace}", timeout=READY_SECONDS + 30)

    @contextmanager
    def forwarded(self) -> Iterator[str]:
        """An endpoint on this machine, until the end of the block."""
        (port,) = processes.free_ports(1)
        kubectl = Kubectl(self.handle)
        words = ("port-forward", f"--namespace={self.namespace}", f"deployment/{_NAME}", f"{port}:{PORT}")
        with (
            log_file().open("ab") as log,
            subprocess.Popen(
                [kubectl.program, *kubectl.flags, *words], stdout=subprocess.PIPE, stderr=log
            ) as process,
        ):
            try:
                assert process.stdout is not None
                if b"Forwarding from" not in process.stdout.readline():
                    raise HarnessError(
                        f"The S3 server in {self.namespace} cannot be reached, see {log_file()}."
                    )
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """The contents of the bucket by key, below a prefix."""
        with self.forwarded() as endpoint:
            files = self.files(endpoint)
            found = files.find(f"{self.bucket}/{prefix}", refresh=True)
            return {path.removeprefix(f"{self.bucket}/"): files.cat_file(path) for path in found}

    def write(self, objects: dict[str, bytes]) -> None:
        """Puts objects into the bucket, by key."""
        with self.forwarded() as endpoint:
            files = self.files(endpoint)
            for key, content in objects.items():
                files.pipe_file(f"{self.bucket}/{key}", content)

    def asked(self, prefix: str = "") -> list[tuple[str, str]]:
        """Method and key of each request for an object below a prefix, as the server has logged them."""
        words = ("logs", f"deployment/{_NAME}", f"--namespace={self.namespace}", "--tail=-1")
        lines = _REQUEST.findall(Kubectl(self.handle).run(*words))
        top = f"/{self.bucket}/"
        return [
            (method, path.removeprefix(top)) for method, path in lines if path.startswith(f"{top}{prefix}")
        ]

    def files(self, endpoint: str) -> Any:
        """A file system (fsspec) of an endpoint that `forwarded` gave."""
        import s3fs  # type: ignore[import-untyped]  # it has no types

        return s3fs.S3FileSystem(
            key=self.access_key,
            secret=self.secret_key,
            endpoint_url=endpoint,
            client_kwargs={"region_name": "us-east-1"},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _scale(self, replicas: int) -> None:
        words = ("scale", f"deployment/{_NAME}", f"--replicas={replicas}")
        Kubectl(self.handle).run(*words, f"--namespace={self.namespace}")


def install(handle: ClusterHandle, namespace: str, *, bucket: str = "models") -> S3Pod:
    """An S3 server with one empty bucket in a namespace that is there; it goes with the namespace.

    Raises HarnessError if the cluster takes no image of ours.
    """
    server = S3Pod(handle=handle, namespace=namespace, bucket=bucket)
    Kubectl(handle).apply(_objects(image(handle), bucket), namespace=namespace)
    server.start()
    return server


def image(handle: ClusterHandle) -> str:
    """The server's image, on the cluster's nodes or where they can pull it (see `chosen.image`)."""
    prefix = os.environ.get("IMAGES")
    if not prefix and not kindcluster.takes_images(handle):
        raise HarnessError(
            f"Set IMAGES=REGISTRY/PREFIX to bring an S3 server into the cluster of {handle.context}."
        )
    built = _ensure_image()
    if prefix:
        return images.push(docker.ensure(), built, prefix)
    kindcluster.load(handle, built)
    return built


def _ensure_image() -> str:
    program = binaries.ensure("versitygw")["versitygw"]
    # NB: the folder of the cache is named after a digest of what the program was made from.
    name = f"trainyard/s3:{cache.digest_of(program.parent.name, 'v1')}"
    engine = docker.ensure()
    if engine.has_image(name):
        return name
    with scratch.folder("image-s3") as folder:
        archive = folder / "s3.tar"
        image_archive.write(
            archive,
            image=name,
            architecture=binaries.architecture(),
            files={"versitygw": program},
            entrypoint=("/versitygw",),
        )
        engine.run("load", "--input", archive)
    return name


def _objects(image: str, bucket: str) -> list[Json]:
    labels = {"app": _NAME}
    server = {
        "name": _NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--port",
            f":{PORT}",
            "--health",
            "/health",
            # NB: not --quiet, as `asked` reads what it logs.
            "posix",
            "--sidecar",
            "/sidecar",
            "/buckets",
        ],
        "env": [
            {"name": "ROOT_ACCESS_KEY", "value": ACCESS_KEY},
            {"name": "ROOT_SECRET_KEY", "value": SECRET_KEY},
        ],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        # NB: a bucket is a folder, and only the second of these mounts can make it: the image has no shell.
        "volumeMounts": [
            {"name": "data", "mountPath": "/buckets", "subPath": "buckets"},
            {"name": "data", "mountPath": f"/buckets/{bucket}", "subPath": f"buckets/{bucket}"},
            {"name": "data", "mountPath": "/sidecar", "subPath": "sidecar"},
        ],
    }
    pod = {
        "tolerations": [GPU_TOLERATION],
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [server],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": _NAME}}],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": _NAME},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": _NAME},
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _NAME},
            "spec": {"selector": labels, "ports": [{"port": PORT}]},
        },
    ]
