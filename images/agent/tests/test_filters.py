"""The patterns of `spec.source.filters`, as a table."""

from __future__ import annotations

import pytest

from trainyard_agent.filters import chosen

PATHS = [
    "a.csv",
    "images/1.png",
    "images/deep/2.png",
    "images/[x].png",
    "labels/1.txt",
    "odd name/ü.png",
    ".hidden",
]


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        ((), PATHS),
        (("*.csv",), ["a.csv"]),
        (("*.png",), ["images/1.png", "images/deep/2.png", "images/[x].png", "odd name/ü.png"]),
        (("images/*",), ["images/1.png", "images/[x].png"]),
        (("images/",), ["images/1.png", "images/deep/2.png", "images/[x].png"]),
        (("images/**",), ["images/1.png", "images/deep/2.png", "images/[x].png"]),
        (("/images/**/*.png",), ["images/1.png", "images/deep/2.png", "images/[x].png"]),
        (("**/deep/*",), ["images/deep/2.png"]),
        (("?.png",), ["images/1.png", "images/deep/2.png", "odd name/ü.png"]),
        (("[0-9].*",), ["images/1.png", "images/deep/2.png", "labels/1.txt"]),
        (("[!0-9].png",), ["odd name/ü.png"]),
        (("images/[[]x].png",), ["images/[x].png"]),
        (("[z-a].csv",), []),
        (("!images/**",), ["a.csv", "labels/1.txt", "odd name/ü.png", ".hidden"]),
        (("images/**", "labels/*", "!**/1.*"), ["images/deep/2.png", "images/[x].png"]),
        (("!*", "a.csv"), []),
        (("a.csv|.hidden", "(a).csv", "a?csv"), ["a.csv"]),
        (("images",), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_patterns_take(patterns: tuple[str, ...], taken: list[str]) -> None:
    choose = chosen(patterns)
    assert [path for path in PATHS if choose(path)] == taken
