"""A trainer for tests whose result tells whether anything was lost: each epoch is hashed into the next.

Separate because tests of uploads and of lost nodes train with it. It keeps the contract's checkpoints and ends sooner
than the reference trainer begins.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tests.harness.kindnodes import GPU_TOLERATION

Json = dict[str, Any]

_CODE = """
import hashlib, json, os, pathlib, signal, sys, time
epochs, pause, size = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
output, saved = (pathlib.Path(os.environ[f"TRAINYARD_{name}_DIR"]) for name in ("OUTPUT", "CHECKPOINT"))
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
def close(folder, files, manifest, **more):
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        listed.append({"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    (folder / ".tmp").write_text(json.dumps({**more, "files": listed}))
    (folder / ".tmp").rename(folder / manifest)
def content(state, size):
    return hashlib.shake_256(state).digest(size)
found = sorted(pathlib.Path(os.environ["TRAINYARD_RESUME"]).glob("epoch-*/manifest.json"))
state, done = b"", 0
if found:
    state = (found[-1].parent / "state").read_bytes()
    done = json.loads(found[-1].read_text())["epoch"]
    assert (found[-1].parent / "weights").read_bytes() == content(state, size), "a part of the checkpoint is missing"
print(json.dumps({"status": "STARTED", "message": f"from epoch {done}"}))
for epoch in range(done + 1, epochs + 1):
    time.sleep(pause)
    state = hashlib.sha256(state + str(epoch).encode()).digest()
    folder = saved / f"epoch-{epoch:06d}"
    close(folder, {"state": state, "weights": content(state, size)}, "manifest.json",
          epoch=epoch, step=epoch, rank=0, worldSize=1)
    where = {"epoch": epoch, "path": str(folder)}
    print(json.dumps({"status": "RUNNING", "epoch": epoch, "max_epoch": epochs, "checkpoint": where}), flush=True)
    if stopped:
        open("/dev/termination-log", "w").write('{"complete": false, "message": "stopped"}')
        sys.exit(0)
(output / "parts").mkdir(parents=True, exist_ok=True)
for part in range(8):
    (output / "parts" / f"{part}.bin").write_bytes(content(state + bytes([part]), size))
(output / "model.bin").write_bytes(state)
metrics = {"metrics": {"accuracy": 0.5}, "keyMetric": {"name": "accuracy", "value": 0.5}}
open("/dev/termination-log", "w").write(json.dumps({"complete": True, "message": "chained", **metrics}))
"""


def spec(image: str, *, epochs: int, seconds: float = 0.4, size: int = 1 << 20, **more: Any) -> Json:
    """Of a job that trains so many epochs, each of so many seconds; `image` is one with python3."""
    return {
        "image": image,
        "command": ["python3", "-uc", _CODE, str(epochs), str(seconds), str(size)],
        "action": "train",
        "tolerations": [GPU_TOLERATION],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
        "gracePeriodSeconds": 5,
        **more,
    }


def result(epochs: int, *, size: int = 1 << 20) -> dict[str, bytes]:
    """What a training that lost nothing leaves, by path."""
    state = b""
    for epoch in range(1, epochs + 1):
        state = hashlib.sha256(state + str(epoch).encode()).digest()
    parts = {f"parts/{part}.bin": hashlib.shake_256(state + bytes([part])).digest(size) for part in range(8)}
    return {"model.bin": state, **parts}
