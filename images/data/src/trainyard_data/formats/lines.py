"""Text files line by line, however large they are.

Separate because labels, lists and tables come as text from anywhere: other encodings and endless lines are told with
their line number instead of filling the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainyard_data.findings import BadData
from trainyard_data.tree import Tree

LONGEST = 1 << 20
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def lines(tree: Tree, path: str, *, longest: int = LONGEST) -> Iterator[tuple[int, str]]:
    """Number and text of each line, without its end. Raises BadData at the first that is no text."""
    with tree.open(path) as file:
        number = 0
        while raw := file.readline(longest + 1):
            number += 1
            if number == 1:
                if (encoding := _MARKS.get(raw[:2])) is not None:
                    raise BadData(path, 1, f"The file is {encoding}: save it as UTF-8.")
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > longest:
                raise BadData(
                    path, number, f"The line is longer than {longest:,} bytes: is this the right file?"
                )
            if b"\0" in raw:
                raise BadData(path, number, "The line has zero bytes: this is no text.")
            try:
                yield number, raw.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise BadData(path, number, "The line is not UTF-8: save the file as UTF-8.") from None
