"""HM, ± and ranks, against numbers worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbench.report.arithmetic import MISSING, Value, harmonic_mean, over_seeds, ranks


@pytest.mark.parametrize(
    ("columns", "printed"),
    [
        (
            (79.18, 79.83, 83.25),
            80.71,
        ),  # poster, CLIP average; it prints 80.72 from unrounded columns (test_tables)
        ((89.07, 69.65, 54.25), 68.15),  # poster, FedPGP on DTD, with the typo 55.25 corrected
        ((95.67, 85.69, 81.75), 87.33),  # poster, FedPGP average
    ],
)
def test_hm_of_the_poster(columns: tuple[float, ...], printed: float) -> None:
    assert harmonic_mean(columns) == pytest.approx(printed, abs=0.0101)


def test_hm_of_zero_and_of_missing() -> None:
    assert harmonic_mean([50.0, 0.0]) == 0
    assert math.isnan(harmonic_mean([50.0, math.nan]))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_hm_lies_between_the_columns(columns: list[float]) -> None:
    assert min(columns) - 1e-9 <= harmonic_mean(columns) <= max(columns) + 1e-9


def test_std_has_ddof_1() -> None:
    value = over_seeds({0: 70.0, 1: 72.0, 2: 77.0})
    assert value.mean == pytest.approx(73)
    assert value.std == pytest.approx(math.sqrt(13))  # (9 + 1 + 16) / 2
    assert value.n == 3


def test_one_seed_has_no_std() -> None:
    value = over_seeds({0: 70.0})
    assert (value.mean, value.n) == (70.0, 1)
    assert math.isnan(value.std)


def test_nan_or_nothing_is_missing() -> None:
    assert over_seeds({}).missing
    assert over_seeds({1: 70.0, 2: math.nan}).missing


def column(*means: float) -> list[Value]:
    return [MISSING if math.isnan(m) else Value(m, math.nan, 1) for m in means]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((70.0, 80.0, 75.0), [0, 1, 2]),
        ((80.0, 80.0, 75.0, 75.0, 60.0), [1, 1, 2, 2, 0]),
        ((80.001, 80.002, 70.0), [2, 1, 0]),  # equal when rounded to two digits, not before
        ((0.1 + 0.2, 0.3, 0.1), [1, 1, 2]),
        ((80.0, math.nan, 70.0), [1, 0, 2]),
        ((80.0, math.nan), [0, 0]),
        ((80.0,), [0]),
    ],
)
def test_ranks(means: tuple[float, ...], expected: list[int]) -> None:
    assert ranks(column(*means)) == expected
