"""Files on their way to a real `trainyard-agent receive`: what it has is not sent again, what breaks once more."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from trainyard.cli import localfiles, pushing
from trainyard.cli.exits import CommandError
from trainyard.cli.transfers import Transfer
from trainyard.cli.tunnel import TunnelCut

AGENT = Path(__file__).parents[3] / "images/agent/src"
START = "import sys; from trainyard_agent.intake import receive; sys.exit(receive(sys.argv[1:]))"
TOKEN = "a-token"
PART = 8 << 20


class Http:
    """The receiver over plain HTTP. `cut` says, by the path and the number of the request, where the line is cut."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent = 0
        self.asked: list[str] = []
        self.cut: Any = lambda path, number: ""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Http]:
        yield self

    async def json(self, path: str) -> dict[str, Any]:
        return dict(json.loads(await self._ask("GET", path, b"")))

    async def whole(self, path: str) -> bytes:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: Sequence[bytes] = ()) -> dict[str, Any]:
        return dict(json.loads(await self._ask("POST", path, b"".join(body))))

    async def _ask(self, method: str, path: str, body: bytes) -> bytes:
        self.asked.append(path)
        cut = self.cut(path, self.asked.count(path))
        if cut == "before":
            raise TunnelCut("lost")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, self.url + path, data=io.BytesIO(body) if body else None) as answer,
        ):
            said = await answer.read()
            if answer.status >= 400:
                raise CommandError(json.loads(said)["error"])
        self.sent += len(body) if path == "/pieces" else 0
        if cut == "after":
            raise TunnelCut("lost")
        return said


