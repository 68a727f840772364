"""The table in long form: CSV, one number a line."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fedbench.report.tables import Table

CSV_COLUMNS = ["method", "dataset", "protocol", "metric", "mean", "std", "n"]


def frame(tables: Sequence[Table]) -> pd.DataFrame:
    """Every number in long form, unrounded; a missing one has n 0. HM is a metric, Average a dataset.

    Where a protocol has several backbones, `method` names the backbone too.
    """
    splits = [table.split for table in tables]
    rows: list[dict[str, Any]] = []
    for table in tables:
        suffix = f" on {table.backbone}" if splits.count(table.split) > 1 else ""
        for block in table.blocks:
            for row in table.rows:
                for name, value in zip(block.metrics, block.values[row], strict=True):
                    numbers = [row + suffix, block.dataset, table.split, name, value.mean, value.std, value.n]
                    rows.append(dict(zip(CSV_COLUMNS, numbers, strict=True)))
    return pd.DataFrame(rows, columns=CSV_COLUMNS)


def csv(tables: Sequence[Table]) -> str:
    """`frame` as CSV; floats in full precision, empty where missing (std: also for a single seed)."""
    return frame(tables).to_csv(index=False, lineterminator="\n")
