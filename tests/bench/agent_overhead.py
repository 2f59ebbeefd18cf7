"""What the agent costs the training beside it: the same loop with and without, in turns, on one machine.

`python -m tests.bench.agent_overhead` trains on all cores (matrix products), writes a checkpoint a minute, and has the
agent bring it to a real S3 server. Turns are A B B A, so that what else the machine does falls on both. The server runs
at the lowest priority, as it would be elsewhere. It prints a table; `--seconds` and `--every` make it shorter.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import s3
from tests.integration.agentpod import Pod

_MIB = 1 << 20
#: Products a step; a step takes some tens of milliseconds on one core.
_TRAIN = """
import hashlib, json, os, pathlib, sys, time
import numpy
steps, every, size, folder = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4])
matrix = numpy.random.default_rng(0).standard_normal((512, 512))
state = matrix
saved, epoch, began = time.monotonic(), 0, time.monotonic()
for _ in range(steps):
    for _ in range(8):
        state = numpy.tanh(state @ matrix)
    if time.monotonic() - saved >= every:
        saved, epoch = time.monotonic(), epoch + 1
        into = folder / f"epoch-{epoch:06d}"
        into.mkdir(parents=True)
        data = os.urandom(size)
        (into / "state").write_bytes(data)
        entry = {"path": "state", "size": size, "sha256": hashlib.sha256(data).hexdigest()}
        manifest = {"epoch": epoch, "step": epoch, "rank": 0, "worldSize": 1, "files": [entry]}
        (into / ".tmp").write_text(json.dumps(manifest))
        (into / ".tmp").rename(into / "manifest.json")
print(time.monotonic() - began)
"""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Seconds that all trainers took, and CPU seconds of the agent."""

    seconds: float
    agent_cpu: float = 0.0


def turn(root: Path, server: s3.S3, *, steps: int, every: float, size: int, with_agent: bool) -> Turn:
    """One go of a trainer for each core; the first one writes the checkpoints."""
    root.mkdir()
    pod = Pod(root=root, server=server, bucket_folder=root.name, uid=str(uuid.uuid4()))
    checkpoints = pod.output_dir / "checkpoints"
    checkpoints.mkdir(parents=True)
    if with_agent:
        pod.run()
    trainers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                _TRAIN,
                str(steps),
                str(every if number == 0 else 1e9),
                str(size),
                str(checkpoints),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(os.cpu_count() or 1)
    ]
    took = max(float(trainer.communicate()[0]) for trainer in trainers)
    if not with_agent:
        return Turn(seconds=took)
    trained = resource.getrusage(resource.RUSAGE_CHILDREN)
    pod.end()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime) - (trained.ru_utime + trained.ru_stime)
    return Turn(seconds=took, agent_cpu=cpu)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the overhead in percent, of time and of CPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=130.0, help="of one turn, about")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two checkpoints")
    parser.add_argument("--size", type=int, default=200, help="MiB of a checkpoint")
    parser.add_argument("--rounds", type=int, default=2, help="of A B B A")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with s3.running(root / "server", "models") as server:
            subprocess.run(
                ["sh", "-c", f"renice -n 19 -p $(pgrep -f 127.0.0.1:{server.port})"],
                capture_output=True,
                check=False,
            )
            speed = turn(root / "probe", server, steps=60, every=1e9, size=1, with_agent=False)
            steps = max(1, int(60 * asked.seconds / speed.seconds))
            turns: dict[bool, list[Turn]] = {False: [], True: []}
            for number, with_agent in enumerate([False, True, True, False] * asked.rounds):
                done = turn(
                    root / f"turn-{number}",
                    server,
                    steps=steps,
                    every=asked.every,
                    size=asked.size * _MIB,
                    with_agent=with_agent,
                )
                turns[with_agent].append(done)
                print(json.dumps({"agent": with_agent, "seconds": round(done.seconds, 2)}), flush=True)
    alone, beside = (statistics.median(t.seconds for t in turns[key]) for key in (False, True))
    print(f"without {alone:.1f} s, with {beside:.1f} s: {100 * (beside / alone - 1):+.1f} % of time")
    cpu = statistics.median(t.agent_cpu for t in turns[True])
    print(f"the agent's CPU: {cpu:.1f} s, {100 * cpu / beside / (os.cpu_count() or 1):.1f} % of the machine")


if __name__ == "__main__":
    main()
