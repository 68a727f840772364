"""Reasons to distrust a table."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from fedbench.report.rows import listed, shown, unique
from fedbench.report.tables import Table

MARK = "†"
"""Behind the label of a row with cells that other code than the present ran."""


def warnings(table: Table) -> list[str]:
    """Reasons to distrust the table: cells that other code ran, rows that did not see one split, guessed names."""
    return [*_code(table), *_other_splits(table), *_guessed(table), *_other_weights(table)]


def changed(table: Table) -> list[str]:
    """Which cells were run by other code than the present, and of what: rows where that is all of their cells."""
    lines = []
    for row in table.rows:
        cells = [e for e in table.entries if e.row == row]
        if len({e.cell.changed for e in cells}) == 1:
            parts = cells[0].cell.changed
            lines += [f"{row.label} ({listed(parts)})"] if parts else []
        else:
            lines += [f"{e.name} ({listed(e.cell.changed)})" for e in cells if e.cell.changed]
    return lines


def _code(table: Table) -> Iterator[str]:
    found = changed(table)
    if found:
        yield (
            f"{MARK} run by code that has changed since: {', '.join(found)}; the same `bench run` command with "
            "--retry-changed runs these cells anew"
        )
    owners: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for e in table.entries:
        for part, digest in e.record.code.items():
            # other methods and data sets have other code; all else is one for the whole table
            owner = {"method": e.config.method, "dataset": e.dataset}.get(part, "")
            owners[part, owner][digest].append(e.name if part == "method" else e.row.label)
    for (part, owner), digests in owners.items():
        if len(digests) > 1:
            whose = f"of {owner} " if owner else ""
            yield f"the cells {whose}were run by different code of the {part} ({_by_hash(digests)})"


def _other_splits(table: Table) -> Iterator[str]:
    splits: dict[tuple[str, int, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    options = [e.config.split_options for e in table.entries]
    keys = unique(key for own in options for key in own)
    varying = [key for key in keys if len({shown(own.get(key)) for own in options}) > 1]
    for e in table.entries:
        # cells with other options of the split were never meant to see the same one
        own = "".join(f", {key} {shown(e.config.split_options.get(key))}" for key in varying)
        splits[e.dataset, e.seed, own][e.record.hashes.split].append(e.row.label)
    for (dataset, seed, own), hashes in sorted(splits.items()):
        if len(hashes) > 1:
            yield f"on {dataset}, seed {seed}{own}, the rows did not see the same split ({_by_hash(hashes)})"


def _guessed(table: Table) -> Iterator[str]:
    doubtful = unique(e.dataset for e in table.entries if e.clients and not e.clients.sure)
    if doubtful:
        yield (
            f"the cells of {', '.join(doubtful)} do not keep the order of their clients: their numbers are "
            "assigned to domains in alphabetical order, which may be wrong"
        )


def _other_weights(table: Table) -> Iterator[str]:
    weights: dict[str, list[str]] = defaultdict(list)
    for e in table.entries:
        weights[e.record.hashes.weights].append(e.row.label)
    if len(weights) > 1:
        yield f"the cells do not share the weights of {table.backbone} ({_by_hash(weights)})"


def _by_hash(groups: Mapping[str, Iterable[str]]) -> str:
    """`1f2e3d4c: CLIP, CoOp; 5b6a7988: Prox`."""
    return "; ".join(f"{found[:8]}: {', '.join(unique(names))}" for found, names in groups.items())
