"""Texts that all forms of the table share: column names, numbers, the comparison's heading."""

from fedbench.report.arithmetic import Value
from fedbench.report.stats import metric
from fedbench.report.tables import HM, Block, Table

ABSENT = "–"


def heading(metric_name: str) -> str:
    """`hm` as HM, `local` as Local; a name with capitals of its own stays."""
    return "HM" if metric_name == HM else metric_name[:1].upper() + metric_name[1:]


def number(value: Value) -> tuple[str, str]:
    """The mean, and what follows it: "71.25" and " ± 0.40". No ± for a single seed."""
    if value.missing:
        return ABSENT, ""
    return f"{value.mean:.2f}", f" ± {value.std:.2f}" if value.n > 1 else ""


def seeds(block: Block, row: str) -> int:
    """The number of seeds behind a row's numbers, for the column n; 0 where the row has none."""
    return max(value.n for value in block.values[row])


def comparison_title(table: Table, versus: str) -> str:
    """What the paired comparison shows."""
    what = "HM" if metric(table) == HM else "the mean of the columns"
    return (
        f"Paired difference in {what} to {versus} over (dataset, seed) pairs "
        "(p: two-sided Wilcoxon signed-rank test, not corrected for several rows)"
    )
