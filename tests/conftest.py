"""What every test may use. Called by pytest."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases each time: a run is red for what was changed. `--hypothesis-profile=default` draws others.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

# NB: a shell that starts us in the background has SIGINT ignored, and all our children as well; commands that a test
# interrupts would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, also for the programs that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "trainyard"
