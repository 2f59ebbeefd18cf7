"""What the environment may ask of a failpoint."""

from __future__ import annotations

import os
import signal

import pytest

from trainyard.cluster import failpoints


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("before-lunch", "no place is called before-lunch; there are before-pod-create, "),
        ("before-status@x", "'x' in 'before-status@x' is no number from 1 on"),
        ("before-status@0", "'0' in 'before-status@0' is no number from 1 on"),
        ("before-status@-1", "'-1' in 'before-status@-1' is no number from 1 on"),
        ("before-status@", "'' in 'before-status@' is no number from 1 on"),
    ],
)
def test_what_names_no_pass_of_a_place_is_refused_with_a_sentence(
    wanted: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(failpoints.VARIABLE, wanted)
    with pytest.raises(ValueError, match=r"^TRAINYARD_FAILPOINT: ") as refused:
        failpoints.from_environment()
    assert said in str(refused.value)


def test_kills_at_the_pass_that_was_asked_for_and_at_no_other_place(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    monkeypatch.setenv(failpoints.VARIABLE, "after-status@2")
    passed = failpoints.from_environment()
    for place in ("before-status", "after-status", "after-event"):
        passed(place)
    assert not killed
    passed("after-status")
    assert killed == [(os.getpid(), signal.SIGKILL)]
