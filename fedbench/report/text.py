"""Texts that all forms of the table share: column names and numbers."""

from collections.abc import Iterable

from fedbench.report.arithmetic import HM, Value
from fedbench.report.layout import AVG
from fedbench.report.sections import Section

ABSENT = "–"


def heading(metric_name: str) -> str:
    """`hm` as HM, `local` as Local; a name with capitals of its own stays. `local/webcam` is webcam's."""
    _, _, domain = metric_name.partition("/")
    if domain:
        return "Avg" if domain == AVG else domain
    return "HM" if metric_name == HM else metric_name[:1].upper() + metric_name[1:]


def number(value: Value) -> tuple[str, str]:
    """The mean, and what follows it: "71.25" and " ± 0.40". No ± for a single seed."""
    if value.missing:
        return ABSENT, ""
    return f"{value.mean:.2f}", f" ± {value.std:.2f}" if value.n > 1 else ""


def seeds(section: Section, row: str) -> str:
    """The number of seeds behind a row's numbers, for the column n; 0 where the row has none."""
    return counted(value.n for value in section.values[row] if not value.missing)


def counted(numbers: Iterable[int]) -> str:
    """`3`, or `2–3` where they differ."""
    found = sorted(set(numbers)) or [0]
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"
