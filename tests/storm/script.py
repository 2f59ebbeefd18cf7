"""What happens in a storm, drawn from a seed: when each job is made, what is asked of it, and what is done to its pods.

Separate from the engine, which carries it out, so that the same seed is the same storm everywhere and a job of it can
be run alone. Called by the tests of tests/integration and tests/e2e and by `make soak`.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Wish = Literal["run", "suspend", "cancel"]
Instruction = Literal["suspend", "resume", "cancel", "uncancel"]
Taking = Literal["delete", "delete-now", "evict"]
Verb = Instruction | Taking | Literal["create", "drain", "uncordon", "kill", "revive"]
Trainer = Literal["stops", "stops-with-0", "finishes-anyway", "fails"]

INSTRUCTIONS: tuple[Instruction, ...] = get_args(Instruction)
#: The change of the spec that an instruction is.
PATCHES: dict[str, dict[str, bool]] = {
    "suspend": {"suspend": True},
    "resume": {"suspend": False},
    "cancel": {"cancel": True},
    "uncancel": {"cancel": False},
}
OPERATOR = "operator"
#: NB: the wait before the next attempt doubles with each pod that is lost soon: more would be a storm of waiting.
_MOST_TAKEN = 2
_BURST = 5
_REVERSE: dict[Instruction, Instruction] = {"suspend": "resume", "cancel": "uncancel"}


@dataclass(frozen=True, kw_only=True)
class Action:
    """`verb` happens to `target` (a job, the number of a node, the operator) `at` seconds after the beginning."""

    at: float
    verb: Verb
    target: str


@dataclass(frozen=True, kw_only=True)
class StormJob:
    """One job. `trainer` says how its trainer ends when it is told to, or that it fails by itself; `resumable`, whether
    its action goes on after a cancel that is taken back. It has `nodes` pods, with an agent beside the trainer if it
    has an `output`: on fake nodes only."""

    name: str
    run_seconds: float
    trainer: Trainer
    resumable: bool
    refusals: int
    wish: Wish
    nodes: int = 1
    output: bool = False


@dataclass(frozen=True, kw_only=True)
class Script:
    """A storm. `refusals` of a job is how often its receiver refuses its first callback."""

    seed: int
    seconds: float
    jobs: tuple[StormJob, ...]
    actions: tuple[Action, ...]

    def only(self, name: str) -> Script:
        """What happens to this job, with everything that happens to nodes and to the operator."""
        others = {job.name for job in self.jobs if job.name != name}
        return dataclasses.replace(
            self,
            jobs=tuple(job for job in self.jobs if job.name == name),
            actions=tuple(action for action in self.actions if action.target not in others),
        )

    def of(self, name: str) -> list[str]:
        """The actions on one job, to be read."""
        return [f"{action.at:.1f} {action.verb}" for action in self.actions if action.target == name]


def draw(
    seed: int,
    *,
    jobs: int,
    seconds: float,
    nodes: int,
    kills: int,
    drains: int,
    run_seconds: tuple[float, float] = (3.0, 12.0),
) -> Script:
    """The storm of this seed: the same for the same arguments, on every machine."""
    dice = random.Random(seed)
    # NB: of its own, so that the storm of a seed is otherwise what it was before there were any.
    shapes = random.Random(seed + 1)
    made: list[StormJob] = []
    actions: list[Action] = []
    for number in range(jobs):
        name = f"job-{number:03d}"
        create = dice.uniform(0, seconds * 0.4)
        steps = _steps(dice, name, begin=create, end=seconds)
        made.append(
            StormJob(
                name=name,
                run_seconds=round(dice.uniform(*run_seconds), 1),
                trainer=dice.choices(get_args(Trainer), weights=(6, 6, 1, 2))[0],
                resumable=dice.random() < 0.8,
                refusals=dice.choices((0, 1, 2), weights=(6, 2, 1))[0],
                wish=wish_after(steps),
                nodes=shapes.choices((1, 2, 3), weights=(5, 3, 1))[0],
                output=shapes.random() < 0.5,
            )
        )
        actions += [Action(at=create, verb="create", target=name), *steps]
    actions += _drains(dice, drains, nodes=nodes, seconds=seconds)
    actions += _kills(dice, kills, seconds=seconds)
    return Script(
        seed=seed,
        seconds=seconds,
        jobs=tuple(made),
        actions=tuple(sorted(actions, key=lambda action: action.at)),
    )


def wish_after(steps: Sequence[Action]) -> Wish:
    """What the spec asks for after these instructions; cancel wins."""
    spec = {"suspend": False, "cancel": False}
    for step in sorted(steps, key=lambda step: step.at):
        spec |= PATCHES.get(step.verb, {})
    return "cancel" if spec["cancel"] else "suspend" if spec["suspend"] else "run"


def _steps(dice: random.Random, name: str, *, begin: float, end: float) -> list[Action]:
    """Instructions and takings for one job, at any moment from its creation on, and one last wish near the end."""
    steps: list[Action] = []

    def add(at: float, verb: Verb) -> None:
        steps.append(Action(at=at, verb=verb, target=name))

    for _ in range(dice.randint(0, 4)):
        at, first = dice.uniform(begin, end), dice.choice(tuple(_REVERSE))
        if dice.random() < 0.15:
            verbs = [first if turn % 2 == 0 else _REVERSE[first] for turn in range(_BURST)]
            for turn, verb in enumerate(verbs):
                add(at + turn / _BURST, verb)
        else:
            add(at, dice.choice((first, _REVERSE[first])))
    for _ in range(dice.choices(range(_MOST_TAKEN + 1), weights=(4, 4, 3))[0]):
        add(dice.uniform(begin, end), dice.choice(get_args(Taking)))
    if dice.random() < 0.7:
        last = dice.choices(get_args(Wish), weights=(4, 3, 3))[0]
        at = dice.uniform(end * 0.7, end)
        at = max([at, *(step.at for step in steps)])
        if last == "cancel":
            add(at, "cancel")
        else:
            # NB: two instructions, in either order, and not always apart.
            verbs = ["uncancel", "suspend" if last == "suspend" else "resume"]
            dice.shuffle(verbs)
            for turn, verb in enumerate(verbs):
                add(at + turn * dice.choice((0.0, 0.4)), verb)
    return steps


def _drains(dice: random.Random, count: int, *, nodes: int, seconds: float) -> list[Action]:
    actions = []
    for turn in range(count):
        # NB: one after the other, so that not all nodes are closed at once.
        begin = seconds * (0.15 + 0.8 * turn / count)
        at, node = begin + dice.uniform(0, 0.3 * seconds / count), str(dice.randrange(nodes))
        actions.append(Action(at=at, verb="drain", target=node))
        actions.append(Action(at=at + min(4.0, 0.4 * seconds / count), verb="uncordon", target=node))
    return actions


def _kills(dice: random.Random, count: int, *, seconds: float) -> list[Action]:
    actions = []
    for turn in range(count):
        at = seconds * (0.1 + 0.85 * turn / count) + dice.uniform(0, 0.4 * seconds / count)
        actions.append(Action(at=at, verb="kill", target=OPERATOR))
        actions.append(
            Action(at=at + dice.uniform(0.0, 0.3 * seconds / count), verb="revive", target=OPERATOR)
        )
    return actions
