"""The JSON schemas of the reference images, copied beside their entries: those of the trainer and of the data image.

Separate because the images are packages of their own that the operator's image does not have. `make crds` copies,
`make verify` compares; nobody edits the copies.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_ENTRY = "reference"
_SUFFIX = ".schema.json"


def wanted(source: Path, entry: str = _ENTRY) -> dict[str, str]:
    """Names and texts of the copies of the schemas in `source` for an entry."""
    files = sorted(source.glob("*.json"))
    return {f"{entry}.{file.stem}{_SUFFIX}": file.read_text(encoding="utf-8") for file in files}


def main(arguments: list[str] | None = None) -> int:
    """Copy the schemas from SOURCE beside the entry, or with --check say which copies differ and return 1."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--entry", default=_ENTRY, help="The entry that they are of.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, nargs="?", default=Path(__file__).parent)
    options = parser.parse_args(arguments)
    copies = wanted(options.source, options.entry)
    if not copies:
        print(f"There are no schemas in {options.source}.", file=sys.stderr)
        return 1
    there = {file.name: file for file in options.target.glob(f"{options.entry}.*{_SUFFIX}")}
    stale = sorted(there.keys() - copies.keys())
    differing = [
        name
        for name, text in copies.items()
        if name not in there or there[name].read_text(encoding="utf-8") != text
    ]
    if options.check:
        if stale or differing:
            print(f"Not as the image's, run `make crds`: {', '.join([*stale, *differing])}", file=sys.stderr)
        return 1 if stale or differing else 0
    for name in stale:
        there[name].unlink()
    for name in differing:
        (options.target / name).write_text(copies[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
