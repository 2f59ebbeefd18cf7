"""Hostile inputs, each by the real puller from a real server: refused with a clear word, nothing published, or taken.

Formats are checked elsewhere (the data image): here a dataset is files.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import hostile_archives as made
import pytest
from hostile_archives import END, LOCAL, member, tar
from hostile_servers import Answer, Server, Store, serving, storing

SOURCES = Path(__file__).parents[1] / "src"
#: What the network does is borne for minutes; the tests have seconds.
HURRIED = """
from trainyard_agent import pulling, surveying
pulling.TOLERANCE_SECONDS = surveying.TOLERANCE_SECONDS = 1.0
from trainyard_agent.__main__ import main
main()
"""
SAFE = {"a.csv": b"1,2\n", "b/c.csv": b"3\n"}


@pytest.fixture(scope="module")
def web() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storing(tmp_path_factory.mktemp("s3"), "data") as server:
        yield server


@dataclass
class Pulled:
    """What came of it."""

    code: int
    said: dict[str, Any]
    log: str
    volume: Path

    @property
    def files(self) -> dict[str, bytes]:
        top = self.volume / "data"
        return {
            path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()
        }


class Puller:
    """`trainyard-agent pull` on a volume with neighbours, all of which are watched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume = folder / "node" / "volume"
        self.outside = folder / "node" / "outside"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SOURCES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder / "node" / "home"),
            "TMPDIR": str(folder / "node" / "tmp"),
            "TRAINYARD_SECRETS": str(folder / "secrets"),
            "TRAINYARD_TERMINATION_LOG": str(folder / "word"),
        }
        for name in ("volume", "outside", "home", "tmp", "work"):
            (folder / "node" / name).mkdir(parents=True)
        (self.outside / "precious").write_text("as it was")

    def pull(self, source: dict[str, Any], *, hurried: bool = False, limit: int = 0, **more: Any) -> Pulled:
        """`limit` is the largest file in bytes that it may write."""
        order = {
            "namespace": "team",
            "dataset": "digits",
            "source": source,
            "volume": str(self.volume),
            **more,
        }
        argv = [sys.executable, *(["-c", HURRIED] if hurried else ["-m", "trainyard_agent"]), "pull"]
        if limit:
            argv = ["prlimit", f"--fsize={limit}", *argv]
        before = everything(self.folder / "node", but=self.volume)
        done = subprocess.run(
            argv,
            env={**self.environment, "TRAINYARD_DATA": json.dumps(order)},
            cwd=self.folder / "node" / "work",
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert everything(self.folder / "node", but=self.volume) == before
        for path in self.volume.rglob("*"):
            mode = path.lstat().st_mode
            assert stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & (stat.S_ISUID | stat.S_ISGID)), (
                path
            )
        log = done.stdout.decode() + done.stderr.decode()
        assert "Traceback" not in log, log
        word = (self.folder / "word").read_bytes()
        assert len(word) <= 3 << 10
        return Pulled(code=done.returncode, said=json.loads(word), log=log, volume=self.volume)

    def refused(self, source: dict[str, Any], kind: str, says: str, **more: Any) -> Pulled:
        done = self.pull(source, **more)
        assert done.code == 1, done.said
        assert (done.said["kind"], says in done.said["error"]) == (kind, True), done.said
        assert done.said["error"].isprintable()
        assert not (self.volume / "data").exists()
        assert not (self.volume / "published.json").exists()
        return done

    def handled(
        self, source: dict[str, Any], files: dict[str, bytes], *, left: int = 0, **more: Any
    ) -> Pulled:
        """`left` is how many folders of pulls that failed are there, too."""
        done = self.pull(source, **more)
        assert done.code == 0, done.said
        assert done.files == files
        assert (done.said["files"], done.said["bytes"]) == (len(files), sum(map(len, files.values())))
        assert done.said["sha256"] == digest_of(files)
        assert {"data", "published.json"} <= {path.name for path in self.volume.iterdir()}
        assert len(list(self.volume.iterdir())) == 2 + left
        return done


