"""The numbers of one dataset, row by row, and their average over datasets."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedbench.report.arithmetic import HM, MISSING, Value, harmonic_mean, over_seeds
from fedbench.report.layout import Layout, PerSeed
from fedbench.report.rows import listed

AVERAGE = "Average"

Numbers = Mapping[tuple[str, str], PerSeed]
"""(row, dataset) to the selected numbers of every seed."""


@dataclass(frozen=True)
class Section:
    """The rows of one dataset, or of the average over datasets. `values[row]` follow `metrics`."""

    dataset: str
    metrics: tuple[str, ...]
    values: Mapping[str, tuple[Value, ...]]


def section(dataset: str, layout: Layout, rows: Iterable[str], numbers: Numbers) -> Section:
    """The section of a dataset: every number pooled over the seeds that have it."""
    values = {}
    for row in rows:
        seeds = sorted(numbers.get((row, dataset), {}).items())
        values[row] = tuple(
            over_seeds({seed: found[m] for seed, found in seeds if m in found}) for m in layout.metrics
        )
    return Section(dataset, layout.metrics, values)


def average(
    datasets: Sequence[str], layouts: Mapping[str, Layout], rows: Iterable[str], numbers: Numbers
) -> tuple[list[Section], list[str]]:
    """The Average section (none if the datasets differ in their columns), and notes on what it leaves out."""
    kinds = {found.shared for found in layouts.values()}
    if len(kinds) != 1:
        return [], ["no average: the datasets do not have the same columns"] if kinds else []
    (shared,) = kinds
    values: dict[str, tuple[Value, ...]] = {}
    notes = []
    for row in rows:
        seeds = [set(numbers.get((row, d), {})) for d in datasets]
        common, every = sorted(set.intersection(*seeds)), sorted(set.union(*seeds))
        values[row] = _average_row([numbers.get((row, d), {}) for d in datasets], shared, common)
        if common and common != every:
            notes.append(
                f"{AVERAGE} of {row}: over the seeds that every dataset has ({listed(common)}), "
                f"not {listed(sorted(set(every) - set(common)))}"
            )
        elif every and not common:
            lacking = [d for d, s in zip(datasets, seeds, strict=True) if not s]
            why = f"no finished cell on {', '.join(lacking)}" if lacking else "no seed that all datasets have"
            notes.append(f"{AVERAGE} of {row} is missing: {why}")
    return [Section(AVERAGE, shared, values)], notes


def _average_row(datasets: list[PerSeed], metrics: tuple[str, ...], seeds: list[int]) -> tuple[Value, ...]:
    """One row of the Average section, over seeds that every dataset has."""
    if not seeds:
        return tuple(MISSING for _ in metrics)
    columns = [m for m in metrics if m != HM]

    def mean(seed: int, metric: str) -> float:
        return statistics.fmean(d[seed].get(metric, math.nan) for d in datasets)

    per_seed = {s: {m: mean(s, m) for m in columns} for s in seeds}
    row = [over_seeds({s: per_seed[s][m] for s in seeds}) for m in columns]
    if HM in metrics:
        hm = harmonic_mean([value.mean for value in row])
        row.append(over_seeds({s: harmonic_mean(list(per_seed[s].values())) for s in seeds}, mean=hm))
    return tuple(row)
