"""Where the images of a new dataset go, and how they come there.

Separate because every layout of images needs it: names are taken over, and two images of the same name from two
folders both stay. Called by the writers and by the actions.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from trainyard_data.tree import Tree


class Names:
    """Gives each image a name of its own in its folder: no two have the same without their suffix, by which labels
    find them.
    """

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()

    def name(self, folder: str, path: str, *, mark: str = "") -> str:
        """A file name for the image that is at `path` of the old dataset; `mark` is put before its suffix.

        Where its own name is taken the folders that it was in are put before it, and then a number.
        """
        *above, own = path.split("/")
        stem, dot, suffix = own.rpartition(".")
        if not dot:
            stem, suffix = own, ""
        candidates = ["_".join([*above[place:], stem]) for place in range(len(above), -1, -1)]
        for candidate in dict.fromkeys(candidates):
            if self._take(folder, candidate + mark):
                return f"{candidate}{mark}{dot}{suffix}"
        number = 2
        while not self._take(folder, f"{candidates[-1]}{mark}_{number}"):
            number += 1
        return f"{candidates[-1]}{mark}_{number}{dot}{suffix}"

    def _take(self, folder: str, stem: str) -> bool:
        # NB: also on file systems that know no capitals.
        key = (folder, stem.casefold())
        if key in self._taken:
            return False
        self._taken.add(key)
        return True


def place(tree: Tree, path: str, target: Path) -> None:
    """The file at `path` of the tree also at `target`: the same file where the file system can, else a copy.

    Raises BadData where it cannot be read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    real = (tree.root / path).resolve()
    try:
        os.link(real, target)
    except OSError:
        # NB: on another file system, as mounted datasets are; a new file, so that it is the new dataset's own.
        with tree.open(path) as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
