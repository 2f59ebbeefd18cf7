"""Folders of claims and of object stores as targets: files, their list last.

Separate because the order of the steps is the point: at no time does artifacts.json name a file that is not there, a
killed run is gone on from, and what is not ours is not touched. Called by `running`.
"""

from __future__ import annotations

import time

from trainyard_publisher import record as records
from trainyard_publisher.buckets import Bucket
from trainyard_publisher.claims import Claim
from trainyard_publisher.order import Order
from trainyard_publisher.places import Place
from trainyard_publisher.record import Entry, Record
from trainyard_publisher.reporting import Reporter
from trainyard_publisher.result import Published
from trainyard_publisher.version import LIST, RECORD, File, Version, checked

#: How often the record is written between large and small files.
_RECORD_SECONDS = 5.0


def publish(order: Order, version: Version, reporter: Reporter) -> Published:
    """Puts the version there, where it does not lie there already."""
    place = _place(order)
    before = records.read(place.read(RECORD), place=order.uri)
    if before is not None and before.owner != order.owner:
        raise records.not_ours(before.owner, order.uri)
    if before is not None and _is_there(place, before, version):
        return _published(order, version, sent=0)
    if before is None:
        before = Record(owner=order.owner)
    for file in version.all:
        if file.name not in before.files and place.tag(file.name) is not None:
            raise records.foreign(file.name, order.uri)
    sent = _bring(place, before, version, reporter)
    return _published(order, version, sent=sent)


def unpublish(order: Order, reporter: Reporter) -> str:
    """Takes away what was published there, and nothing else; gives a sentence that says what it found."""
    place = _place(order)
    before = records.read(place.read(RECORD), place=order.uri)
    if before is None:
        return f"nothing is published at {order.uri} any more"
    if before.owner != order.owner:
        return f"{order.uri} has what {before.owner} has published by now, which stays"
    # NB: the list first, so that nobody takes what is being removed for whole; the record last.
    names = sorted(before.files, key=lambda name: (name != LIST, name))
    for number, name in enumerate(names, start=1):
        reporter.file(number, len(names), name)
        place.remove(name)
    place.remove(RECORD)
    return f"{len(names)} files of version {before.number} are removed from {order.uri}"


def _bring(place: Place, ours: Record, version: Version, reporter: Reporter) -> int:
    """Sends what is not there; the number of files."""
    wanted = {file.name for file in version.all}
    if LIST in ours.files:
        place.remove(LIST)
        del ours.files[LIST]
    ours.digest, ours.number = "", version.number
    for file in version.all:
        old = ours.files.get(file.name)
        if old is None or old.sha256 != file.sha256:
            ours.files[file.name] = Entry(sha256=file.sha256)
    place.write(RECORD, ours.dump())
    sent, written = 0, time.monotonic()
    for number, file in enumerate(version.files, start=1):
        reporter.file(number, len(version.all), file.name)
        entry = ours.files[file.name]
        if entry.tag and place.tag(file.name) == entry.tag:
            continue
        ours.files[file.name] = _sent(place, file)
        sent += 1
        if time.monotonic() - written > _RECORD_SECONDS:
            place.write(RECORD, ours.dump())
            written = time.monotonic()
    for name in sorted(ours.files.keys() - wanted):
        place.remove(name)
        del ours.files[name]
    # NB: what is recorded to be there is there, and the list comes after all that it names.
    place.write(RECORD, ours.dump())
    reporter.file(len(version.all), len(version.all), LIST)
    ours.files[LIST] = _sent(place, version.list)
    ours.digest = version.digest
    place.write(RECORD, ours.dump())
    return sent + 1


def _sent(place: Place, file: File) -> Entry:
    return Entry(sha256=file.sha256, tag=place.put(checked(file)))


def _is_there(place: Place, ours: Record, version: Version) -> bool:
    """Whether the place has exactly this version, each file as it was put there."""
    if ours.digest != version.digest or ours.files.keys() != {file.name for file in version.all}:
        return False
    return all(
        ours.files[file.name].sha256 == file.sha256
        and bool(ours.files[file.name].tag)
        and place.tag(file.name) == ours.files[file.name].tag
        for file in version.all
    )


def _published(order: Order, version: Version, *, sent: int) -> Published:
    return Published(uri=order.uri, digest=version.digest, version=str(version.number), sent=sent)


def _place(order: Order) -> Place:
    return Claim(order) if order.scheme == "pvc" else Bucket(order)
