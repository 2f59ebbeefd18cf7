"""The brackets and rungs of Hyperband: how many configurations, and how much each is given.

Separate because these are the numbers that the papers print, and they are compared with them. Whole numbers only: a
float logarithm of 243 to base 3 is less than 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Variant = Literal["standard", "tao"]


@dataclass(frozen=True)
class Rung:
    """So many configurations are given so many units of the resource each, counted from their start."""

    configurations: int
    units: int


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving; `s` is its number in Li et al. 2018, the greatest comes first."""

    s: int
    rungs: tuple[Rung, ...]

    @property
    def configurations(self) -> int:
        return self.rungs[0].configurations


@lru_cache(maxsize=64)
def brackets(max_resource: int, nu: int, variant: Variant = "standard") -> tuple[Bracket, ...]:
    """The brackets of Hyperband with R = `max_resource`, in the order in which they are run.

    standard: Li et al. 2018, algorithm 1. tao: as NVIDIA TAO's service counts, but with a whole logarithm: fewer
    configurations (those of the paper's Table 1), the units of a rung as `nu` times those of the rung before, and no
    bracket s = 0. Raises ValueError for an R below 1 or a nu below 2.
    """
    smax = greatest_bracket(max_resource, nu)
    if variant == "tao":
        return tuple(_tao(max_resource, nu, smax, s) for s in range(smax, 0, -1))
    return tuple(_standard(max_resource, nu, smax, s) for s in range(smax, -1, -1))


def greatest_bracket(max_resource: int, nu: int) -> int:
    """smax of Li et al. 2018: the whole part of the logarithm of R to base nu."""
    if max_resource < 1 or nu < 2:
        raise ValueError(f"there are no brackets for R = {max_resource} and nu = {nu}")
    s, power = 0, nu
    while power <= max_resource:
        s, power = s + 1, power * nu
    return s


@lru_cache(maxsize=64)
def ladder(max_resource: int, nu: int) -> tuple[int, ...]:
    """The units of each rung of the bracket with the most rungs, which is that of asha."""
    return tuple(rung.units for rung in brackets(max_resource, nu)[0].rungs)


def _standard(max_resource: int, nu: int, smax: int, s: int) -> Bracket:
    configurations = -(-(smax + 1) * nu**s // (s + 1))
    return Bracket(
        s,
        tuple(Rung(configurations // nu**i, max(1, max_resource // nu ** (s - i))) for i in range(s + 1)),
    )


def _tao(max_resource: int, nu: int, smax: int, s: int) -> Bracket:
    configurations = (smax + 1) // (s + 1) * nu**s
    units = max(1, max_resource // nu**s)
    return Bracket(s, tuple(Rung(configurations // nu**i, units * nu**i) for i in range(s + 1)))
