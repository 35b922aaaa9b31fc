import math

import pytest

from starflow_v.data.scenes import Region
from starflow_v.studio.asking import (
    OWN_SIZE,
    Choices,
    read_draws,
    read_region,
    read_seed,
    read_wishes,
)
from starflow_v.studio.limits import Limits

CHOICES = Choices(sizes={"48×32": (32, 48)}, most_frames=33, solvers=("sequential", "jacobi"))
GOOD = {"size": "48×32", "frames": 9, "guidance": 1.5, "solver": "jacobi"}


def test_what_the_page_offers_is_taken() -> None:
    wishes = read_wishes(CHOICES, Limits(), **GOOD, strength=0.25)
    assert (wishes.height, wishes.width, wishes.num_frames) == (32, 48, 9)
    assert (wishes.guidance_scale, wishes.solver, wishes.strength) == (1.5, "jacobi", 0.25)


def test_the_own_size_is_left_to_the_task() -> None:
    wishes = read_wishes(CHOICES, Limits(), **(GOOD | {"size": OWN_SIZE}))
    assert (wishes.height, wishes.width, wishes.strength) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "100000×100000"),
        ("size", ["48×32"]),
        ("frames", 34),
        ("frames", 0),
        ("frames", 2.5),
        ("frames", "9"),
        ("frames", True),
        ("guidance", math.nan),
        ("guidance", 1e9),
        ("guidance", None),
        ("solver", "magic"),
        ("strength", 2),
    ],
)
def test_what_it_does_not_offer_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"There is no|must be"):
        read_wishes(CHOICES, Limits(), **(GOOD | {name: value}))


def test_seeds_are_whole_numbers_that_a_browser_can_hold() -> None:
    assert read_seed(7.0) == 7
    assert read_seed(None) != read_seed("")
    for bad in (-1, 0.5, 2**60, "seven"):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            read_seed(bad)


def test_seeds_may_be_written() -> None:
    assert read_seed(" 7 ") == 7 and read_seed(str(2**53)) == 2**53
    assert read_seed("  ") != read_seed("")
    for bad in ("-1", "7.5", "1e3", "٣", "9" * 19, "9" * 999):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            read_seed(bad)


EDGES = {"left": 25, "right": 75, "top": 50, "bottom": 100, "side": "inside"}


def test_a_region_is_told_in_percents() -> None:
    assert read_region(**EDGES) == Region(0.25, 0.5, 0.75, 1.0)
    assert not read_region(**(EDGES | {"side": "outside"})).hides_inside


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("left", 75, "is empty"),
        ("bottom", 50, "is empty"),
        ("left", -1, "left edge must be a number from 0 to 100"),
        ("top", math.nan, "upper edge must be"),
        ("right", "75", "right edge must be"),
        ("side", "beneath", "There is no side"),
        ("side", ["inside"], "There is no side"),
    ],
)
def test_what_is_no_region_is_refused(name: str, value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_region(**(EDGES | {name: value}))


def test_draws_are_bounded() -> None:
    assert read_draws(4, Limits()) == 4
    with pytest.raises(ValueError, match="draws must be a whole number from 1 to 32"):
        read_draws(1000, Limits())