def everything(top: Path, *, but: Path) -> dict[str, tuple[int, bytes | str]]:
    """All below a folder except what is in one: paths, kinds and contents."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if Path(folder) / name != but]
        for name in (*folders, *files):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            data = (
                os.readlink(path) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else b""
            )
            found[str(path)] = (mode, data)
    return found


def digest_of(files: dict[str, bytes]) -> str:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    if len(files) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256(
        b"".join(sorted(f"{one}  {name}\n".encode() for name, one in digests.items()))
    ).hexdigest()


@pytest.fixture
def puller(tmp_path: Path) -> Puller:
    return Puller(tmp_path)


GOOD_TAR = tar(member("a.csv", made.csv()), member("b.csv", random.Random(1).randbytes(20_000)))
GOOD_ZIP = made.zip_of({"a.csv": made.csv(), "b.csv": random.Random(1).randbytes(20_000)})
CLIMBS, ABSOLUTE = "climbs out of the folder", "it is absolute"

#: What it is: the archive's name, its bytes (given the path of a folder outside the volume), the kind, what is said.
ARCHIVES: dict[str, tuple[str, Callable[[str], bytes], str, str]] = {
    # Names that leave the folder.
    "a tar that climbs": ("a.tar", lambda _: tar(member("../outside/new")), "hostile", CLIMBS),
    "a tar that climbs from inside": (
        "a.tar.gz",
        lambda _: made.gzipped(tar(member("a/../../../outside/new"))),
        "hostile",
        CLIMBS,
    ),
    "a tar with an absolute name": ("a.tar", lambda out: tar(member(f"{out}/new")), "hostile", ABSOLUTE),
    "a tar with a folder that climbs": (
        "a.tar",
        lambda _: tar(member("../outside/new", b"", type=tarfile.DIRTYPE)),
        "hostile",
        CLIMBS,
    ),
    "a tar.zst that overwrites": (
        "a.tar.zst",
        lambda out: made.zstd(tar(member(f"{out}/precious"))),
        "hostile",
        ABSOLUTE,
    ),
    "a zip that climbs": ("a.zip", lambda _: made.zip_of({"../outside/new": b"x"}), "hostile", CLIMBS),
    "a zip with an absolute name": (
        "a.zip",
        lambda out: made.zip_of({f"{out}/new": b"x"}),
        "hostile",
        ABSOLUTE,
    ),
    "a zip that climbs in the way of Windows": (
        "a.zip",
        lambda _: made.zip_of({"..\\..\\outside\\new": b"x"}),
        "hostile",
        CLIMBS,
    ),
    "a zip with a drive of Windows": ("a.zip", lambda _: made.zip_of({"C:\\new": b"x"}), "hostile", ABSOLUTE),
    "an extended header that climbs": ("a.tar", lambda _: made.named("../outside/new"), "hostile", CLIMBS),
    "an extended header that names all files": (
        "a.tar",
        lambda _: made.extended({"path": "../outside/new"}, tarfile.XGLTYPE) + GOOD_TAR,
        "hostile",
        "names all of its files",
    ),
    # What is no file.
    "a symbolic link, and a file behind it": (
        "a.tar",
        lambda out: tar(
            member("way", b"", type=tarfile.SYMTYPE, linkname=out), member("way/new"), member("way/precious")
        ),
        "hostile",
        "'way' is a symbolic link",
    ),
    "a symbolic link that stays inside": (
        "a.tar",
        lambda _: made.one_kind(tarfile.SYMTYPE, linkname="a.csv"),
        "hostile",
        "a symbolic link",
    ),
    "a hard link to a file of the node": (
        "a.tar",
        lambda out: made.one_kind(tarfile.LNKTYPE, linkname=f"{out}/precious"),
        "hostile",
        "a hard link",
    ),
    "a symbolic link in a zip": (
        "a.zip",
        lambda _: made.zip_mode("way", stat.S_IFLNK | 0o777, b"/etc"),
        "hostile",
        "a symbolic link",
    ),
    "a disk as a device": (
        "a.tar",
        lambda _: made.one_kind(tarfile.BLKTYPE, devmajor=8),
        "hostile",
        "a device",
    ),
    "a character device": (
        "a.tar",
        lambda _: made.one_kind(tarfile.CHRTYPE, devmajor=1),
        "hostile",
        "a device",
    ),
    "a named pipe": ("a.tar", lambda _: made.one_kind(tarfile.FIFOTYPE), "hostile", "a named pipe"),
    "a device in a zip": (
        "a.zip",
        lambda _: made.zip_mode("disk", stat.S_IFBLK | 0o666, b""),
        "hostile",
        "a device",
    ),
    # Bombs.
    "100 MiB of zeros by gzip": ("a.tar.gz", lambda _: made.gzip_bomb(100 << 20), "hostile", "as a bomb"),
    "1 GiB of zeros by zstd": ("a.tar.zst", lambda _: made.zstd_bomb(1 << 13), "hostile", "as a bomb"),
    "10,000 files of a zip that are one": (
        "a.zip",
        lambda _: made.overlapping(10_000),
        "hostile",
        "files overlap",
    ),
    "a zip of zeros": ("a.zip", lambda _: made.zip_of({"zeros": bytes(100 << 20)}), "hostile", "as a bomb"),
    "a tar that says it has an exabyte": ("a.tar", lambda _: made.huge(1 << 60), "full", "spec.cache.size"),
    "an extended header of 8 GiB": (
        "a.tar",
        lambda _: made.extended({"path": "x"}, size=8 << 30) + GOOD_TAR,
        "hostile",
        "more than 1 MiB",
    ),
    "a window of 2 GiB": ("a.tar.zst", lambda _: made.zstd_window(), "unsupported", "--long"),
    "a sparse file of 8 GiB in one block": (
        "a.tar",
        lambda _: made.sparse_header(),
        "unsupported",
        "--sparse",
    ),
    "a sparse file in an extended header": (
        "a.tar",
        lambda _: made.extended({"GNU.sparse.realsize": str(8 << 30)}) + GOOD_TAR,
        "unsupported",
        "--sparse",
    ),
    "folders in 3,000 folders": ("a.tar", lambda _: tar(member("d/" * 1500 + "x")), "hostile", "100 parts"),
    # Names that no file has.
    "a name of 300 letters": ("a.tar", lambda _: tar(member("x" * 300)), "hostile", "255 bytes"),
    "a name of 5,000 letters": (
        "a.tar",
        lambda _: tar(member("/".join(["x" * 100] * 50))),
        "hostile",
        "3840 bytes",
    ),
    "a name with a zero byte": (
        "a.tar",
        lambda _: made.named("a.csv\0.png"),
        "hostile",
        "control characters",
    ),
    "a name with the letters of a terminal": (
        "a.zip",
        lambda _: made.zip_of({"\x1b[2Ja.csv": b"x"}),
        "hostile",
        "control characters",
    ),
    "a name that is no UTF-8": ("a.tar", lambda _: made.named("caf\udce9.csv"), "hostile", "no UTF-8"),
    "a tar with a name twice": (
        "a.tar",
        lambda _: tar(member("a", b"1"), member("a", b"2")),
        "hostile",
        "there twice",
    ),
    "a zip with a name twice": ("a.zip", lambda _: made.zip_twice("a.csv"), "hostile", "there twice"),
    "a file that is a folder": (
        "a.tar",
        lambda _: tar(member("a"), member("a/b")),
        "hostile",
        "of a file and of a folder",
    ),
    "a folder that is a file": (
        "a.tar",
        lambda _: tar(member("a/b"), member("a")),
        "hostile",
        "of a file and of a folder",
    ),
    # Cut, damaged, and lies.
    "a tar that is cut in a file": ("a.tar", lambda _: GOOD_TAR[:5000], "broken", "in the middle of a file"),
    "a tar that is cut between files": (
        "a.tar",
        lambda _: made.raw(*member("a", b"x" * 512)),
        "broken",
        "no end mark",
    ),
    "a tar.gz that is cut": ("a.tar.gz", lambda _: made.gzipped(GOOD_TAR)[:-2000], "broken", "cut off"),
    "a tar.gz without its last byte": (
        "a.tar.gz",
        lambda _: made.gzipped(GOOD_TAR)[:-1],
        "broken",
        "cut off",
    ),
    "a tar.zst that is cut": ("a.tar.zst", lambda _: made.zstd(GOOD_TAR)[:-2000], "broken", "frame"),
    "a tar.zst without its last byte": ("a.tar.zst", lambda _: made.zstd(GOOD_TAR)[:-1], "broken", "frame"),
    "a zip that is cut": ("a.zip", lambda _: GOOD_ZIP[:-100], "broken", "directory"),
    "a tar with a bent header": (
        "a.tar",
        lambda _: made.bent(GOOD_TAR, GOOD_TAR.index(b"b.csv")),
        "broken",
        "checksum",
    ),
    "a tar.gz with a bent bit": (
        "a.tar.gz",
        lambda _: made.bent(made.gzipped(GOOD_TAR), 20_000),
        "broken",
        "damaged",
    ),
    "a tar.zst with a bent bit": (
        "a.tar.zst",
        lambda _: made.bent(made.zstd(GOOD_TAR), 20_000),
        "broken",
        "damaged",
    ),
    "a zip with a bent bit": (
        "a.zip",
        lambda _: made.bent(GOOD_ZIP, 20_000),
        "broken",
        "'b.csv' has another checksum",
    ),
    "two archives in one file": (
        "a.tar",
        lambda _: GOOD_TAR + tar(member("c.csv")),
        "broken",
        "after its end",
    ),
    "a file of a negative size": ("a.tar", lambda _: made.negative_size(), "hostile", "negative size"),
    "a zip that is more than it says": (
        "a.zip",
        lambda _: made.bigger_than_it_says({"a.csv": made.csv()}, 10),
        "hostile",
        "more bytes than the directory says",
    ),
    "a zip that is less than it says": (
        "a.zip",
        lambda _: made.bigger_than_it_says({"a.csv": b"x" * 9}, 10),
        "broken",
        "fewer bytes",
    ),
    "a zip with two descriptions": ("a.zip", lambda _: made.described_twice(4000), "hostile", "another way"),
    "a zip with something behind a file": (
        "a.zip",
        lambda _: made.padded(),
        "broken",
        "smaller than the directory",
    ),
    "a zip whose file reaches into its directory": (
        "a.zip",
        lambda _: made.stored(100, before=LOCAL + bytes(1000)),
        "broken",
        "reaches into the directory",
    ),
    "a zip with more in its directory than it says": (
        "a.zip",
        lambda _: made.stored(10, behind=b"more"),
        "broken",
        "more in it than it says",
    ),
    "a zip with two names of one file": (
        "a.zip",
        lambda _: GOOD_ZIP.replace(LOCAL, b"\0LOC").replace(b"a.csv", b"A.csv", 1).replace(b"\0LOC", LOCAL),
        "hostile",
        "described in one way there",
    ),
    "a zip with a password": (
        "a.zip",
        lambda _: made.encrypted(GOOD_ZIP),
        "unsupported",
        "without a password",
    ),
    "a zip of another compression": (
        "a.zip",
        lambda _: made.zip_of({"a.csv": b"x"}, zipfile.ZIP_LZMA),
        "unsupported",
        "with deflate",
    ),
    # What is no archive.
    "a page that says sorry": ("a.zip", lambda _: b"<html>Sorry</html>" * 99, "broken", "neither a tar"),
    "an archive of no bytes": ("a.tar.gz", lambda _: b"", "broken", "empty"),
    "an archive without files": ("a.tar", lambda _: END * 10, "empty", "no file"),
    "a zip without files": ("a.zip", lambda _: made.zip_of({}), "empty", "no file"),
    "a gzip of something else": ("a.tar.gz", lambda _: made.gzipped(made.csv()), "broken", "neither a tar"),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_is_refused(web: Server, puller: Puller, what: str) -> None:
    name, make, kind, says = ARCHIVES[what]
    address = web.put(f"refused/{what.replace(' ', '-')}/{name}", make(str(puller.outside)))
    done = puller.refused({"uri": address, "endpoint": web.address}, kind, says)
    assert name in done.said["error"] or kind in ("full", "empty")


ODD = {
    "naïve/日本語/😀.txt": b"1",
    "e\u0301.txt": b"2",
    "é.txt": b"3",
    "\u202etxt.exe": b"4",
    "A": b"5",
    "a": b"6",
}
MANY = {info.name: data for info, data in made.many(3000)}
HANDLED: dict[str, tuple[str, bytes, dict[str, bytes]]] = {
    "names in odd Unicode": ("a.tar", tar(*(member(*one) for one in ODD.items())), ODD),
    "names in odd Unicode in a zip": ("a.zip", made.zip_of(ODD), ODD),
    "files that run as another user": ("a.tar", tar(member("a.csv", b"x", mode=0o6777)), {"a.csv": b"x"}),
    "files that nobody may read": ("a.tar", tar(member("b/a.csv", b"x", mode=0)), {"b/a.csv": b"x"}),
    "an archive in an archive": ("a.zip", made.zip_of({"b.zip": GOOD_ZIP}), {"b.zip": GOOD_ZIP}),
    "one file of 0 bytes in an archive": ("a.tar", tar(member("a.csv", b"")), {"a.csv": b""}),
    "3,000 tiny files in an archive": ("a.tar.gz", made.gzipped(tar(*made.many(3000))), MANY),
    "a dot in front of each name": (
        "a.tar",
        tar(member("./a.csv", b"x"), member("./b/c", b"y")),
        {"a.csv": b"x", "b/c": b"y"},
    ),
    "a tar under another's name": ("a.zip", tar(member("a.csv", b"x")), {"a.csv": b"x"}),
}


@pytest.mark.parametrize("what", HANDLED)
def test_an_archive_is_handled(web: Server, puller: Puller, what: str) -> None:
    name, data, files = HANDLED[what]
    address = web.put(f"handled/{what.replace(' ', '-')}/{name}", data)
    puller.handled({"uri": address, "endpoint": web.address}, files)


def test_a_volume_that_fills_up_while_unpacking_is_told_from_a_broken_archive(
    web: Server, puller: Puller
) -> None:
    """NB: by a limit on files' sizes, which the kernel refuses as a full disk does."""
    address = web.put("full/a.tar.zst", made.zstd(tar(member("a.csv", made.csv(500_000)))))
    puller.refused({"uri": address, "endpoint": web.address}, "full", "no room", limit=6 << 20)


