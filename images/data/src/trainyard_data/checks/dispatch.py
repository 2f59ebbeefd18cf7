"""Which check a dataset gets, by its type and format; and running it.

Separate from the checks so that the command `check` and the action `validate` do the same.
"""

from __future__ import annotations

from trainyard_data.checks import classes, labels, layouts, masks, tables
from trainyard_data.checks.subject import Check, Subject
from trainyard_data.findings import TOO_LARGE, BadData
from trainyard_data.formats.layouts import layout_of
from trainyard_data.formats.tables import table_files

_CLASS_FORMATS = ("classification_pyt", "classification_tf2")
_FREE_FORMATS = ("default", "train", "test")
_ANYTHING = ("not_restricted", "user_custom")


def check_for(subject: Subject) -> Check:
    """The check of a dataset. NB: raw, and what no layout is known of, is only looked at as far as it is known."""
    if subject.format in ("csv", "parquet"):
        return tables.check
    if subject.format in labels.READERS:
        return labels.check
    if subject.format == "unet":
        return masks.check
    if subject.format in _CLASS_FORMATS:
        return classes.check
    if subject.type == "tabular":
        return tables.check if table_files(subject.tree, "") else classes.check_images
    if subject.type == "image_classification" and subject.format in _FREE_FORMATS:
        return classes.check
    if subject.type not in _ANYTHING and layout_of(subject.format, subject.type) is not None:
        return layouts.check
    return classes.check_images


def run(subject: Subject) -> None:
    """Check it: fills its findings and its profile. Never raises for what is wrong with the data."""
    measure(subject)
    if not subject.profile.files:
        subject.findings.add(".", None, "The dataset is empty: there is no file.")
        return
    try:
        check_for(subject)(subject)
    except BadData as error:
        subject.findings.bad(error)
    except MemoryError:
        subject.findings.add(".", None, TOO_LARGE)


def measure(subject: Subject) -> None:
    """What is known without opening a file."""
    subject.profile.files = len(subject.tree.files)
    subject.profile.bytes = sum(entry.size for entry in subject.tree.files)
