"""The agent's survey and pull, as processes, on real servers of every kind of source."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.datapull import Puller, content, contents, digest_of
from tests.integration.datastores import STORES, DataStore

pytestmark = pytest.mark.timeout(180)

FILES = {
    "train.csv": content("train", 700_000),
    "images/é ü %41 ☃/0001.png": content("image", 5_000),
    "images/0002 (copy).png": content("another", 12_345),
    "empty.txt": b"",
    **contents((f"many/{number:03}.bin" for number in range(30)), 2_000),
}
BYTES = sum(map(len, FILES.values()))
MIB = 1 << 20


#: Those that can be asked what they hold.
listed = pytest.mark.parametrize("store", [name for name in STORES if name != "web"], indirect=True)


@pytest.fixture(scope="module", params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataStore]:
    with STORES[request.param](tmp_path_factory.mktemp(request.param)) as one:
        one.fill("digits", FILES)
        yield one


@pytest.fixture
def puller(store: DataStore, tmp_path: Path) -> Callable[..., Puller]:
    """Makes the pods of a Dataset with this source."""
    made = 0

    def make(source: dict[str, Any], **more: Any) -> Puller:
        nonlocal made
        made += 1
        told = {"secret": store.secret, "environment": store.environment, **more}
        return Puller(tmp_path / str(made), source, **told)

    return make


def test_every_byte_comes_and_is_told_and_a_second_pull_has_nothing_to_do(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    one = puller(store.source("digits"))
    survey = one.survey()
    assert survey.code == 0, (survey.word, survey.log)
    listing = survey.word["listing"]
    assert (len(listing), survey.word["bytes"], survey.word["files"]) == (64, BYTES, len(FILES))
    done = one.pull(listing)
    assert done.code == 0, (done.word, done.log)
    assert one.pulled() == FILES
    digest = digest_of(FILES)
    assert done.word == {
        "listing": listing,
        "sha256": digest,
        "bytes": BYTES,
        "files": len(FILES),
        "pulled": BYTES,
    }
    published = {"listing": listing, "sha256": digest, "bytes": BYTES, "files": len(FILES)}
    assert one.published().items() >= published.items()
    assert done.progress[-1]["bytes"] == done.progress[-1]["totalBytes"] == BYTES
    assert (done.progress[-1]["percent"], done.progress[-1]["totalFiles"]) == (100, len(FILES))
    sent = store.wire.sent
    again = one.pull(listing)
    assert (again.code, again.word["sha256"], again.word["pulled"]) == (0, digest, 0)
    assert store.wire.sent - sent < 200_000, "at most the listing is asked for again"


def test_one_file_keeps_its_name_and_its_digest_is_that_of_the_data(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    digest = hashlib.sha256(FILES["train.csv"]).hexdigest()
    one = puller(store.source("digits", "train.csv", sha256=digest))
    survey = one.survey()
    assert survey.code == 0, (survey.word, survey.log)
    assert survey.word["revision"], "the object's version or etag, or the commit"
    done = one.pull(survey.word["listing"])
    assert (done.code, done.word.get("sha256")) == (0, digest), (done.word, done.log)
    assert one.pulled() == {"train.csv": FILES["train.csv"]}


def test_a_file_that_is_not_what_was_said_is_refused_and_nothing_is_published(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    one = puller(store.source("digits", "train.csv", sha256="0" * 64))
    done = one.pull(one.survey().word["listing"])
    kind, sentence = done.failed()
    assert kind == "mismatch"
    assert hashlib.sha256(FILES["train.csv"]).hexdigest() in sentence, "what it has instead"
    assert not (one.volume / "data").exists()


@listed
def test_filters_leave_out_before_anything_is_pulled(store: DataStore, puller: Callable[..., Puller]) -> None:
    source = store.source("digits", filters=["many/**", "images/**", "!**/*2*"])
    wanted = {path: data for path, data in FILES.items() if path.startswith(("many/", "images/"))}
    wanted = {path: data for path, data in wanted.items() if "2" not in path.rpartition("/")[2]}
    one = puller(source)
    survey = one.survey()
    assert survey.word["files"] == len(wanted), survey.log
    assert one.pull(survey.word["listing"]).code == 0
    assert one.pulled() == wanted


def test_an_archive_is_unpacked(store: DataStore, puller: Callable[..., Puller]) -> None:
    inside = contents(["images/a.png", "images/b c.png", "labels.csv"], 40_000)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, data in inside.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    store.fill("packed", {"set.tar.gz": packed.getvalue()})
    for expected in ("", hashlib.sha256(packed.getvalue()).hexdigest(), digest_of(inside)):
        one = puller(store.source("packed", "set.tar.gz", **({"sha256": expected} if expected else {})))
        survey = one.survey()
        assert (survey.code, survey.word["bytes"]) == (0, len(packed.getvalue())), survey.log
        done = one.pull(survey.word["listing"])
        assert done.code == 0, (done.word, done.log)
        assert one.pulled() == inside
        assert (done.word["files"], done.word["sha256"]) == (3, digest_of(inside))


@pytest.mark.parametrize("store", ["s3", "web"], indirect=True)
def test_killed_three_times_it_finishes_and_little_is_pulled_twice(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    files = contents((f"{number:03}.bin" for number in range(250)), 60_000)
    killed_three_times(store, puller, files, rate=12 * MIB, again=8 * 60_000)


@pytest.mark.parametrize("store", ["s3", "hub"], indirect=True)
def test_killed_three_times_a_large_file_goes_on_where_it_was(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    # NB: its ranges are of 1 MiB.
    files = {"large.bin": content("large", 64 * MIB)}
    killed_three_times(store, puller, files, rate=60 * MIB, again=8 * MIB)


def killed_three_times(
    store: DataStore, puller: Callable[..., Puller], files: dict[str, bytes], *, rate: float, again: int
) -> None:
    """`again` is what may be under way at each kill, and so is lost."""
    total = sum(map(len, files.values()))
    name = f"kills-{total}"
    store.fill(name, files)
    one = puller(store.source(name))
    listing = one.survey().word["listing"]
    began = store.wire.sent
    store.wire.rate = rate
    try:
        for share in (0.25, 0.5, 0.75):
            killed = one.kill_when(listing, lambda share=share: store.wire.sent - began > share * total)
            assert killed, "it was not done by then"
            assert not (one.volume / "data").exists(), "nothing half of it is seen"
    finally:
        store.wire.rate = None
    done = one.pull(listing)
    assert done.code == 0, (done.word, done.log)
    assert one.pulled() == files
    assert done.word["pulled"] < 0.5 * total + again, "what the others had pulled was kept"
    # The listings and the headers of answers are counted, too.
    assert store.wire.sent - began < 1.05 * total + 3 * again


def test_a_source_that_has_changed_since_the_survey_is_told_and_nothing_is_published(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    store.fill("changing", {"a.csv": b"a\n1\n", "b.csv": b"b\n1\n"})
    one = puller(store.source("changing"))
    before = one.survey().word["listing"]
    store.fill("changing", {"b.csv": b"b\n2\n"})
    assert one.survey().word["listing"] != before
    kind, _ = one.pull(before).failed()
    assert kind == "changed"
    assert not (one.volume / "data").exists()


def test_what_is_not_there_is_told_with_the_address(store: DataStore, puller: Callable[..., Puller]) -> None:
    one = puller(store.lacking, hurried=True)
    kind, sentence = one.survey().failed()
    # NB: the hub says of what one may not see that it is not there.
    assert kind in ("missing", "forbidden" if "hf:" in store.lacking["uri"] else "missing")
    assert store.lacking["uri"] in sentence


def test_a_folder_without_files_is_told(store: DataStore, puller: Callable[..., Puller]) -> None:
    source = store.source("digits", "none/here")
    kind, sentence = puller(source, hurried=True).survey().failed()
    assert kind in ("empty", "missing")
    assert "none/here" in sentence


def test_credentials_that_are_refused_are_told_apart_and_never_printed(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    one = puller(store.source("digits"), secret=store.wrong or store.secret, hurried=True)
    if store.wrong is None:
        store.refuse(True)
    try:
        said = one.survey()
    finally:
        if store.wrong is None:
            store.refuse(False)
    kind, sentence = said.failed()
    assert kind == "forbidden"
    assert "Secret" in sentence, "it names what to mend"
    for value in (store.wrong or store.secret).values():
        if len(value) > 5 and not value.startswith("reader"):
            assert value not in json.dumps(said.word) + said.out + said.log


def test_a_refusal_in_the_middle_is_borne_for_a_while(
    store: DataStore, puller: Callable[..., Puller]
) -> None:
    """A Secret that is changed reaches a running pod, and some stores refuse at random."""
    one = puller(store.source("digits"))
    listing = one.survey().word["listing"]
    store.refuse(True)
    process = one.start(listing)
    try:
        with pytest.raises(Exception, match="timed out"):
            process.wait(timeout=3)
    finally:
        store.refuse(False)
    assert process.wait(timeout=60) == 0
    assert one.pulled() == FILES


@pytest.mark.parametrize("store", ["s3", "gcs"], indirect=True)
def test_more_objects_than_a_page_holds(store: DataStore, puller: Callable[..., Puller]) -> None:
    files = {f"{number // 100}/{number:04}.txt": b"%d" % number for number in range(1_100)}
    store.fill("pages", files)
    one = puller(store.source("pages"))
    survey = one.survey()
    assert survey.word["files"] == len(files)
    assert one.pull(survey.word["listing"]).code == 0
    assert one.pulled() == files


def test_a_gzipped_table_is_left_as_it_is(store: DataStore, puller: Callable[..., Puller]) -> None:
    """It is no archive, and no server may unpack it on the way."""
    packed = gzip.compress(b"a,b\n" * 1000)
    store.fill("gzipped", {"table.csv.gz": packed})
    one = puller(store.source("gzipped", "table.csv.gz"))
    assert one.pull(one.survey().word["listing"]).code == 0
    assert one.pulled() == {"table.csv.gz": packed}
