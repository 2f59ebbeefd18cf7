"""Images in one folder a class; and folders of which nothing but the images is known."""

from __future__ import annotations

from collections import defaultdict

from trainyard_data.checks.pictures import Gallery
from trainyard_data.checks.subject import Subject
from trainyard_data.findings import BadData
from trainyard_data.formats import folders
from trainyard_data.formats.images import is_image
from trainyard_data.formats.lines import lines


def check(subject: Subject) -> None:
    """Classification: every image opens and is in the folder of a class; a class has images."""
    gallery = Gallery(subject)
    parts: dict[str, set[str]] = defaultdict(set)
    for one, picture in gallery.look(folders.read(subject.tree, subject.findings), lambda item: item.path):
        if picture is None:
            continue
        if one.category:
            subject.profile.add_class(one.category)
            parts[one.split or ""].add(one.category)
        subject.profile.add_split(one.split)
    gallery.tell_modes()
    for folder in subject.tree.hollow:
        subject.findings.add(folder, None, "The folder is empty: a class needs images.")
    _check_list(subject, set(subject.profile.classes))
    names = set().union(*parts.values()) if parts else set()
    for part, found in parts.items():
        if missing := sorted(names - found):
            subject.note(f"{part or 'The rest'} has no images of {', '.join(missing[:8])}.")


def check_images(subject: Subject) -> None:
    """Whatever there is: the images among the files open; nothing else is known of them."""
    gallery = Gallery(subject)
    paths = [entry.path for entry in subject.tree.files if is_image(entry.path)]
    for _ in gallery.look(paths, lambda path: path):
        pass
    gallery.tell_modes()
    for entry in subject.tree.files:
        subject.checked.add(entry.path)


def _check_list(subject: Subject, found: set[str]) -> None:
    """classes.txt, where there is one: one class a line, each with images, and none missing."""
    path = next((entry.path for entry in subject.tree.files if entry.path.endswith("classes.txt")), None)
    if path is None or not found:
        return
    subject.checked.add(path)
    listed: set[str] = set()
    try:
        for number, text in lines(subject.tree, path):
            name = text.strip()
            if name and name not in found:
                subject.findings.add(path, number, f"There are no images of the class {name!r}.")
            listed.add(name)
    except BadData as error:
        subject.findings.bad(error)
        return
    for name in sorted(found - listed):
        subject.findings.add(path, None, f"The class {name!r} has images but is not listed.")
