"""docs/model-lifecycle.md, row by row: a model is brought into a state, something happens to it, and what follows is
read.

`python -m tests.unit.planning.test_model_lifecycle` prints the table as the code has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.planning.models import FOREST, World

DOCS = Path(__file__).parents[3] / "docs" / "model-lifecycle.md"
Step = Callable[[World], object]

_MONITOR = {
    "monitor": {"schedule": "0 * * * *", "dataset": "fresh", "threshold": "0.8", "metric": "accuracy"},
}
_LATER = "2099-01-01T00:00:00Z"


def draft() -> World:
    return World({key: value for key, value in FOREST.items() if key != "training"}).settle()


def training() -> World:
    world = World({**FOREST, **_MONITOR}).settle()
    return world.runs(world.newest).settle()


def trained() -> World:
    return done(training())


def training_again() -> World:
    world = trained().asked("again").settle()
    return world.runs(world.newest).settle()


def failed() -> World:
    world = training()
    return world.ends(world.newest, "Error").settle()


def failed_again() -> World:
    world = training_again()
    return world.ends(world.newest, "Error").settle()


def degraded() -> World:
    return measured(trained(), 0.5)


def deprecated() -> World:
    return trained().edit(stage="deprecated").settle()


def archived() -> World:
    return trained().edit(stage="archived").settle()


def done(world: World) -> World:
    return world.ends(world.newest, accuracy=0.9).settle()


def measured(world: World, value: float) -> World:
    """An hour later the evaluation that is due has found this."""
    world.passes(3600).settle()
    job = next(name for name in reversed(world.made) if "-monitor-" in name)
    return world.ends(job, accuracy=value).settle()


def reported(world: World, lifecycle: str, time: str = _LATER) -> World:
    world.status["reported"] = {"lifecycle": lifecycle, "time": time, "reason": "told so"}
    return world.settle()


def posted(world: World) -> World:
    return world.posted("mine").runs("mine").settle()


STATES: dict[str, Callable[[], World]] = {
    "draft": draft,
    "training": training,
    "trained": trained,
    "training, with a version": training_again,
    "failed": failed,
    "failed, with a version": failed_again,
    "degraded": degraded,
    "deprecated": deprecated,
    "archived": archived,
}
EVENTS: dict[str, Step] = {
    "a training is asked for": lambda w: w.asked("more").settle(),
    "a job that names it runs": posted,
    "its training is Done": done,
    "its training fails": lambda w: w.ends(w.newest, "Error").settle(),
    "its training is cancelled": lambda w: w.ends(w.newest, "Canceled").settle(),
    "an evaluation is below the threshold": lambda w: measured(w, 0.5),
    "an evaluation is not below it": lambda w: measured(w, 0.85),
    "`spec.monitor` is taken out": lambda w: w.edit(monitor=None).settle(),
    "`stage: deprecated`": lambda w: w.edit(stage="deprecated").settle(),
    "`stage: archived`": lambda w: w.edit(stage="archived").settle(),
    "`stage: active`": lambda w: w.edit(stage="active").settle(),
    "reported from outside: failed": lambda w: reported(w, "failed"),
    "reported long ago: failed": lambda w: reported(w, "failed", "2020-01-01T00:00:00Z"),
}
_TRAINS = ("its training is Done", "its training fails", "its training is cancelled")
_MEASURES = (
    "an evaluation is below the threshold",
    "an evaluation is not below it",
    "`spec.monitor` is taken out",
)


def applies(state: str, event: str) -> bool:
    """Whether the event can happen in the state at all."""
    if event in _TRAINS:
        return state.startswith("training")
    if event in _MEASURES:
        return state in ("trained", "failed, with a version", "degraded")
    return True


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    """State, event, and lifecycle, phase and reason after it."""
    for state, make in STATES.items():
        for event, happen in EVENTS.items():
            if applies(state, event):
                world = make()
                happen(world)
                status = world.status
                yield state, event, status["lifecycle"], status["phase"], status["reason"]


def table() -> str:
    lines = ["| it is | what happens | then it is | phase | reason |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows()]
    return "\n".join(lines)


def test_the_table_is_what_the_operator_does() -> None:
    assert table() in DOCS.read_text(encoding="utf-8"), (
        "python -m tests.unit.planning.test_model_lifecycle prints it"
    )


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_the_lifecycle_that_it_is_called(state: str) -> None:
    assert STATES[state]().status["lifecycle"] == state.partition(",")[0]


if __name__ == "__main__":
    print(table())
