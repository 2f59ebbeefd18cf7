"""How a search is run: its algorithm and its numbers, and what of them makes no sense.

Separate because a spec may hold numbers that nobody can run (a nu of 0): they are stored, and refused here when they
shall be run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainyard.search.brackets import Bracket, Variant, brackets, ladder
from trainyard.search.median import Median

Algorithm = Literal["bayesian", "hyperband", "asha", "random", "grid"]

#: Of these trials run for the epochs of a rung, and only the best go on.
ON_RUNGS = ("hyperband", "asha")

#: Runs of one search: what status has room for.
MOST_RUNS = 2000
_MOST_EPOCHS = 10**9


@dataclass(frozen=True)
class Rules:
    """What `spec.automl` says of the search, its objective's direction and threshold, and the size of the grid."""

    algorithm: Algorithm
    variant: Variant = "standard"
    max_recommendations: int = 20
    parallelism: int = 1
    max_resource: int = 27
    nu: int = 3
    epoch_multiplier: int = 1
    max_failed: int | None = None
    minimize: bool = False
    threshold: float | None = None
    median: Median | None = None
    grid: int | None = None

    @property
    def by_rungs(self) -> bool:
        """Whether trials run for the epochs of a rung, and only the best go on."""
        return self.algorithm in ON_RUNGS

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """The brackets of hyperband."""
        return brackets(self.max_resource, self.nu, self.variant)

    @property
    def ladder(self) -> tuple[int, ...]:
        """The units of asha's rungs."""
        return ladder(self.max_resource, self.nu)

    @property
    def trials(self) -> int:
        """How many trials there are to be, if nothing ends the search before."""
        if self.algorithm == "hyperband":
            return sum(bracket.configurations for bracket in self.brackets)
        if self.algorithm == "grid" and self.grid is not None:
            return min(self.max_recommendations, self.grid)
        return self.max_recommendations

    @property
    def runs(self) -> int:
        """How many runs there will be: a trial has one on each rung that it comes to.

        Of asha it is about this many: one that was promoted early may be overtaken, and those that did go on, too.
        """
        if self.algorithm == "hyperband":
            return sum(rung.configurations for bracket in self.brackets for rung in bracket.rungs)
        if self.algorithm == "asha":
            return sum(self.max_recommendations // self.nu**rung for rung in range(len(self.ladder)))
        return self.trials

    def problem(self) -> str | None:
        """Why it cannot be run, as a sentence that names the field; None when it can."""
        if self.parallelism < 1:
            return f"spec.automl.parallelism is {self.parallelism}: at least 1 trial has to run at a time."
        if self.by_rungs and (found := self._wrong_rungs()):
            return found
        if self.algorithm != "hyperband" and self.max_recommendations < 1:
            return f"spec.automl.maxRecommendations is {self.max_recommendations}: there is no trial to run."
        if self.runs <= MOST_RUNS:
            return None
        if self.algorithm == "hyperband":
            return (
                f"spec.automl.maxResource of {self.max_resource} and nu of {self.nu} make {self.runs} runs of "
                f"{self.trials} trials; at most {MOST_RUNS} runs are possible. Take a smaller maxResource and a larger "
                "epochMultiplier, or algorithm: asha with maxRecommendations."
            )
        return (
            f"spec.automl.maxRecommendations is {self.max_recommendations}, which is {self.runs} runs; at most "
            f"{MOST_RUNS} are possible."
        )

    def _wrong_rungs(self) -> str | None:
        if self.max_resource < 1:
            return f"spec.automl.maxResource is {self.max_resource}: a trial has to be given 1 unit or more."
        if self.nu < 2:
            return f"spec.automl.nu is {self.nu}: of each rung one in nu goes on, so it has to be 2 or more."
        if self.epoch_multiplier < 1:
            return (
                f"spec.automl.epochMultiplier is {self.epoch_multiplier}: a unit has to be 1 epoch or more."
            )
        if self.max_resource * self.epoch_multiplier > _MOST_EPOCHS:
            return (
                f"spec.automl.maxResource of {self.max_resource} and epochMultiplier of {self.epoch_multiplier} make "
                f"more than {_MOST_EPOCHS} epochs of one trial."
            )
        if self.algorithm == "hyperband" and not self.brackets:
            return (
                f"spec.automl.variant tao leaves the last bracket out, and with maxResource {self.max_resource} and nu "
                f"{self.nu} there is no other: take a maxResource of at least {self.nu}, or variant: standard."
            )
        return None
