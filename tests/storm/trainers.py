"""The jobs of a storm: what a job of the script is on fake nodes and on real ones.

Separate because the script and the engine do not know on which they are. Called by the storm tests.
"""

from __future__ import annotations

import json
from typing import Any

from tests.storm.script import StormJob

Json = dict[str, Any]

EVENTS = ("Started", "Paused", "Resumed", "Completed", "Failed", "Canceled")
_STOPPED = json.dumps({"complete": False, "message": "stopped"})
_FINISHED = json.dumps({"complete": True, "message": "finished"})
_FAILED_LIMIT = 0

# NB: a handler that only notes the signal, as the reference trainer has one; a step is short.
_CODE = """
import json, os, signal, sys, time
how, seconds = sys.argv[1], float(sys.argv[2])
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
def end(code, complete):
    open("/dev/termination-log", "w").write(json.dumps({"complete": complete, "message": how}))
    sys.exit(code)
steps = int(seconds * 10)
for step in range(steps):
    if step % 10 == 0:
        print(json.dumps({"step": step, "max_step": steps, "status": "RUNNING"}), flush=True)
    time.sleep(0.1)
    if told and how != "finishes-anyway":
        sys.exit(143) if how in ("stops", "fails") else end(0, False)
    if told:
        break
sys.exit(1) if how == "fails" else end(0, True)
"""


def fake(job: StormJob, *, url: str) -> Json:
    """The spec of a job on fake nodes (tests/harness/stages/pods.yaml)."""
    does = {"run-for": f"{job.run_seconds}s"}
    does |= {
        "stops": {},
        "stops-with-0": {"exit-code-on-delete": "0", "message-on-delete": _STOPPED},
        "finishes-anyway": {"exit-code-on-delete": "0", "message-on-delete": _FINISHED},
        "fails": {"exit-code": "1"},
    }[job.trainer]
    annotations = {f"fake.trainyard.dev/{key}": value for key, value in does.items()}
    return {
        **_common(job, url),
        **({"nodes": job.nodes} if job.nodes > 1 else {}),
        **({"output": {"uri": "s3://storm/models"}} if job.output else {}),
        "image": "example.com/trainer:1",
        "template": {"metadata": {"annotations": annotations}},
    }


def real(job: StormJob, *, url: str, image: str) -> Json:
    """The spec of a job on real nodes, of one pod without an agent; `image` is one with python3."""
    return {
        **_common(job, url),
        "image": image,
        "command": ["python3", "-uc", _CODE, job.trainer, str(job.run_seconds)],
        "gracePeriodSeconds": 10,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
    }


def _common(job: StormJob, url: str) -> Json:
    return {
        "action": "train" if job.resumable else "evaluate",
        "backoffLimit": _FAILED_LIMIT,
        "callbacks": [{"name": "storm", "url": url, "events": list(EVENTS)}],
    }