def test_an_archive_that_was_refused_and_mended_is_published(web: Server, puller: Puller) -> None:
    source = {"uri": web.put("mended/a.zip", made.bent(GOOD_ZIP, 20_000)), "endpoint": web.address}
    puller.refused(source, "broken", "checksum")
    web.put("mended/a.zip", made.zip_of(SAFE))
    puller.handled(source, SAFE, left=1)


# What a server can do wrong.


def source_of(web: Server, path: str, answer: Any, **more: Any) -> dict[str, Any]:
    return {"uri": web.put(path, answer), "endpoint": web.address, **more}


def test_another_digest_than_was_promised_is_a_mismatch(web: Server, puller: Puller) -> None:
    source = source_of(web, "mismatch/a.csv", b"1,2\n", sha256="0" * 64)
    puller.refused(source, "mismatch", hashlib.sha256(b"1,2\n").hexdigest())


def test_another_digest_of_one_of_several_files_is_a_mismatch(web: Server, puller: Puller) -> None:
    files = [
        {"url": web.put("digests/a.csv", b"1"), "sha256": hashlib.sha256(b"1").hexdigest()},
        {"url": web.put("digests/b.csv", b"2"), "sha256": hashlib.sha256(b"1").hexdigest()},
    ]
    puller.refused({"files": files, "endpoint": web.address}, "mismatch", "b.csv")


