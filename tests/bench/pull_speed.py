"""How fast a dataset is pulled, beside rclone: the same objects, the same server, the same parallelism, in turns.

`python -m tests.bench.pull_speed` fills a real S3 server with files of random bytes, then pulls them by
`trainyard-agent pull` and by `rclone copy`, alternately (A B B A), each into an empty folder of the same disk. Then a
puller is killed three times, and what the server sent is counted by a proxy. `make test` runs it with 200 MB in 400
files (tests/integration/test_pull_speed.py), `make soak` with 5 GB in 10,000, which goes into docs/datasets.md.

Both check what they write against a digest: rclone by MD5 with the ETag, the agent by the SHA-256 that it tells.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import report, usage
from tests.harness import binaries, cache, console, s3, wiretap
from tests.harness.s3 import S3
from tests.integration.datapull import Puller
from trainyard_agent.transfer import FILES

BUCKET, FOLDER = "data", "set"
SOURCE = f"s3://{BUCKET}/{FOLDER}"
#: The least share of rclone's speed, and the most memory in MiB.
WANTED_SHARE, WANTED_MEMORY = 0.80, 300.0
SEED = 7
_POLL_SECONDS = 0.02
_IN_A_FOLDER = 500
#: Bytes from which on what one turn has left to be written to the disk would burden the next.
_SETTLED_FROM = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One pull: its seconds, CPU seconds and peak memory in MiB (the largest that the kernel saw, VmHWM)."""

    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True, kw_only=True)
class Kills:
    """A pull that was killed three times: bytes that the server sent in all, of a dataset of `total` bytes."""

    total: int
    sent: int
    seconds: float
    memory: float

    @property
    def again(self) -> float:
        """The share that was sent more than once."""
        return self.sent / self.total - 1


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All of it; `share` is our speed in rclone's, the median over the pairs of turns."""

    files: int
    bytes: int
    ours: tuple[Turn, ...]
    rclone: tuple[Turn, ...]
    kills: Kills

    @property
    def share(self) -> float:
        return statistics.median(b.seconds / a.seconds for a, b in zip(self.ours, self.rclone, strict=True))

    @property
    def memory(self) -> float:
        """Our largest, killed or not."""
        return max(*(turn.memory for turn in self.ours), self.kills.memory)


def measure(
    root: Path, *, files: int, size: int, rounds: int, say: Callable[[str], None] = print
) -> Measured:
    """Fills the server with `files` files of `size` bytes in all, and measures `rounds` turns of each."""
    with s3.running(root / "server", BUCKET) as server:
        total = fill(server, root / "made", files=files, size=size)
        say(f"{files} files, {total / 1e6:.0f} MB are in the store.")
        listing = str(_puller(root / "survey", server.endpoint, server).survey().word["listing"])
        turns: dict[str, list[Turn]] = {"ours": [], "rclone": []}
        for number in range(rounds):
            for who in ("ours", "rclone") if number % 2 == 0 else ("rclone", "ours"):
                if size >= _SETTLED_FROM:
                    os.sync()
                with _fresh(root / who) as folder:
                    process = _start(who, folder, server, listing)
                    turn = followed(process)
                    _check(folder, who, total=total, files=files)
                turns[who].append(turn)
                say(f"{who}: {turn.seconds:.1f} s, {turn.cpu:.1f} s of CPU, {turn.memory:.0f} MiB")
        with _fresh(root / "killed") as folder:
            kills = killed_three_times(folder, server, listing, total=total, files=files)
        say(f"killed three times: {kills.sent / 1e6:.0f} MB sent, {kills.again:+.1%}")
    return Measured(
        files=files,
        bytes=total,
        ours=tuple(turns["ours"]),
        rclone=tuple(turns["rclone"]),
        kills=kills,
    )


def fill(server: S3, made: Path, *, files: int, size: int) -> int:
    """Random files of half to one and a half of the same size, brought there by rclone, a folder at a time so that
    they take little room twice; gives the bytes of all.
    """
    dice, total = random.Random(SEED), 0
    for first in range(0, files, _IN_A_FOLDER):
        folder = f"{first // _IN_A_FOLDER:03}"
        (made / folder).mkdir(parents=True)
        for number in range(first, min(files, first + _IN_A_FOLDER)):
            length = int(size / files * dice.uniform(0.5, 1.5))
            (made / folder / f"{number:05}.bin").write_bytes(dice.randbytes(length))
            total += length
        argv = [*_rclone(), str(made / folder), f"store:{BUCKET}/{FOLDER}/{folder}"]
        subprocess.run(argv, env=_rclone_environment(server), check=True, capture_output=True)
        shutil.rmtree(made / folder)
    return total


def followed(process: subprocess.Popen[str]) -> Turn:
    """Waits for a process. Raises RuntimeError when it fails."""
    began, memory, cpu = time.monotonic(), 0.0, 0.0
    while process.poll() is None:
        memory = max(memory, peak_memory(process.pid))
        try:
            cpu = usage.cpu_seconds(process.pid)
        except (OSError, IndexError):
            break
        time.sleep(_POLL_SECONDS)
    process.wait()
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} has failed with {process.returncode}")
    return Turn(seconds=seconds, cpu=cpu, memory=memory)


