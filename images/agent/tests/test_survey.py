"""`trainyard-agent survey`: what pins a source, and what is told of one that cannot be pulled."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainyard_agent import listings, patience
from trainyard_agent.dataorder import DataOrder, read_data_order
from trainyard_agent.listings import Collector, Entry, pinned
from trainyard_agent.surveying import survey
from trainyard_agent.troubles import Trouble

Ordered = Callable[..., DataOrder]
Files = Any
SOURCES = Path(__file__).parents[1] / "src"


def listed(*entries: Entry, **more: Any) -> listings.Listing:
    collector = Collector(place="s3://b")
    for entry in entries:
        collector.add(entry)
    told = {"place": "s3://b", "origin": "s3://b", "revision": "", "single": False, "unpack": False, **more}
    return pinned(collector, **told)


A, B = Entry("a", 1, "1"), Entry("b", 2, "2")


def test_the_digest_is_of_what_would_be_pulled_and_of_nothing_else() -> None:
    digest = listed(A, B).digest
    assert listed(B, A).digest == digest
    assert listed(A, B).revision == digest[:12]
    others = [
        listed(A),
        listed(A, B._replace(path="c")),
        listed(A, B._replace(size=3)),
        listed(A, B._replace(version="3")),
        listed(A, B, unpack=True),
        listed(A, B, origin="s3://another"),
        listed(A, B, wanted="0" * 64),
    ]
    assert len({digest, *(other.digest for other in others)}) == 8


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["../a"], "climbs out"),
        (["a/../../b"], "climbs out"),
        (["/etc/passwd"], "absolute"),
        (["a\nb"], "control characters"),
        (["x" * 300], "more than 255 bytes"),
        (["a", "a"], "there twice"),
        (["a", "a/b"], "a file and of a folder"),
    ],
)
def test_names_that_are_no_files_are_hostile(paths: list[str], said: str) -> None:
    with pytest.raises(Trouble, match=said) as raised:
        listed(*(A._replace(path=path) for path in paths))
    assert raised.value.kind == "hostile"


def test_more_files_than_fit_into_memory_are_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listings, "MOST_FILES", 2)
    with pytest.raises(Trouble, match="pack them into archives") as raised:
        listed(*(A._replace(path=str(number)) for number in range(3)))
    assert raised.value.kind == "unsupported"


def test_nothing_to_pull_is_told_with_what_the_filters_left_out() -> None:
    with pytest.raises(Trouble, match=r"nothing to pull at s3://b: check"):
        listed()
    collector = Collector(place="s3://b", filters=["*.csv"])
    collector.add(A)
    with pytest.raises(Trouble, match="1 files there match none") as raised:
        pinned(collector, place="s3://b", origin="", revision="", single=False, unpack=False)
    assert raised.value.kind == "empty"


def test_a_file_is_pinned_by_its_etag(files: Files, ordered: Ordered) -> None:
    files.contents["a b.csv"] = b"x,y\n"
    said = survey(ordered(uri=files.url("a b.csv")))
    etag = hashlib.md5(b"x,y\n").hexdigest()
    assert said == {
        "listing": said["listing"],
        "revision": etag,
        "bytes": 4,
        "files": 1,
        "archive": False,
        "unpackedBytes": None,
    }
    files.contents["a b.csv"] = b"x,z\n"
    assert survey(ordered(uri=files.url("a b.csv")))["listing"] != said["listing"]


def test_an_empty_file_and_one_whose_server_knows_no_ranges_have_their_sizes(
    files: Files, ordered: Ordered
) -> None:
    files.contents |= {"empty": b"", "plain": b"12345"}
    files.without_ranges.add("plain")
    listed_files = [{"url": files.url(name)} for name in ("empty", "plain")]
    said = survey(ordered(files=listed_files))
    assert (said["bytes"], said["files"]) == (5, 2)


def test_a_file_of_unknown_size_is_read_once_to_know_it(files: Files, ordered: Ordered) -> None:
    files.contents["made.csv"] = b"x" * 100_000
    files.without_length.add("made.csv")
    said = survey(ordered(uri=files.url("made.csv")))
    assert said["bytes"] == 100_000
    assert said["revision"] == f"sha256:{hashlib.sha256(b'x' * 100_000).hexdigest()}"


def test_how_large_an_archive_becomes_is_told_where_it_says_so(files: Files, ordered: Ordered) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"{number}.txt", b"0" * 10_000)
        archive.writestr("noise", os.urandom(1 << 20))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as compressed:
        compressed.addfile(tarfile.TarInfo("a"))
    files.contents |= {"set.zip": packed.getvalue(), "set.tar.gz": tar.getvalue(), "broken.zip": b"PK" * 50}
    assert survey(ordered(uri=files.url("set.zip")))["unpackedBytes"] == 3_000_000 + (1 << 20)
    assert files.sent < 700_000, "only the list of its files is read"
    assert survey(ordered(uri=files.url("set.tar.gz")))["unpackedBytes"] is None
    assert survey(ordered(uri=files.url("broken.zip")))["unpackedBytes"] is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"uri": "pvc://claim/folder"}, "nothing is pulled"),
        ({"uri": "ngc:team/set:1"}, "NVIDIA's registry is not read"),
        ({"uri": "ftp://host/file"}, "the kinds that are pulled are"),
        ({"uri": "https://host/file", "fileType": "folder"}, "knows neither folders nor revisions"),
        ({"uri": "https://host/file", "revision": "1"}, "knows neither folders nor revisions"),
        ({"uri": "https://host/folder/"}, "no file's name"),
        ({"uri": "http://host/file", "endpoint": ""}, "which is not https://"),
        ({"uri": "hf://datasets"}, "names no repository"),
    ],
)
def test_what_cannot_be_pulled_is_unsupported(ordered: Ordered, source: dict[str, Any], said: str) -> None:
    with pytest.raises(Trouble, match=said) as raised:
        survey(ordered(**source))
    assert raised.value.kind == "unsupported"


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("status", "kind"), [(401, "forbidden"), (403, "forbidden"), (404, "missing"), (410, "missing")]
)
def test_refusals_are_told_apart(files: Files, ordered: Ordered, status: int, kind: str) -> None:
    files.statuses["a"] = [status] * 100
    with pytest.raises(Trouble, match=f"{files.url('a')}.*{status}") as raised:
        survey(ordered(uri=f"{files.url('a')}?signature=SECRET"))
    assert raised.value.kind == kind
    assert "SECRET" not in str(raised.value)


@pytest.mark.usefixtures("soon")
def test_a_server_that_is_busy_or_away_is_the_network(
    files: Files, ordered: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.contents["a"] = b"1"
    files.statuses["a"] = [503, 429, 500]
    assert survey(ordered(uri=files.url("a")))["bytes"] == 1
    monkeypatch.setattr("trainyard_agent.surveying.TOLERANCE_SECONDS", 0.1)
    away = "http://127.0.0.1:9"
    with pytest.raises(Trouble, match=r"cannot be reached \(.*refused") as raised:
        survey(ordered(uri=f"{away}/a", endpoint=away))
    assert raised.value.kind == "network"


@pytest.mark.usefixtures("soon")
def test_a_token_is_for_the_server_that_was_named_and_read_again_when_it_is_refused(
    files: Files, ordered: Ordered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LASTING_SECONDS", 10.0)
    files.contents["a"] = b"1"
    files.token = "new"
    order = ordered(uri=files.url("a"))
    token = order.secret / "token"
    token.write_text("old\n")
    files.before = lambda _: token.write_text("new\n") if len(files.asked) == 2 else None
    assert survey(order)["bytes"] == 1
    assert files.told[0] == "Bearer old"
    assert files.told[-1] == "Bearer new"
    # The same server by another name is another server.
    files.token = ""
    files.moved["b"] = f"http://localhost:{files.port}/a"
    survey(ordered(uri=files.url("b")))
    assert files.told[-2:] == ["Bearer new", None]


def test_what_comes_with_a_redirect_is_not_waited_for(files: Files, ordered: Ordered) -> None:
    files.contents["a.csv"] = b"1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def lead_on_and_say_no_more() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                head = f"HTTP/1.1 302 Found\r\nLocation: {files.url('a.csv')}\r\nContent-Length: {1 << 40}\r\n\r\n"
                connection.sendall(head.encode())
                connection.recv(1)

        thread = threading.Thread(target=lead_on_and_say_no_more, daemon=True)
        thread.start()
        begun = time.monotonic()
        assert survey(ordered(uri=f"{address}/b.csv", endpoint=address))["bytes"] == 1
        assert time.monotonic() - begun < 30
        thread.join()


def test_user_and_password_are_basic_authentication(files: Files, ordered: Ordered) -> None:
    files.contents["a"] = b"1"
    order = ordered(uri=files.url("a"))
    (order.secret / "username").write_text("me")
    (order.secret / "password").write_text("pass:word")
    survey(order)
    assert files.told == [f"Basic {base64.b64encode(b'me:pass:word').decode()}"]


@pytest.mark.parametrize(
    "said", ["", "[]", "{}", '{"namespace": "n", "dataset": "d", "source": {"sha256": "xyz"}}']
)
def test_an_order_that_cannot_be_read_names_the_versions(said: str) -> None:
    with pytest.raises(Trouble, match="of different versions") as raised:
        read_data_order({"TRAINYARD_DATA": said})
    assert raised.value.kind == "broken"


def test_the_last_word_is_json_with_a_kind(tmp_path: Path) -> None:
    order = {"namespace": "n", "dataset": "d", "source": {"uri": "pvc://claim"}}
    environ = {**os.environ, "PYTHONPATH": str(SOURCES), "TRAINYARD_DATA": json.dumps(order)}
    environ["TRAINYARD_TERMINATION_LOG"] = str(tmp_path / "word")
    ended = subprocess.run(
        [sys.executable, "-m", "trainyard_agent", "survey"], env=environ, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert json.loads((tmp_path / "word").read_text())["kind"] == "unsupported"


def test_what_other_commands_do_loads_nothing_of_it() -> None:
    program = "import sys; from trainyard_agent import __main__, bucket, credentials; print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert not {"obstore", "urllib3", "ssl"}.intersection(loaded.stdout.split())