@pytest.mark.parametrize("of", ["the archive", "its files"])
def test_the_digest_of_an_archive_may_be_its_own_or_that_of_its_files(
    web: Server, puller: Puller, of: str
) -> None:
    data = made.zip_of(SAFE)
    digest = hashlib.sha256(data).hexdigest() if of == "the archive" else digest_of(SAFE)
    puller.handled(source_of(web, "digest/a.zip", data, sha256=digest), SAFE)


def test_another_digest_of_an_archive_is_a_mismatch(web: Server, puller: Puller) -> None:
    puller.refused(source_of(web, "digest/b.zip", made.zip_of(SAFE), sha256="0" * 64), "mismatch", "SHA-256")


def test_a_file_that_is_always_cut_is_a_matter_of_the_network(web: Server, puller: Puller) -> None:
    answer = Answer(body=made.csv(), cut=1000)
    puller.refused(source_of(web, "cut/a.csv", answer), "network", "a.csv", hurried=True)


def test_a_file_that_is_cut_once_is_whole_in_the_end(web: Server, puller: Puller) -> None:
    data = made.csv()

    def answer(_path: str, count: int) -> Answer:
        return Answer(body=data, cut=1000 if count == 1 else None)

    puller.handled(source_of(web, "cut-once/a.csv", answer), {"a.csv": data})