def peak_memory(pid: int) -> float:
    """MiB; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def killed_three_times(root: Path, server: S3, listing: str, *, total: int, files: int) -> Kills:
    """Killed when a quarter, a half and three quarters have come, then left alone."""
    memory, began = 0.0, time.monotonic()
    with wiretap.tapping(server.port) as tap:
        # NB: another endpoint is another origin, and so another listing.
        one = _puller(root, tap.endpoint, server)
        listing = str(one.survey().word["listing"])
        tap.forget()
        for share in (0.25, 0.5, 0.75, None):
            process = one.start(listing)
            while process.poll() is None and (share is None or tap.sent < share * total):
                memory = max(memory, peak_memory(process.pid))
                time.sleep(_POLL_SECONDS)
            if share is not None:
                process.kill()
            if process.wait() != (0 if share is None else -9):
                raise RuntimeError(f"the puller ended with {process.returncode} at {share}: {root / 'log'}")
        sent = tap.sent
    _check(root, "ours", total=total, files=files)
    return Kills(total=total, sent=sent, seconds=time.monotonic() - began, memory=memory)


def _start(who: str, folder: Path, server: S3, listing: str) -> subprocess.Popen[str]:
    if who == "ours":
        return _puller(folder, server.endpoint, server).start(listing)
    argv = [*_rclone(), f"store:{BUCKET}/{FOLDER}", str(folder / "volume" / "data")]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(argv, env=_rclone_environment(server), stdout=log, stderr=log, text=True)


def _puller(folder: Path, endpoint: str, server: S3) -> Puller:
    source = {"uri": SOURCE, "endpoint": endpoint, "region": "us-east-1"}
    secret = {name: server.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return Puller(folder, source, secret=secret)


def _rclone() -> list[str]:
    program = binaries.ensure("rclone")["rclone"]
    return [str(program), "copy", f"--transfers={FILES}", f"--checkers={FILES}", "--stats=0", "--quiet"]


def _rclone_environment(server: S3) -> Mapping[str, str]:
    told = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ACCESS_KEY_ID": s3.ACCESS_KEY,
        "SECRET_ACCESS_KEY": s3.SECRET_KEY,
        "ENDPOINT": server.endpoint,
        "REGION": "us-east-1",
    }
    ours = {f"RCLONE_CONFIG_STORE_{name}": value for name, value in told.items()}
    return {**os.environ, **ours, "RCLONE_CONFIG": "/dev/null"}


def _check(root: Path, who: str, *, total: int, files: int) -> None:
    found = [path.stat().st_size for path in (root / "volume" / "data").rglob("*") if path.is_file()]
    if (len(found), sum(found)) != (files, total):
        raise RuntimeError(f"{who} has pulled {len(found)} files, {sum(found)} bytes, of {files} and {total}")


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty folder; gone afterwards."""
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def table(measured: Measured) -> str:
    """Markdown."""
    both, kills = (measured.ours, measured.rclone), measured.kills
    seconds, cpu = (
        [statistics.median(getattr(turn, key) for turn in turns) for turns in both]
        for key in ("seconds", "cpu")
    )
    peaks = [max(turn.memory for turn in turns) for turns in both]
    rows = [
        ("seconds", [f"{one:.1f}" for one in seconds]),
        ("MB a second", [f"{measured.bytes / 1e6 / one:.0f}" for one in seconds]),
        ("seconds of CPU", [f"{one:.1f}" for one in cpu]),
        ("memory at most, MiB", [f"{one:.0f}" for one in peaks]),
    ]
    day = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            f"{measured.files:,} files, {measured.bytes / 1e9:.2f} GB, {FILES} at once, on {day} on a machine with"
            f" {os.cpu_count()} cores, which the server shares; the median of {len(measured.ours)} turns each.",
            f"**{measured.share:.0%} of rclone's speed**; {WANTED_SHARE:.0%} is asked for.",
            "",
            "| | `trainyard-agent pull` | `rclone copy` |",
            "| --- | --- | --- |",
            *(f"| {title} | {' | '.join(values)} |" for title, values in rows),
            "",
            "Killed (SIGKILL) at a quarter, a half and three quarters, and started again each time: the server sent",
            f"{kills.sent / 1e9:.2f} GB for {kills.total / 1e9:.2f} GB ({kills.again:+.1%}); the puller took"
            f" {kills.memory:.0f} MiB at most.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; 1 when speed or memory is not what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, help="a JSON file for what was measured")
    parser.add_argument("--document", type=Path, help="a document whose figures are replaced")
    asked = parser.parse_args(argv)
    top = cache.root() / "bench"
    top.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=top, prefix="pull-") as folder,
        console.step("Pulling beside rclone") as step,
    ):
        measured = measure(
            Path(folder),
            files=asked.files,
            size=asked.megabytes * 1_000_000,
            rounds=asked.rounds,
            say=step.say,
        )
    print(text := table(measured))
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps({**asdict(measured), "share": measured.share}))
    if asked.document:
        asked.document.write_text(report.into(asked.document.read_text(), text))
    return int(measured.share < WANTED_SHARE or measured.memory > WANTED_MEMORY)


if __name__ == "__main__":
    sys.exit(main())
