"""Paired comparison of methods: they see the same splits and seeds, so differences are taken pair by pair."""

import math
import statistics
from dataclasses import dataclass

from fedbench.errors import FedbenchError, unknown
from fedbench.report.arithmetic import HM, harmonic_mean
from fedbench.report.tables import Table

FEWEST = 5
"""With fewer pairs a signed-rank test cannot say anything (five pairs: p is at least 1/16)."""


@dataclass(frozen=True)
class Comparison:
    """A row against the baseline over n (dataset, held-out domain, seed) pairs with the same split.

    Attributes:
        difference: mean of row minus baseline, in points.
        p: two-sided Wilcoxon signed-rank test; None if n < 5.
    """

    row: str
    n: int
    difference: float | None
    p: float | None

    @property
    def verdict(self) -> str:
        """p, or why there is none."""
        return "n too small" if self.p is None else f"{self.p:.3f}" if self.p >= 0.001 else "< 0.001"


def metric(table: Table) -> str:
    """What is compared: HM where the protocol has it, else the mean of its columns."""
    return HM if any(HM in section.metrics for section in table.sections) else "mean"


def compare(table: Table, versus: str) -> list[Comparison]:
    """Every other row of the table against the row `versus`: its label, or a method that has one row.

    Pairs whose split hashes differ, or where a number is missing, are left out of n. p-values are not
    corrected for the number of rows, and pairs within a dataset share its test images.

    Raises:
        FedbenchError: no such row.
    """
    baseline = _row(table, versus)
    scores = {row: _scores(table, row) for row in table.labels}
    result = []
    for row in table.labels:
        if row != baseline:
            pairs = sorted(set(scores[row]) & set(scores[baseline]))
            result.append(_comparison(row, [scores[row][p] - scores[baseline][p] for p in pairs]))
    return result


def _row(table: Table, versus: str) -> str:
    if versus in table.labels:
        return versus
    of_method = {e.row.label for e in table.entries if e.config.method == versus}
    if len(of_method) == 1:
        return of_method.pop()
    if of_method:
        raise FedbenchError(
            f"'{versus}' has several rows; compare with one of: {', '.join(sorted(of_method))}"
        )
    raise unknown("row to compare with", versus, table.labels)


def _scores(table: Table, row: str) -> dict[tuple[str, int, str], float]:
    """(dataset, seed, split hash) to the row's score, where there is one."""
    scores = {}
    for e in table.entries:
        if e.row.label == row:
            numbers = list(e.selected.values.values())
            hm = HM in table.layouts[e.dataset].metrics
            score = harmonic_mean(numbers) if hm else statistics.fmean(numbers)
            if not math.isnan(score):
                scores[e.dataset, e.seed, e.record.hashes.split] = score
    return scores


def _comparison(row: str, differences: list[float]) -> Comparison:
    n = len(differences)
    if n == 0:
        return Comparison(row, 0, None, None)
    mean = statistics.fmean(differences)
    if n < FEWEST:
        return Comparison(row, n, mean, None)
    if not any(differences):  # the test is not defined without a single difference
        return Comparison(row, n, mean, 1.0)
    from scipy.stats import wilcoxon  # takes a second to import

    return Comparison(row, n, mean, float(wilcoxon(differences).pvalue))