def test_a_file_that_is_damaged_once_is_right_in_the_end(web: Server, puller: Puller) -> None:
    data = made.csv()

    def answer(_path: str, count: int) -> Answer:
        return Answer(body=made.bent(data, 100) if count == 1 else data, tag="same")

    file = {"url": web.put("damaged/a.csv", answer), "sha256": hashlib.sha256(data).hexdigest()}
    puller.handled({"files": [file], "endpoint": web.address}, {"a.csv": data})


def test_a_file_that_is_always_damaged_is_a_mismatch(web: Server, puller: Puller) -> None:
    data = made.csv()
    answer = Answer(body=made.bent(data, 100))
    file = {"url": web.put("damaged/b.csv", answer), "sha256": hashlib.sha256(data).hexdigest()}
    puller.refused({"files": [file], "endpoint": web.address}, "mismatch", "b.csv")


def test_a_file_that_changes_between_two_looks_is_told_as_changed(web: Server, puller: Puller) -> None:
    def answer(_path: str, count: int) -> Answer:
        return Answer(body=b"%d" % count, tag=str(count))

    puller.refused(source_of(web, "changed/a.csv", answer), "changed", "a.csv")


def test_a_file_that_grows_between_two_looks_is_told_as_changed(web: Server, puller: Puller) -> None:
    def answer(_path: str, count: int) -> Answer:
        return Answer(body=b"1\n" * (count + 1))

    puller.refused(source_of(web, "grows/a.csv", answer), "changed", "a.csv")


