"""The kinds of trainyard.dev by all the words that people have for them, as kubectl takes them.

Separate because every command that takes a name, `submit` and the completion read them. The CRDs have the same short
names.
"""

from __future__ import annotations

import re

from trainyard.api import names
from trainyard.cli.exits import UsageError

PLURALS = {
    "TrainingJob": "trainingjobs",
    "Dataset": "datasets",
    "Experiment": "experiments",
    "MLModel": "mlmodels",
}
_SHORT = {"TrainingJob": "tj", "Dataset": "dset", "Experiment": "exp", "MLModel": "mlm"}
_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")
#: What completion offers.
WORDS = tuple(PLURALS.values())


def known(word: str) -> str | None:
    """The kind that is meant by a plural, a singular, a short name, each with or without the group; else None."""
    word = word.lower().removesuffix(f".{names.VERSION}.{names.GROUP}").removesuffix(f".{names.GROUP}")
    return next(
        (kind for kind, plural in PLURALS.items() if word in (plural, kind.lower(), _SHORT[kind])), None
    )


def named(word: str, *, kind: str = "TrainingJob") -> tuple[str, str]:
    """Kind and name of `resnet`, `tj/resnet`, `datasets.trainyard.dev/digits`; `kind` where the word says none.

    Raises UsageError for a kind that is none of ours, and for what can be no object's name.
    """
    said, slash, name = word.partition("/")
    if not slash:
        said, name = kind, word
    found = known(said)
    if found is None:
        raise UsageError(f"There is no kind {said} here; known are {', '.join(WORDS)}.")
    if not name:
        raise UsageError("A name is empty.")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can be the name of no object: a name has letters, digits, - and dots.")
    return found, name


def job(word: str) -> str:
    """The name in `resnet`, `tj/resnet`, `trainingjob.trainyard.dev/resnet`. Raises UsageError for another kind."""
    kind, name = named(word)
    if kind != "TrainingJob":
        raise UsageError(f"{word} is no TrainingJob: name one, as tj/{name}.")
    return name


def dataset(word: str) -> str:
    """The name in `digits`, `dset/digits`. Raises UsageError for another kind."""
    kind, name = named(word, kind="Dataset")
    if kind != "Dataset":
        raise UsageError(f"{word} is no Dataset: name one, as dset/{name}.")
    return name


def dataset_word(word: str) -> str:
    """The word for Datasets itself. Raises UsageError for any other."""
    if known(word) != "Dataset":
        raise UsageError(f"This is for Datasets alone: write dataset, not {word}.")
    return word


def reference(kind: str, name: str, *, version: str = names.API_VERSION) -> str:
    """How kubectl names an object of some apiVersion: `trainingjob.trainyard.dev/resnet`, `secret/token`."""
    group = version.rpartition("/")[0]
    return f"{kind.lower()}.{group}/{name}" if group else f"{kind.lower()}/{name}"
