"""Names from outside: what may be a path inside a dataset's folder, and which cannot be there together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainyard_agent import safenames
from trainyard_agent.safenames import checked, shown, together
from trainyard_agent.troubles import Trouble

FINE = (
    "a",
    "train.csv",
    "images/0001.png",
    ".hidden",
    "...",
    "a..b/..c",
    "with space/and [brackets]*?.csv",
    "back\\slash",
    "-rf",
    "~/x",
    "C:x",
    "naïve/日本語/😀.png",
    "e\u0301",
    "\u202egnp.exe",
    "é" * 127,
    "/".join(["d"] * 100),
)
REFUSED = {
    "it is empty": ("",),
    "it is absolute": ("/", "/etc/passwd", "//server/share", "\\\\server\\share", "C:\\x", "c:/x"),
    "it climbs out of the folder": ("..", "../x", "a/../../b", "a/..", "..\\x", "a\\..\\..\\x", "a/b\\.."),
    "it has a part that is no name": (".", "./a", "a/./b", "a//b", "a/", "a/."),
    "it has control characters": ("a\0b", "a\nb", "\x1b[2J", "a\x7f", "a\x85b", "\r"),
    "it is no UTF-8": ("caf\udce9", "\ud800"),
    "more than 255 bytes": ("x" * 256, "é" * 128, "a/" + "b" * 300),
    "more than 3840 bytes or 100 parts": ("/".join(["x" * 200] * 20), "/".join(["d"] * 101)),
}


@pytest.mark.parametrize("name", FINE)
def test_a_name_that_a_file_can_have_is_its_path(name: str) -> None:
    assert checked(name) == name


@pytest.mark.parametrize(("why", "name"), [(why, name) for why, names in REFUSED.items() for name in names])
def test_a_name_that_leaves_or_fits_nowhere_is_hostile(why: str, name: str) -> None:
    with pytest.raises(Trouble, match=why) as refused:
        checked(name)
    assert refused.value.kind == "hostile"
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 400


@given(st.text(alphabet=st.sampled_from("ab./\\\0\n:C é\udce9~"), max_size=12))
@example("a\\..\\b")
def test_what_is_checked_stays_in_the_folder_under_its_own_name(name: str) -> None:
    try:
        checked(name)
    except Trouble:
        return
    top = Path("/top/folder")
    joined = top / name
    assert os.path.normpath(joined) == str(joined)
    assert joined != top
    assert joined.is_relative_to(top)
    assert str(joined.relative_to(top)) == name


@given(st.lists(st.text(alphabet="ab-./", min_size=1, max_size=6).filter(lambda name: not fault(name))))
@example(["a", "a-b", "a/b"])
def test_names_are_refused_together_exactly_if_a_file_system_cannot_hold_all_of_them(
    names: list[str],
) -> None:
    folders = {
        "/".join(parts[:number])
        for name in names
        if (parts := name.split("/"))
        for number in range(1, len(parts))
    }
    fits = len(set(names)) == len(names) and not folders & set(names)
    if fits:
        together(names)
    else:
        with pytest.raises(Trouble, match=r"is there twice|of a file and of a folder") as refused:
            together(names)
        assert refused.value.kind == "hostile"


def fault(name: str) -> str | None:
    return safenames._fault(name)


@pytest.mark.parametrize("names", [("A.png", "a.png"), ("e\u0301", "é"), ("straße", "STRASSE")])
def test_names_that_other_systems_take_for_one_are_kept_and_told_once(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    together([*names, "x/Y", "X/y"])
    assert capsys.readouterr().err.count("Windows and macOS take them for one") == 1


def test_a_name_is_quoted_in_one_line_of_plain_letters() -> None:
    assert shown("a\nb\u202e") == r"'a\nb\u202e'"
    assert len(shown("x" * 5000)) == 120