def test_a_source_that_is_not_what_was_surveyed_is_told_as_changed(web: Server, puller: Puller) -> None:
    puller.refused(source_of(web, "pinned/a.csv", b"new"), "changed", "has changed", listing="0" * 64)


def test_more_than_a_server_has_said_is_never_taken(web: Server, puller: Puller) -> None:
    def answer(_path: str, count: int) -> Answer:
        return Answer(body=b"x" * (10 if count == 0 else 100_000), tag="same")

    puller.refused(source_of(web, "more/a.csv", answer), "changed", "a.csv")


def test_one_file_of_no_bytes_is_published(web: Server, puller: Puller) -> None:
    puller.handled(source_of(web, "empty/a.csv", b""), {"a.csv": b""})


def test_what_is_not_there_is_missing(web: Server, puller: Puller) -> None:
    source = {"uri": f"{web.address}/nowhere/a.csv", "endpoint": web.address}
    puller.refused(source, "missing", "404", hurried=True)


NAMES_IN_ADDRESSES = {
    "..%2F..%2Foutside%2Fnew": CLIMBS,
    "%2Fetc%2Fpasswd": ABSOLUTE,
    "a%00.csv": "control characters",
    "a%0Ab": "control characters",
    "x" * 300: "255 bytes",
}


@pytest.mark.parametrize("name", NAMES_IN_ADDRESSES)
def test_the_name_in_an_address_stays_in_the_folder(web: Server, puller: Puller, name: str) -> None:
    web.put(f"name/{unquote(name)}", b"x")
    address = f"{web.address}/name/{name}"
    puller.refused({"uri": address, "endpoint": web.address}, "hostile", NAMES_IN_ADDRESSES[name])


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (("../outside/new",), CLIMBS),
        (("a/../../outside/new",), CLIMBS),
        (("/etc/new",), ABSOLUTE),
        (("a.csv", "a.csv"), "there twice"),
        (("a", "a/b"), "of a file and of a folder"),
        (("a//b",), "no name"),
    ],
)
def test_a_path_in_a_list_of_files_stays_in_the_folder(
    web: Server, puller: Puller, paths: tuple[str, ...], says: str
) -> None:
    files = [{"url": web.put("listed/a.csv", b"x"), "path": path} for path in paths]
    puller.refused({"files": files, "endpoint": web.address}, "hostile", says)


@pytest.mark.parametrize("to", ["file:///etc/passwd", "http://127.0.0.1:1/", "ftp://x/a"])
def test_a_server_leads_nowhere_but_to_web_servers(web: Server, puller: Puller, to: str) -> None:
    answer = Answer(status=302, headers={"Location": to})
    done = puller.pull(source_of(web, "leads/a.csv", answer), hurried=True)
    assert done.code == 1
    assert done.said["kind"] in ("unsupported", "network", "missing")
    assert not (puller.volume / "data").exists()


