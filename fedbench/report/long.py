"""The table in long form: CSV, one number a line."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from fedbench.report.arithmetic import Value
from fedbench.report.matrix import matrices, spreads
from fedbench.report.tables import Table

CSV_COLUMNS = ["method", "dataset", "protocol", "metric", "mean", "std", "n"]


def frame(tables: Sequence[Table]) -> pd.DataFrame:
    """Every number in long form, unrounded; a missing one has n 0. HM is a metric, Average a dataset.

    Where a protocol has several backbones, `method` names the backbone too. Metrics with `/` belong to a
    domain, those with `<-` to clients: `target/amazon` is the accuracy on the held-out amazon, the mean over
    its source clients; `target/amazon<-webcam` that of the client webcam; `target/amazon<-*` the first again,
    with std and n over the source clients instead of seeds; `target/avg` the mean over held-out domains.
    `local/webcam` is the mean over the clients of webcam, and `local<-*` is `local` with std and n over
    clients.
    """
    splits = [table.split for table in tables]
    rows: list[dict[str, Any]] = []
    for table in tables:
        suffix = f" on {table.backbone}" if splits.count(table.split) > 1 else ""
        for row, dataset, name, value in _numbers(table):
            numbers = [row + suffix, dataset, table.split, name, value.mean, value.std, value.n]
            rows.append(dict(zip(CSV_COLUMNS, numbers, strict=True)))
    return pd.DataFrame(rows, columns=CSV_COLUMNS)


def _numbers(table: Table) -> Iterator[tuple[str, str, str, Value]]:
    """(row, dataset, metric, number): the blocks', then those per client."""
    for block in (*table.blocks, *spreads(table)):
        for row in table.rows:
            for name, value in zip(block.metrics, block.values[row], strict=True):
                yield row, block.dataset, name, value
    for matrix in matrices(table):
        for target in matrix.targets:
            for (held_out, source), value in matrix.values.items():
                if held_out == target:
                    yield matrix.row, matrix.dataset, matrix.metric(target, source), value
            yield matrix.row, matrix.dataset, matrix.metric(target), matrix.over_sources[target]


def csv(tables: Sequence[Table]) -> str:
    """`frame` as CSV; floats in full precision, empty where missing (std: also for a single seed)."""
    return frame(tables).to_csv(index=False, lineterminator="\n")