@contextmanager
def receiving(volume: Path) -> Iterator[Http]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    task = {
        "dataset": "digits",
        "volume": str(volume),
        "tokenSha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", START, f"--port={port}"],
        env={**os.environ, "TRAINYARD_RECEIVE": json.dumps(task), "PYTHONPATH": str(AGENT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Receiving on 127.0.0.1")
        yield Http(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_PAUSE_SECONDS", 0.01)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in range(1200):
        file = root / f"part-{number % 7}/{number}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * (number % 50))
    (root / "big.bin").write_bytes(os.urandom(5 * PART + 17))
    return root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


async def wanted(root: Path) -> pushing.Wanted:
    found = localfiles.find(root)
    files = await localfiles.digested(found.files, Transfer(files=0, size=0))
    return pushing.Wanted(files=files, sha256=localfiles.digest_of(files))


async def push(content: pushing.Wanted, receiver: Http) -> pushing.Pushed:
    """And the bar is full at the end."""
    view = Transfer(files=len(content.files), size=content.size)
    pushed = await pushing.push(content, receiver.opened, view)
    assert (view.done_files, view.done_size) == (view.files, view.size)
    return pushed


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


async def test_a_folder_arrives_as_it_is_in_few_requests(root: Path, volume: Path) -> None:
    content = await wanted(root)
    with receiving(volume) as receiver:
        pushed = await push(content, receiver)
        assert pushed.there == 0
        assert pushed.published["sha256"] == content.sha256
        assert (pushed.published["files"], pushed.published["bytes"]) == (1201, content.size)
        assert receiver.asked.count("/pieces") == 6 + 3, "parts of the large one, and small ones together"
        assert contents(volume / "data") == contents(root)
        sent = receiver.sent
        again = await push(content, receiver)
        assert (again.published, again.there) == (pushed.published, content.size)
        assert receiver.sent == sent, "nothing is sent twice"


async def test_what_has_come_before_a_break_is_not_sent_again(root: Path, volume: Path) -> None:
    content = await wanted(root)
    with receiving(volume) as receiver:
        receiver.cut = lambda path, number: "before" if path == "/pieces" and number > 4 else ""
        with pytest.raises(CommandError, match=r"cut again and again .* it goes on where it stopped"):
            await push(content, receiver)
        first = receiver.sent
        assert 0 < first < content.size
    with receiving(volume) as receiver:
        pushed = await push(content, receiver)
        assert 0 < pushed.there < content.size
        assert receiver.sent + first < content.size + 400 * len(content.files), "but for the heads"
    assert contents(volume / "data") == contents(root)


async def test_answers_that_are_lost_do_no_harm(root: Path, volume: Path) -> None:
    content = await wanted(root)
    with receiving(volume) as receiver:
        receiver.cut = lambda path, number: "after" if number % 2 else ""
        await push(content, receiver)
    assert contents(volume / "data") == contents(root)


async def test_a_folder_that_was_changed_after_a_break_arrives_as_it_is_now(root: Path, volume: Path) -> None:
    with receiving(volume) as receiver:
        receiver.cut = lambda path, number: "before" if path == "/finish" else ""
        with pytest.raises(CommandError):
            await push(await wanted(root), receiver)
    (root / "part-0/0.csv").write_text("other")
    (root / "part-1/1.csv").unlink()
    (root / "part-1/1.csv").mkdir()
    (root / "part-1/1.csv/now a folder.csv").write_text("x")
    with (root / "big.bin").open("r+b") as big:
        big.write(b"changed")
    with receiving(volume) as receiver:
        content = await wanted(root)
        pushed = await push(content, receiver)
        assert 0 < pushed.there < content.size - 5 * PART
        assert "/remove" in receiver.asked
    assert contents(volume / "data") == contents(root)


async def test_a_file_that_is_damaged_on_the_way_is_sent_once_more(
    root: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = await wanted(root)
    read, spoilt = localfiles.read, set[tuple[str, int]]()

    def damaged(file: localfiles.LocalFile, offset: int, size: int) -> bytes:
        data = read(file, offset, size)
        if file.path in ("big.bin", "part-3/3.csv") and (file.path, offset) not in spoilt:
            spoilt.add((file.path, offset))
            return b"?" * len(data)
        return data

    monkeypatch.setattr(localfiles, "read", damaged)
    with receiving(volume) as receiver:
        await push(content, receiver)
    assert contents(volume / "data") == contents(root)


async def test_a_file_that_never_arrives_right_is_told(
    root: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = await wanted(root)
    read = localfiles.read

    def damaged(file: localfiles.LocalFile, offset: int, size: int) -> bytes:
        return b"?" * size if file.path == "part-3/3.csv" else read(file, offset, size)

    monkeypatch.setattr(localfiles, "read", damaged)
    with receiving(volume) as receiver:
        with pytest.raises(CommandError, match=r"^part-3/3\.csv did not arrive: it has another SHA-256"):
            await push(content, receiver)
        assert not (volume / "data").exists()


async def test_a_file_that_is_changed_while_others_are_sent_ends_it(root: Path, volume: Path) -> None:
    content = await wanted(root)
    (root / "part-0/0.csv").write_text("changed")
    with (
        receiving(volume) as receiver,
        pytest.raises(CommandError, match="was changed while it was being pushed"),
    ):
        await push(content, receiver)
    assert not (volume / "data").exists()


async def test_a_volume_that_holds_other_data_is_told(root: Path, volume: Path) -> None:
    with receiving(volume) as receiver:
        await push(await wanted(root), receiver)
        (root / "more.csv").write_text("x")
        with pytest.raises(pushing.Occupied):
            await push(await wanted(root), receiver)


async def test_a_volume_without_room_is_told_before_anything_is_sent(root: Path, volume: Path) -> None:
    content = await wanted(root)
    with receiving(volume) as receiver:
        huge = pushing.Wanted(
            files=[
                localfiles.LocalFile(
                    path="huge", source=root / "big.bin", size=1 << 60, modified=0, sha256="0" * 64
                ),
                *content.files,
            ],
            sha256=content.sha256,
        )
        with pytest.raises(CommandError, match=r"push it again with a larger --size"):
            await push(huge, receiver)
        assert receiver.sent == 0


async def test_what_the_receiver_refuses_ends_it_with_its_sentence(root: Path, volume: Path) -> None:
    bad = localfiles.LocalFile(path="../out", source=root / "empty", size=0, modified=0, sha256="0" * 64)
    (root / "empty").write_bytes(b"")
    bad = replace(bad, modified=(root / "empty").stat().st_mtime_ns)
    with receiving(volume) as receiver, pytest.raises(CommandError) as refused:
        await push(pushing.Wanted(files=[bad], sha256="0" * 64), receiver)
    assert refused.value.message.startswith("The name '../out' is refused: it climbs out of the folder.")
    assert not (volume.parent / "out").exists()
