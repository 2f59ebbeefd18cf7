"""Large JSON objects read one element at a time, with the line of each.

Separate because `json.load` takes many times the file's size in memory, and annotation files have gigabytes. Lists
right in the object are given one element after another; everything else as a whole. Called by coco.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from trainyard_data.findings import BadData
from trainyard_data.tree import Tree

CHUNK = 1 << 20
#: The most that one element may take, in bytes; it is read as a whole.
LARGEST_ELEMENT = 16 << 20
_SPACE = " \t\r\n"
_ENDS = frozenset(" \t\r\n,:]}")
#: Longer than any word or escape that may be cut at the window's end.
_TOKEN = 16
_BYTE_ORDER_MARK = "\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Element:
    """One value of the object: of the list under `key` the one at `index`, or all of it where index is None.

    The latter is for whatever is no list, and for a list with nothing in it.
    `offset` and `length` are where it is in the file, in bytes.
    """

    key: str
    index: int | None
    line: int
    offset: int
    length: int
    value: Any


class _Text:
    """The file as a window of text. NB: it is read as Latin-1, so that a place in the text is one in the file."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path
        self._start = 0
        self._line, self._counted = 1, 0
        self.buffer, self.at, self.ended = "", 0, False

    def more(self) -> bool:
        """Read on, forgetting what is behind `at`; False at the end of the file."""
        if self.ended:
            return False
        self.line()
        if len(self.buffer) - self.at > LARGEST_ELEMENT:
            raise BadData(
                self._path,
                self._line,
                f"One element is larger than {LARGEST_ELEMENT >> 20} MiB: is this the right file?",
            )
        chunk = self._file.read(max(CHUNK, len(self.buffer) - self.at))
        self.ended = not chunk
        self._start += self.at
        self.buffer, self.at, self._counted = self.buffer[self.at :] + chunk.decode("latin-1"), 0, 0
        return not self.ended

    def line(self) -> int:
        self._line += self.buffer.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    @property
    def offset(self) -> int:
        return self._start + self.at

    def next(self) -> str:
        """The next character that is no space, not taken; empty at the end."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self.more():
                return ""

    def take(self, expected: str) -> None:
        if self.next() != expected:
            raise self.fault(f"'{expected}' is missing here")
        self.at += 1

    def value(self) -> tuple[Any, int]:
        """The value that begins here, and its length."""
        if not self.next():
            raise self.fault("it ends too early")
        while True:
            try:
                value, end = _DECODER.raw_decode(self.buffer, self.at)
            except RecursionError:
                raise self.fault("it is nested too deeply") from None
            except json.JSONDecodeError as error:
                # NB: only what goes wrong at the window's end may be right with more of it.
                cut = error.pos > len(self.buffer) - _TOKEN or error.msg.startswith("Unterminated string")
                at = error.pos - self.at
                if cut and self.more():
                    continue
                raise self.fault(_words(error), at) from None
            except ValueError as error:
                raise self.fault(_words(error)) from None
            # NB: a number at the end of the window may go on, or "1." or "1e" be one of which the end is not here yet.
            if self.buffer[end : end + 1] in _ENDS or not self.more():
                break
        raw = self.buffer[self.at : end]
        length = end - self.at
        if not raw.isascii():
            value = _decoded(raw, self)
        self.at = end
        return value, length

    def fault(self, message: str, ahead: int = 0) -> BadData:
        """What is wrong `ahead` characters after `at`."""
        line = self.line() + self.buffer.count("\n", self.at, self.at + ahead)
        return BadData(self._path, line, f"This is not valid JSON: {message}.")


def elements(tree: Tree, path: str) -> Iterator[Element]:
    """The elements of the object in a file, in its order. Raises BadData at the first place that is not JSON."""
    with tree.open(path) as file:
        text = _Text(file, path)
        if not text.next():
            raise BadData(path, None, "The file is empty.")
        if text.buffer.startswith(_BYTE_ORDER_MARK):
            text.at += len(_BYTE_ORDER_MARK)
        if text.buffer[:2] in ("\xff\xfe", "\xfe\xff"):
            raise BadData(path, 1, "The file is UTF-16: save it as UTF-8.")
        if text.next() != "{":
            raise BadData(path, text.line(), "This is no JSON object: it must begin with '{'.")
        yield from _members(text)
        if text.next():
            raise text.fault("there is more after its end")


def element_at(file: BinaryIO, offset: int, length: int) -> Any:
    """An element again, by its place, which `elements` has told."""
    file.seek(offset)
    return json.loads(file.read(length))


def _members(text: _Text) -> Iterator[Element]:
    text.take("{")
    if text.next() == "}":
        text.at += 1
        return
    while True:
        if text.next() != '"':
            raise text.fault("a name in double quotes is missing here")
        key, _ = text.value()
        text.take(":")
        if text.next() == "[":
            yield from _items(text, key)
        else:
            line, offset = text.line(), text.offset
            value, length = text.value()
            yield Element(key, None, line, offset, length, value)
        if text.next() == "}":
            text.at += 1
            return
        text.take(",")


def _items(text: _Text, key: str) -> Iterator[Element]:
    line, offset = text.line(), text.offset
    text.take("[")
    if text.next() == "]":
        text.at += 1
        yield Element(key, None, line, offset, text.offset - offset, [])
        return
    index = 0
    while True:
        text.next()
        line, offset = text.line(), text.offset
        value, length = text.value()
        yield Element(key, index, line, offset, length, value)
        index += 1
        if text.next() == "]":
            text.at += 1
            return
        text.take(",")


def _decoded(raw: str, text: _Text) -> Any:
    try:
        return json.loads(raw.encode("latin-1"))
    except UnicodeDecodeError:
        raise text.fault("it is not UTF-8") from None


def _words(error: ValueError) -> str:
    """The decoder's word for what is wrong, without its places, which are those of the window."""
    words = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return words[:1].lower() + words[1:].rstrip(".").split(";")[0]


_DECODER = json.JSONDecoder()