def test_a_server_that_leads_in_circles_is_left(web: Server, puller: Puller) -> None:
    answer = Answer(status=302, headers={"Location": "/circle/a.csv"})
    done = puller.pull(source_of(web, "circle/a.csv", answer), hurried=True)
    assert done.code == 1
    assert not (puller.volume / "data").exists()


def test_what_a_server_compresses_unasked_is_no_bomb(web: Server, puller: Puller) -> None:
    """NB: it stays as it came, as a file is as large as the server says."""
    data = made.gzipped(bytes(50 << 20))
    answer = Answer(body=data, headers={"Content-Encoding": "gzip"})
    puller.handled(source_of(web, "encoded/a.csv", answer), {"a.csv": data})


# What a bucket can hold.

KEYS: dict[str, tuple[tuple[str, ...], str]] = {
    "climbs": (("../outside/new",), ""),
    "climbs from inside": (("a/../../outside/new",), ""),
    "climbs in the way of Windows": (("..\\outside\\new",), CLIMBS),
    "is absolute": (("/etc/new",), ""),
    "has an empty part": (("a//b.csv",), ""),
    "has a dot as a part": (("a/./b.csv",), ""),
    "has a line's end": (("a\nb.csv",), ""),
    "has 300 letters": (("x" * 300,), "255 bytes"),
    "is that of a folder, too": (("a", "a/b.csv"), "of a file and of a folder"),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_key_that_is_no_path_is_refused(web: Server, puller: Puller, what: str) -> None:
    keys, says = KEYS[what]
    bucket = "keys-" + what.replace(" ", "-").replace("'", "").replace(",", "")
    web.put_bucket(bucket, {f"data/{key}": b"x" for key in keys} | {"data/fine.csv": b"y"})
    source = {"uri": f"s3://{bucket}/data/", "endpoint": web.address, "region": "us-east-1"}
    puller.refused(source, "hostile", says)


def bucket_of(store: Store, puller: Puller, prefix: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Files in the real store, and the Secret for it."""
    top = store.buckets / "data" / prefix
    top.mkdir(parents=True)
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    secret = puller.folder / "secrets" / "source"
    secret.mkdir(parents=True)
    for name, value in store.secret.items():
        (secret / name).write_text(value)
    return {"uri": f"s3://data/{prefix}", "endpoint": store.endpoint}


BUCKETS: dict[str, dict[str, bytes]] = {
    "names in odd Unicode": ODD,
    "one file of 0 bytes": {"a.csv": b""},
    "letters of patterns and addresses": {
        "a b+c%20d&e?f#g/[h]*{i}.csv": b"1",
        "~": b"2",
        "-rf": b"3",
        "a..b": b"4",
    },
    "3,000 tiny files": MANY,
}


@pytest.mark.parametrize("what", BUCKETS)
def test_a_bucket_is_handled(store: Store, puller: Puller, what: str) -> None:
    source = bucket_of(store, puller, what.replace(" ", "-").replace(",", ""), BUCKETS[what])
    puller.handled(source, BUCKETS[what])


def test_a_bucket_without_files_is_empty(store: Store, puller: Puller) -> None:
    puller.refused(bucket_of(store, puller, "none", {}), "empty", "nothing to pull", hurried=True)


def test_a_bucket_that_is_not_what_was_surveyed_is_told_as_changed(store: Store, puller: Puller) -> None:
    source = bucket_of(store, puller, "changing", {"a.csv": b"1"})
    puller.refused(source, "changed", "has changed", listing="0" * 64)


def test_an_object_that_is_an_archive_is_unpacked_from_a_bucket(store: Store, puller: Puller) -> None:
    source = bucket_of(
        store, puller, "packed", {"a.tar.zst": made.zstd(tar(*(member(*one) for one in ODD.items())))}
    )
    puller.handled({**source, "uri": f"{source['uri']}/a.tar.zst"}, ODD)


@pytest.mark.soak
def test_100000_tiny_files_are_handled(store: Store, puller: Puller) -> None:
    files = {info.name: data for info, data in made.many(100_000)}
    puller.handled(bucket_of(store, puller, "many", files), files)


@pytest.mark.soak
def test_100000_tiny_files_in_an_archive_are_handled(web: Server, puller: Puller) -> None:
    members = made.many(100_000)
    source = source_of(web, "many/a.tar.gz", made.gzipped(tar(*members)))
    puller.handled(source, {info.name: data for info, data in members})
