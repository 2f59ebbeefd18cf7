"""`python -m trainyard_trainer.samples FOLDER [NAME...]`: scikit-learn's real datasets, one folder each.

Separate because it is how the demo and the tests fill a volume without a network: the four datasets are part
of scikit-learn. breast_cancer is written as Parquet, the others as CSV.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainyard_trainer.files import written_whole

NAMES = ("digits", "wine", "breast_cancer", "diabetes")
_PARQUET = frozenset({"breast_cancer"})
_NAMED_CLASSES = frozenset({"wine", "breast_cancer"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when all is written."""
    parser = argparse.ArgumentParser(prog="python -m trainyard_trainer.samples", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the dataset folders are made")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument(
        "--test-fraction",
        type=float,
        default=0.0,
        help="share of the rows to put into a second folder NAME-test",
    )
    options = parser.parse_args(arguments)
    for name in options.names or NAMES:
        if name not in NAMES:
            parser.error(f'there is no sample "{name}"; choose from {", ".join(NAMES)}')
        for path in write(options.folder, name, test_fraction=options.test_fraction):
            print(path)
    return 0


def write(folder: Path, name: str, *, test_fraction: float = 0.0) -> list[Path]:
    """Write one dataset, target last, and return its files."""
    frame = _frame(name)
    parts = {name: frame}
    if test_fraction:
        test = frame.sample(frac=test_fraction, random_state=0)
        parts = {name: frame.drop(test.index), f"{name}-test": test.sort_index()}
    return [_write(folder / part, rows, parquet=name in _PARQUET) for part, rows in parts.items()]


def _write(folder: Path, frame: Any, *, parquet: bool) -> Path:
    path = folder / ("data.parquet" if parquet else "data.csv")
    content = io.BytesIO()
    if parquet:
        frame.to_parquet(content, index=False)
    else:
        frame.to_csv(content, index=False)
    with written_whole(path) as file:
        file.write(content.getvalue())
    return path


def _frame(name: str) -> Any:
    """Classes by name where they have one; the diabetes features in their own units."""
    from sklearn import datasets

    load = getattr(datasets, f"load_{name}")
    bunch = load(as_frame=True, scaled=False) if name == "diabetes" else load(as_frame=True)
    frame = bunch.frame
    if name in _NAMED_CLASSES:
        frame = frame.assign(target=[str(bunch.target_names[number]) for number in frame["target"]])
    return frame


if __name__ == "__main__":
    sys.exit(main())
