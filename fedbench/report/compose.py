"""From tables to documents: what is computed becomes what is printed."""

from collections.abc import Iterator, Sequence

from fedbench.report.arithmetic import Value
from fedbench.report.document import Document, Number
from fedbench.report.facts import definitions, facts
from fedbench.report.grids import comparison, grids, marked
from fedbench.report.tables import Table
from fedbench.report.warnings import warnings


def documents(tables: Sequence[Table], *, versus: str | None = None) -> tuple[Document, ...]:
    """All tables of a store, each as a document; with `versus`, a paired comparison in each that has numbers.

    Raises:
        FedbenchError: there is no row `versus`.
    """
    splits = [table.split for table in tables]
    return tuple(
        Document(
            split=table.split,
            backbone=table.backbone,
            title=table.title,
            grids=tuple(grids(table)),
            definitions=definitions(table),
            comparison=comparison(table, versus) if versus is not None and table.sections else None,
            facts=tuple(facts(table)),
            warnings=tuple(warnings(table)),
            notes=table.notes,
            unfinished=tuple(cell.line for cell in table.unfinished),
            numbers=tuple(_numbers(table, several_backbones=splits.count(table.split) > 1)),
        )
        for table in tables
    )


def _numbers(table: Table, *, several_backbones: bool) -> Iterator[Number]:
    """Those of the sections, then those per client. Where a split has several backbones, rows name theirs."""
    suffix = f" on {table.backbone}" if several_backbones else ""
    names = {row.label: marked(row.label + suffix, row in table.changed) for row in table.rows}
    for row, dataset, metric, value in _values(table):
        yield Number(names[row], dataset, table.split, metric, value)


def _values(table: Table) -> Iterator[tuple[str, str, str, Value]]:
    for section in (*table.sections, *table.spreads):
        for row in table.labels:
            for metric, value in zip(section.metrics, section.values[row], strict=True):
                yield row, section.dataset, metric, value
    for matrix in table.matrices:
        for target in matrix.targets:
            for (held_out, source), value in matrix.values.items():
                if held_out == target:
                    yield matrix.row, matrix.dataset, matrix.metric(target, source), value
            yield matrix.row, matrix.dataset, matrix.metric(target), matrix.over_sources[target]
