"""The kinds of trainyard.dev by all the words that people have for them, as kubectl takes them.

Separate because `get`, `submit` and the completion read them. The CRDs have the same short names.
"""

from __future__ import annotations

from trainyard.api import names

PLURALS = {
    "TrainingJob": "trainingjobs",
    "Dataset": "datasets",
    "Experiment": "experiments",
    "MLModel": "mlmodels",
}
_SHORT = {"TrainingJob": "tj", "Dataset": "dset", "Experiment": "exp", "MLModel": "mlm"}
#: What completion offers.
WORDS = tuple(PLURALS.values())


def known(word: str) -> str | None:
    """The kind that is meant by a plural, a singular, a short name, each with or without the group; else None."""
    word = word.lower().removesuffix(f".{names.VERSION}.{names.GROUP}").removesuffix(f".{names.GROUP}")
    return next(
        (kind for kind, plural in PLURALS.items() if word in (plural, kind.lower(), _SHORT[kind])), None
    )


def reference(kind: str, name: str) -> str:
    """How kubectl names an object: `trainingjob.trainyard.dev/resnet`."""
    return f"{kind.lower()}.{names.GROUP}/{name}"
