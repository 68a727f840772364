"""The arithmetic of the tables: harmonic mean, mean ± sample standard deviation over seeds, ranks."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HM = "hm"
"""The metric that is the harmonic mean of the others."""

TIE = 1e-9
"""Percentages closer than this are the same number (the order of a sum must not decide who is best)."""


@dataclass(frozen=True)
class Value:
    """A number of the table in percent: mean and sample standard deviation (ddof 1) over n seeds.

    `mean` is nan and n is 0 where the number is missing; `std` is nan for n < 2.
    """

    mean: float = math.nan
    std: float = math.nan
    n: int = 0

    @property
    def missing(self) -> bool:
        return math.isnan(self.mean)


MISSING = Value()


def harmonic_mean(values: Sequence[float]) -> float:
    """n / sum(1 / x); 0 if one is 0, nan if one is missing."""
    if any(math.isnan(x) for x in values):
        return math.nan
    least = min(values)
    if least <= 0:
        return 0.0
    return len(values) * least / math.fsum(least / x for x in values)  # 1 / x could overflow


def over_seeds(per_seed: Mapping[int, float], *, mean: float | None = None) -> Value:
    """Pool a number over seeds; a nan makes it missing. `mean` replaces the plain mean (an average's HM)."""
    numbers = list(per_seed.values())
    if not numbers or any(math.isnan(x) for x in numbers):
        return MISSING
    std = statistics.stdev(numbers) if len(numbers) > 1 else math.nan
    return Value(statistics.fmean(numbers) if mean is None else mean, std, len(numbers))


def over_clients(seeds: Sequence[Sequence[float]]) -> Value:
    """Mean and sample standard deviation over the clients of each seed, both averaged over seeds.

    n is the number of clients (of the seed with the fewest); a nan makes the number missing.
    """
    if not seeds or not all(seeds) or any(math.isnan(x) for clients in seeds for x in clients):
        return MISSING
    n = min(map(len, seeds))
    std = statistics.fmean(map(statistics.stdev, seeds)) if n > 1 else math.nan
    return Value(statistics.fmean(map(statistics.fmean, seeds)), std, n)


def ranks(values: Sequence[Value]) -> list[int]:
    """1 for the best and 2 for the second best of a column, else 0; on unrounded means, ties share.

    All are 0 when fewer than two rows have a number.
    """
    present = sorted((v.mean for v in values if not v.missing), reverse=True)
    if len(present) < 2:
        return [0] * len(values)
    best = present[0]
    second = next((x for x in present if best - x > TIE), math.nan)

    def rank(value: Value) -> int:
        if value.missing:
            return 0
        return 1 if best - value.mean <= TIE else 2 if second - value.mean <= TIE else 0

    return [rank(value) for value in values]
