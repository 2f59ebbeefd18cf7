"""The puller beside rclone, with 200 MB in 400 files: the small sister of what `make soak` does with 5 GB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import pull_speed

#: Looser than what is asked of the long run: other tests run at the same time.
SHARE = 0.60


@pytest.mark.timeout(300)
def test_a_pull_keeps_up_with_rclone_in_bounded_memory_and_killed_it_pulls_little_again(
    tmp_path: Path,
) -> None:
    measured = pull_speed.measure(tmp_path, files=400, size=200_000_000, rounds=3)
    print(pull_speed.table(measured))
    assert measured.share >= SHARE, pull_speed.table(measured)
    assert measured.memory < pull_speed.WANTED_MEMORY
    # At each of three kills, 8 files of at most 750 kB were under way.
    assert measured.kills.again < 0.10
