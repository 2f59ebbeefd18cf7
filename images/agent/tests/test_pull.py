"""`trainyard-agent pull`: what comes, what is kept after a kill, and what is told when it fails."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard_agent import staging, transfer
from trainyard_agent.dataorder import VARIABLE, DataOrder
from trainyard_agent.listings import Entry
from trainyard_agent.progress import Progress
from trainyard_agent.pulling import pull
from trainyard_agent.staging import Staging
from trainyard_agent.surveying import survey
from trainyard_agent.troubles import Trouble

Ordered = Callable[..., DataOrder]
Files = Any
MIB = 1 << 20
SOURCES = Path(__file__).parents[1] / "src"
# On two busy cores, starting is what takes longest.
SECONDS = 60.0


def pulled(order: DataOrder) -> dict[str, Any]:
    return pull(order, Progress())


def there(order: DataOrder) -> dict[str, bytes]:
    """What jobs would see."""
    top = order.volume / "data"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def failure(order: DataOrder) -> tuple[str, str]:
    """Kind and sentence; nothing is published."""
    with pytest.raises(Trouble) as raised:
        pulled(order)
    assert not (order.volume / "data").exists()
    assert not (order.volume / "published.json").exists()
    return raised.value.kind, str(raised.value)


def urls(files: Files, *names: str) -> list[dict[str, str]]:
    return [{"url": files.url(name), "path": name} for name in names]


@pytest.fixture
def process(ordered: Ordered, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a pull as the pod does."""
    started: list[subprocess.Popen[str]] = []

    def start(
        listing: str = "", *, before: Callable[[], None] | None = None, **source: Any
    ) -> subprocess.Popen[str]:
        order = ordered(listing, **source)
        said = {
            "namespace": "team",
            "dataset": "digits",
            "source": {"endpoint": order.source.place.endpoint, **source},
            "volume": str(order.volume),
            "listing": listing,
        }
        environ = {**os.environ, "PYTHONPATH": str(SOURCES), VARIABLE: json.dumps(said)}
        environ |= {
            "TRAINYARD_SECRETS": str(tmp_path / "secrets"),
            "TRAINYARD_TERMINATION_LOG": str(tmp_path / "word"),
        }
        one = subprocess.Popen(
            [sys.executable, "-m", "trainyard_agent", "pull"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=before,
        )
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        one.communicate()


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


NAMES = ["train.csv", "empty", "images/é ü %41 ☃/0001.png", "a b/c (copy).txt", "日本/語", "'q'$(x)", "[1]*"]


def test_files_of_all_names_and_sizes_come(
    files: Files, process: Callable[..., subprocess.Popen[str]], tmp_path: Path, ordered: Ordered
) -> None:
    files.contents = {name: os.urandom(10_000) for name in NAMES} | {
        "empty": b"",
        "large": os.urandom(9 * MIB + 123),
    }
    source = {"files": urls(files, *files.contents)}
    listing = survey(ordered(**source))["listing"]
    one = process(listing, **source)
    out, _ = one.communicate(timeout=SECONDS)
    word = json.loads((tmp_path / "word").read_text())
    assert one.returncode == 0, word
    order = ordered(listing, **source)
    assert there(order) == files.contents
    size = sum(map(len, files.contents.values()))
    lines = sorted(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.contents.items())
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert word == {"listing": listing, "sha256": digest, "bytes": size, "files": 8, "pulled": size}
    last = json.loads(out.splitlines()[-1])["pull"]
    assert (last["bytes"], last["totalBytes"], last["files"], last["totalFiles"]) == (size, size, 8, 8)
    assert (last["percent"], last["eta"]) == (100.0, "0:00:00")
    assert sorted(os.listdir(order.volume)) == ["data", "published.json"]
    asked = len(files.asked)
    assert pulled(order) == {**word, "pulled": 0}
    assert len(files.asked) == asked, "the source is not asked again"


def test_killed_three_times_it_pulls_again_only_what_was_under_way(
    files: Files, process: Callable[..., subprocess.Popen[str]], tmp_path: Path, ordered: Ordered
) -> None:
    files.contents = {f"{number:02}": os.urandom(MIB // 2) for number in range(32)} | {
        "large": os.urandom(32 * MIB)
    }
    total = sum(map(len, files.contents.values()))
    source = {"files": urls(files, *files.contents)}
    listing = survey(ordered(**source))["listing"]
    files.sent, files.rate = 0, 6 * MIB
    for share in (0.25, 0.5, 0.75):
        one = process(listing, **source)
        until(lambda share=share: files.sent > share * total)
        one.kill()
        assert one.wait() == -signal.SIGKILL
        assert not (tmp_path / "volume" / "data").exists()
    files.rate = None
    assert process(listing, **source).wait(timeout=SECONDS) == 0
    assert there(ordered(listing, **source)) == files.contents
    word = json.loads((tmp_path / "word").read_text())
    # NB: each request that was under way has sent up to its MiB, and up to as much may lie in the sockets' buffers.
    assert files.sent < total + 3 * transfer.AT_ONCE * 2 * MIB
    assert word["pulled"] < 0.7 * total


def test_told_to_end_it_ends_at_once_and_another_goes_on(
    files: Files, process: Callable[..., subprocess.Popen[str]], ordered: Ordered
) -> None:
    files.contents = {"large": os.urandom(24 * MIB)}
    source = {"uri": files.url("large")}
    files.rate = MIB
    one = process(**source)
    until(lambda: files.sent > 10 * MIB)
    one.terminate()
    assert one.wait(timeout=2.0) == 143
    files.rate, files.sent = None, 0
    assert pulled(ordered(**source))["pulled"] < 24 * MIB
    assert files.sent < 24 * MIB


def test_a_small_file_goes_where_its_digest_says(files: Files, ordered: Ordered) -> None:
    files.contents["a.csv"] = b"1"
    digest = hashlib.sha256(b"1").hexdigest()
    assert pulled(ordered(uri=files.url("a.csv"), sha256=digest.upper()))["sha256"] == digest


@pytest.mark.parametrize("of_the_file", [True, False])
def test_another_digest_than_was_said_is_a_mismatch(
    files: Files, ordered: Ordered, of_the_file: bool
) -> None:
    files.contents["a.csv"] = b"1"
    wrong = {"sha256": "0" * 64}
    source = (
        {"files": [{"url": files.url("a.csv"), **wrong}]}
        if of_the_file
        else {"uri": files.url("a.csv"), **wrong}
    )
    kind, sentence = failure(ordered(**source))
    assert kind == "mismatch"
    assert hashlib.sha256(b"1").hexdigest() in sentence


def a_tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return packed.getvalue()


@pytest.mark.parametrize("name", ["a.csv", "a.tar"])
def test_what_is_published_is_not_taken_for_what_has_another_digest(
    files: Files, ordered: Ordered, name: str
) -> None:
    files.contents[name] = a_tar() if name.endswith(".tar") else b"1"
    source = {"uri": files.url(name)}
    listing = survey(ordered(**source))["listing"]
    pulled(ordered(listing, **source))
    source["sha256"] = "0" * 64
    other = survey(ordered(**source))["listing"]
    assert other != listing
    with pytest.raises(Trouble, match=r"as source\.sha256 says") as raised:
        pulled(ordered(other, **source))
    assert raised.value.kind == "mismatch"
    source["sha256"] = hashlib.sha256(files.contents[name]).hexdigest()
    pulled(ordered(survey(ordered(**source))["listing"], **source))


def test_a_large_file_whose_server_tells_no_version_is_never_of_two_contents(
    files: Files, ordered: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [os.urandom(5 * MIB), os.urandom(5 * MIB)]
    files.contents["a"] = both[0]
    monkeypatch.setattr("trainyard_agent.websource._version", lambda answer: "")

    def change(path: str) -> None:
        if len(files.asked) > 3:
            files.contents["a"] = both[1]

    files.before = change
    order = ordered(uri=files.url("a"))
    pulled(order)
    assert there(order)["a"] in both


def test_a_large_file_that_is_damaged_on_the_way_is_fetched_anew(
    files: Files, ordered: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(5 * MIB)
    damaged = bytes(MIB) + data[MIB:]
    files.contents["a"] = data
    etag = itertools.chain([damaged] * 3, itertools.repeat(data))
    order = ordered(files=[{"url": files.url("a"), "sha256": hashlib.sha256(data).hexdigest()}])
    survey(order)

    def bad(path: str) -> None:
        files.contents["a"] = next(etag)

    # One server that gives its own ETag with wrong bytes cannot be had: the digest is compared, and that alone.
    monkeypatch.setattr("trainyard_agent.websource._version", lambda answer: "")
    files.before = bad
    assert pulled(order)["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [1000, 6 * MIB], ids=["small", "large"])
def test_what_changes_is_told_and_nothing_of_it_is_published(
    files: Files, ordered: Ordered, size: int
) -> None:
    files.contents = {"a": os.urandom(size), "b": os.urandom(size)}
    source = {"files": urls(files, "a", "b")}
    listing = survey(ordered(**source))["listing"]
    files.contents["b"] = os.urandom(size)
    kind, sentence = failure(ordered(listing, **source))
    assert (kind, "since it was surveyed" in sentence) == ("changed", True)
    # In the middle of the pull: the survey and the pull ask twice each for the sizes.
    begun = len(files.asked)

    def change(path: str) -> None:
        if path == "b" and len(files.asked) > begun + 4:
            files.contents["b"] = b"x" * size

    files.before = change
    listing = survey(ordered(**source))["listing"]
    kind, sentence = failure(ordered(listing, **source))
    assert (kind, "b has changed" in sentence) == ("changed", True)


@pytest.mark.usefixtures("soon")
def test_answers_that_are_cut_and_refusals_that_pass_are_outlasted(files: Files, ordered: Ordered) -> None:
    files.contents = {"a": os.urandom(MIB), "b": os.urandom(8 * MIB)}
    files.cuts = {"a": [1000, 500_000], "b": [0, 100, 700_000]}
    files.statuses = {"b": [503, 403]}
    order = ordered(files=urls(files, "a", "b"))
    said = pulled(order)
    assert there(order) == files.contents
    assert said["pulled"] == 9 * MIB


@pytest.mark.usefixtures("soon")
def test_a_server_without_ranges_gives_large_files_as_well(files: Files, ordered: Ordered) -> None:
    files.contents = {"a": os.urandom(5 * MIB), "b": os.urandom(3 * MIB)}
    files.without_ranges.add("a")
    files.without_length.add("b")
    order = ordered(files=urls(files, "a", "b"))
    pulled(order)
    assert there(order) == files.contents


@pytest.mark.usefixtures("soon")
def test_credentials_that_are_revoked_in_the_middle_are_told_apart(files: Files, ordered: Ordered) -> None:
    files.contents = {f"{number}": os.urandom(1000) for number in range(30)}
    files.token = "good"
    order = ordered(files=urls(files, *files.contents))
    (order.secret / "token").write_text("good")

    def revoke(path: str) -> None:
        if len(files.asked) > 45:
            files.token = "another"

    files.before = revoke
    kind, sentence = failure(order)
    assert (kind, "Secret" in sentence, "good" in sentence) == ("forbidden", True, False)
    # With the right Secret another pod goes on with what is there.
    files.before = lambda _: None
    (order.secret / "token").write_text("another")
    assert pulled(order)["pulled"] < 30_000
    assert there(order) == files.contents


@pytest.mark.usefixtures("soon")
def test_one_of_many_that_is_gone_is_missing(files: Files, ordered: Ordered) -> None:
    files.contents = {"a": b"1", "b": b"2"}
    kind, sentence = failure(ordered(files=urls(files, "a", "none", "b")))
    assert (kind, "none" in sentence) == ("missing", True)


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "volume"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_volume_that_is_too_small_is_told_before_anything_is_pulled(
    files: Files, ordered: Ordered, small_volume: Path
) -> None:
    files.contents["a"] = os.urandom(2 * MIB)
    kind, sentence = failure(ordered(uri=files.url("a")))
    assert (kind, "spec.cache.size" in sentence, "2.0 MiB are still to come" in sentence) == (
        "full",
        True,
        True,
    )
    assert files.sent <= 1, "but for the first byte"


def test_a_volume_that_others_fill_is_full(files: Files, ordered: Ordered, small_volume: Path) -> None:
    files.contents = {"a": os.urandom(MIB // 4), "b": os.urandom(MIB // 2)}
    order = ordered(files=urls(files, *files.contents))
    filled, one_at_a_time = threading.Event(), threading.Lock()

    def fill_once(_: str) -> None:
        # NB: requests come beside each other, and one may still be under way when the pull has failed.
        with one_at_a_time:
            if len(files.asked) > 2 and not filled.is_set():
                (small_volume / "foreign").write_bytes(bytes(MIB // 2))
                filled.set()

    files.before = fill_once
    kind, sentence = failure(order)
    assert (kind, "no room for" in sentence) == ("full", True)
    assert filled.wait(5)
    (small_volume / "foreign").unlink()
    pulled(order)
    assert there(order) == files.contents


def test_a_file_that_a_killed_pull_has_left_half_written_is_no_reason_to_be_full(
    files: Files, ordered: Ordered, small_volume: Path
) -> None:
    files.contents = {"a": os.urandom(MIB * 3 // 4)}
    order = ordered(files=urls(files, "a"))
    listed = survey(order)["listing"]
    order = ordered(files=urls(files, "a"), listing=listed)
    left = small_volume / f".pulling-{listed[:16]}" / "files"
    left.mkdir(parents=True)
    (left / "a").write_bytes(bytes(MIB // 2))
    pulled(order)
    assert there(order) == files.contents


def test_an_archive_is_unpacked_and_does_not_stay(files: Files, ordered: Ordered) -> None:
    packed, inside = io.BytesIO(), {"images/a.png": os.urandom(5000), "labels.csv": b"1\n"}
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, data in inside.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    files.contents["set.tar.gz"] = packed.getvalue()
    order = ordered(uri=files.url("set.tar.gz"), sha256=hashlib.sha256(packed.getvalue()).hexdigest())
    said = pulled(order)
    assert there(order) == inside
    assert (said["files"], said["bytes"], said["pulled"]) == (2, 5002, len(packed.getvalue()))
    assert sorted(os.listdir(order.volume)) == ["data", "published.json"]


@pytest.mark.usefixtures("soon")
def test_of_an_archive_that_was_killed_while_it_was_unpacked_nothing_is_pulled_again(
    files: Files, ordered: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    files.contents["set.tar"] = packed.getvalue()
    order = ordered(uri=files.url("set.tar"))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainyard_agent.pulling.unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        pulled(order)
    monkeypatch.undo()
    assert pulled(order)["pulled"] == 0
    assert there(order) == {"a": b""}


BIG = Entry("deep/big", 10 * MIB, "1")


def staged(volume: Path) -> Staging:
    one = Staging(volume, "f" * 64)
    one.open()
    return one


def test_what_another_machine_had_pulled_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was only in that machine's memory may be lost, and the volume does not tell."""
    data = os.urandom(1000)
    whole, lost = Entry("whole", 1000, "1"), Entry("lost", 1000, "1")
    first = staged(tmp_path)
    for entry in (whole, lost):
        descriptor = first.descriptor(entry)
        os.write(descriptor, data)
        os.close(descriptor)
        first.finish(entry, hashlib.sha256(data).hexdigest())
    first.close()
    (first.files / "lost").write_bytes(bytes(1000))
    same = staged(tmp_path)
    assert same.finished(lost) is not None, "on the same machine it is not read again"
    same.close()
    other = tmp_path / "boot"
    other.write_text("another\n")
    monkeypatch.setattr(staging, "_BOOT_ID", other)
    after = staged(tmp_path)
    assert (after.finished(whole), after.finished(lost)) == (hashlib.sha256(data).hexdigest(), None)
    after.close()
    assert staged(tmp_path).finished(lost) is None, "that is kept in the journal"


def test_a_line_of_the_journal_that_was_cut_costs_that_line_alone(tmp_path: Path) -> None:
    first = staged(tmp_path)
    for name in ("a", "b"):
        entry = Entry(name, 0, "1")
        os.close(first.descriptor(entry))
        first.finish(entry, hashlib.sha256().hexdigest())
        os.write(first._descriptor, b'\n["file", "c"')
    first.close()
    again = staged(tmp_path)
    assert [bool(again.finished(Entry(name, 0, "1"))) for name in "abc"] == [True, True, False]


def test_two_pullers_do_not_work_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = staged(tmp_path)
    program = f"""
import pathlib
from trainyard_agent.staging import Staging
Staging(pathlib.Path({str(tmp_path)!r}), "f" * 64).open()
"""
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    second = subprocess.Popen([sys.executable, "-c", program], env=environ, stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    assert "Another puller is at work" in second.stderr.readline()
    assert second.poll() is None
    first.close()
    assert second.wait(timeout=SECONDS) == 0
    second.communicate()


def test_a_large_file_goes_on_from_where_it_is_right(files: Files, ordered: Ordered) -> None:
    data = files.contents["a"] = os.urandom(12 * MIB)
    order = ordered(uri=files.url("a"))
    listing = survey(order)["listing"]
    for good in (8, 3):
        half = Staging(order.volume, listing)
        half.open()
        entry = Entry("a", len(data), "")
        descriptor = half.descriptor(entry)
        os.ftruncate(descriptor, 0)
        # From the ninth MiB on it is not what the journal says, or not there at all.
        os.pwrite(descriptor, data[: good * MIB] + bytes(MIB), 0)
        os.close(descriptor)
        half.forget(entry)
        for end in range(1, 10):
            half.mark(entry, end * MIB, hashlib.sha256(data[: end * MIB]).hexdigest())
        half.close()
    files.sent = 0
    said = pulled(order)
    assert said["sha256"] == hashlib.sha256(data).hexdigest()
    assert said["pulled"] == 12 * MIB, (
        "only the last mark of so few bytes is remembered, and that one is wrong"
    )


def test_memory_does_not_grow_with_the_data(
    files: Files, process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    size = 200 * MIB
    files.contents = {"one": bytes(size), **{f"{number}": bytes(20 * MIB) for number in range(5)}}
    one = process(files=urls(files, *files.contents))
    most = 0
    # NB: not the largest of getrusage, in which the process that it was forked from counts.
    while one.poll() is None:
        said = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{one.pid}/status").read_text())
        most = int(said[1]) if said else most
        time.sleep(0.02)
    assert one.returncode == 0, (tmp_path / "word").read_text()
    assert 10 < most / 1024 < 150, "MiB"


def test_a_file_that_becomes_too_large_for_the_volume_is_full(
    files: Files, process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    files.contents["a"] = bytes(3 * MIB)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))

    assert process(uri=files.url("a"), before=limit).wait(timeout=SECONDS) == 1
    assert json.loads((tmp_path / "word").read_text())["kind"] == "full"
