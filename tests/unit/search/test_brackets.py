"""The brackets of Hyperband, number by number as the paper and the service have them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.search.brackets import Bracket, Variant, brackets, greatest_bracket, ladder

Table = list[list[tuple[int, int]]]

# Li et al. 2018, algorithm 1, by hand: configurations and units of each rung, s = smax first.
STANDARD: dict[tuple[int, int], Table] = {
    (27, 3): [
        [(27, 1), (9, 3), (3, 9), (1, 27)],
        [(12, 3), (4, 9), (1, 27)],
        [(6, 9), (2, 27)],
        [(4, 27)],
    ],
    (81, 3): [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ],
    (243, 3): [
        [(243, 1), (81, 3), (27, 9), (9, 27), (3, 81), (1, 243)],
        [(98, 3), (32, 9), (10, 27), (3, 81), (1, 243)],
        [(41, 9), (13, 27), (4, 81), (1, 243)],
        [(18, 27), (6, 81), (2, 243)],
        [(9, 81), (3, 243)],
        [(6, 243)],
    ],
    (16, 2): [
        [(16, 1), (8, 2), (4, 4), (2, 8), (1, 16)],
        [(10, 2), (5, 4), (2, 8), (1, 16)],
        [(7, 4), (3, 8), (1, 16)],
        [(5, 8), (2, 16)],
        [(5, 16)],
    ],
    (100, 4): [
        [(64, 1), (16, 6), (4, 25), (1, 100)],
        [(22, 6), (5, 25), (1, 100)],
        [(8, 25), (2, 100)],
        [(4, 100)],
    ],
    (1, 3): [[(1, 1)]],
}

# As NVIDIA TAO's service counts: [27,9,3,1]@[1,3,9,27]; [9,3,1]@[3,9,27]; [6,2]@[9,27].
TAO: dict[tuple[int, int], Table] = {
    (27, 3): [
        [(27, 1), (9, 3), (3, 9), (1, 27)],
        [(9, 3), (3, 9), (1, 27)],
        [(6, 9), (2, 27)],
    ],
    (16, 2): [
        [(16, 1), (8, 2), (4, 4), (2, 8), (1, 16)],
        [(8, 2), (4, 4), (2, 8), (1, 16)],
        [(4, 4), (2, 8), (1, 16)],
        [(4, 8), (2, 16)],
    ],
    (100, 4): [
        [(64, 1), (16, 4), (4, 16), (1, 64)],
        [(16, 6), (4, 24), (1, 96)],
        [(8, 25), (2, 100)],
    ],
    (1, 3): [],
}


def rows(found: tuple[Bracket, ...]) -> Table:
    return [[(rung.configurations, rung.units) for rung in bracket.rungs] for bracket in found]


@pytest.mark.parametrize(("r", "nu"), STANDARD, ids=lambda value: str(value))
def test_the_standard_brackets_are_those_of_algorithm_1(r: int, nu: int) -> None:
    found = brackets(r, nu)
    assert rows(found) == STANDARD[r, nu]
    assert [bracket.s for bracket in found] == list(range(len(found) - 1, -1, -1))


@pytest.mark.parametrize(("r", "nu"), TAO, ids=lambda value: str(value))
def test_the_variant_of_tao_counts_as_its_service(r: int, nu: int) -> None:
    found = brackets(r, nu, "tao")
    assert rows(found) == TAO[r, nu]
    assert [bracket.s for bracket in found] == list(range(len(found), 0, -1))


def test_the_paper_prints_other_numbers_in_its_table_1_than_its_algorithm_gives() -> None:
    """n = ceil(floor((smax + 1) / (s + 1)) * nu^s) there; the variant of TAO has these, without the last."""
    printed = [81, 27, 9, 6, 5]
    assert [math.ceil((4 + 1) // (s + 1) * 3**s) for s in range(4, -1, -1)] == printed
    assert [bracket.configurations for bracket in brackets(81, 3)] == [81, 34, 15, 8, 5]
    assert [bracket.configurations for bracket in brackets(81, 3, "tao")] == printed[:-1]


@pytest.mark.parametrize(("variant", "trials", "epochs"), [("tao", 42, 234), ("standard", 49, 357)])
def test_the_epochs_of_a_search_are_those_of_the_rungs_that_go_on_from_their_checkpoints(
    variant: Variant, trials: int, epochs: int
) -> None:
    found = brackets(27, 3, variant)
    assert sum(bracket.configurations for bracket in found) == trials
    spent = 0
    for bracket in found:
        before = 0
        for rung in bracket.rungs:
            spent += rung.configurations * (rung.units - before)
            before = rung.units
    assert spent == epochs


@pytest.mark.parametrize(
    ("r", "nu", "smax"),
    [
        (243, 3, 5),
        (242, 3, 4),
        (244, 3, 5),
        (125, 5, 3),
        (1000, 10, 3),
        (2, 3, 0),
        (3**39, 3, 39),
        (2**62, 2, 62),
    ],
)
def test_the_logarithm_is_a_whole_one(r: int, nu: int, smax: int) -> None:
    assert greatest_bracket(r, nu) == smax


@given(r=st.integers(1, 10**7), nu=st.integers(2, 12))
def test_smax_is_the_greatest_power_that_r_holds(r: int, nu: int) -> None:
    smax = greatest_bracket(r, nu)
    assert nu**smax <= r < nu ** (smax + 1)


@given(r=st.integers(1, 10**6), nu=st.integers(2, 12), variant=st.sampled_from(["standard", "tao"]))
def test_each_rung_is_smaller_and_longer_than_the_one_before(r: int, nu: int, variant: Variant) -> None:
    for bracket in brackets(r, nu, variant):
        assert len(bracket.rungs) == bracket.s + 1
        for rung, following in zip(bracket.rungs, bracket.rungs[1:], strict=False):
            assert 1 <= following.configurations < rung.configurations
            assert rung.units < following.units
        assert 1 <= bracket.rungs[-1].units <= r
        if variant == "standard":
            assert bracket.rungs[-1].units == r


def test_the_ladder_of_asha_is_the_bracket_with_the_most_rungs() -> None:
    assert ladder(27, 3) == (1, 3, 9, 27)
    assert ladder(100, 4) == (1, 6, 25, 100)
    assert ladder(2, 3) == (2,)


@pytest.mark.parametrize(("r", "nu"), [(0, 3), (27, 1), (27, 0), (-1, 2)])
def test_there_are_no_brackets_without_a_resource_or_a_share(r: int, nu: int) -> None:
    with pytest.raises(ValueError, match=f"R = {r} and nu = {nu}"):
        brackets(r, nu)
