"""The kinds of trainyard.dev by all the words that people have for them, as kubectl takes them.

Separate because every command that takes a name, `submit` and the completion read them. The CRDs have the same short
names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainyard.api import names
from trainyard.cli.exits import UsageError

PLURALS = {
    "TrainingJob": "trainingjobs",
    "Dataset": "datasets",
    "Experiment": "experiments",
    "MLModel": "mlmodels",
}
_SHORT = {"TrainingJob": "tj", "Dataset": "dset", "Experiment": "exp", "MLModel": "mlm"}
#: What people say besides.
_SAID = {"MLModel": ("model", "models")}
#: What runs: verbs take both.
RUNS = ("TrainingJob", "Experiment")
_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")
#: What completion offers.
WORDS = tuple(PLURALS.values())


def known(word: str) -> str | None:
    """The kind that is meant by a plural, a singular, a short name, each with or without the group; else None."""
    word = word.lower().removesuffix(f".{names.VERSION}.{names.GROUP}").removesuffix(f".{names.GROUP}")
    return next(
        (
            kind
            for kind, plural in PLURALS.items()
            if word in (plural, kind.lower(), _SHORT[kind], *_SAID.get(kind, ()))
        ),
        None,
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


def runs(words: Sequence[str], *, also: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Kind and name of TrainingJobs and Experiments: `resnet`, `tj/resnet`, `exp/tune`, `experiment tune other`.

    Raises UsageError for a kind that is neither of these nor one of `also`.
    """
    kind, rest = "TrainingJob", list(words)
    # NB: a word that is a kind is one where something follows it, so that a job may be called so.
    if len(words) > 1 and (known_kind := known(words[0])):
        kind, rest = known_kind, rest[1:]
    found = [named(word, kind=kind) for word in rest]
    for one, name in found:
        if one not in (*RUNS, *also):
            raise UsageError(
                f"{_SHORT[one]}/{name} is no TrainingJob and no Experiment: name one, as tj/{name} or exp/{name}."
            )
    return found


def run(words: Sequence[str], *, also: Sequence[str] = ()) -> tuple[str, str]:
    """The one that is meant. Raises UsageError for more than one, too."""
    first, *more = runs(words, also=also)
    if more:
        raise UsageError(f"This is for one alone, and there are {len(more) + 1}: {' '.join(words)}.")
    return first


def dataset(word: str) -> str:
    """The name in `digits`, `dset/digits`. Raises UsageError for another kind."""
    return _of(word, "Dataset")


def dataset_word(word: str) -> str:
    """The word for Datasets itself. Raises UsageError for any other."""
    return _word(word, "Dataset")


def experiment(word: str) -> str:
    """The name in `tune`, `exp/tune`. Raises UsageError for another kind."""
    return _of(word, "Experiment")


def experiment_word(word: str) -> str:
    """The word for Experiments itself. Raises UsageError for any other."""
    return _word(word, "Experiment")


def model(word: str) -> str:
    """The name in `churn`, `model/churn`. Raises UsageError for another kind."""
    return _of(word, "MLModel")


def model_word(word: str) -> str:
    """The word for MLModels itself. Raises UsageError for any other."""
    return _word(word, "MLModel", as_said="model")


def _of(word: str, wanted: str) -> str:
    kind, name = named(word, kind=wanted)
    if kind != wanted:
        raise UsageError(f"{word} is no {wanted}: name one, as {_SHORT[wanted]}/{name}.")
    return name


def _word(word: str, wanted: str, *, as_said: str = "") -> str:
    if known(word) != wanted:
        raise UsageError(f"This is for {wanted}s alone: write {as_said or wanted.lower()}, not {word}.")
    return word


def reference(kind: str, name: str, *, version: str = names.API_VERSION) -> str:
    """How kubectl names an object of some apiVersion: `trainingjob.trainyard.dev/resnet`, `secret/token`."""
    group = version.rpartition("/")[0]
    return f"{kind.lower()}.{group}/{name}" if group else f"{kind.lower()}/{name}"
