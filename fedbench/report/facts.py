"""What every table must say about itself: backbone, selection, seeds, settings, machine, splits, warnings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from fedbench.config import Training
from fedbench.quirks import BEST_ON_TEST
from fedbench.report.arithmetic import HM
from fedbench.report.layout import AVG
from fedbench.report.matrix import spreads
from fedbench.report.rows import FEW, LAYOUT, SHOTS, flat, held_out, listed, short, shown, unique
from fedbench.report.select import describe
from fedbench.report.tables import Table
from fedbench.store.read import Finished

TRAINING = tuple(key for key in Training.model_fields if key != "precision")  # which `Computed` states

SHOTS_KEY = f"split_options.{SHOTS}"


def facts(table: Table) -> list[tuple[str, str]]:
    """(name, text) pairs that stand beside the table, in order."""
    pairs = [
        ("Backbone", table.backbone + (f" ({table.caveat})" if table.caveat else "") + _weights(table)),
        ("Protocol", _protocol(table)),
        ("Data", _data(table)),
        ("Quirks", quirks(table)),
        ("Selection", _selection(table)),
        ("Seeds", _seeds(table)),
        ("Training", _training(table)),
        *[(f"Hyper-parameters of {row}", text) for row, text in _hyper(table)],
        ("Computed", _computed(table)),
        ("Splits", _splits(table)),
        ("Missing images", _missing(table)),
    ]
    return [(name, text) for name, text in pairs if text]


def definitions(table: Table) -> str:
    """How the numbers came about, in one line."""
    text = "Accuracies in %: mean ± sample standard deviation over seeds"
    metrics = {m for block in table.blocks for m in block.metrics}
    if HM in metrics:
        text += "; HM: harmonic mean of the columns, per seed; an average's HM is that of its columns"
    if table.held_out:
        text += "; columns: the held-out domain, each the mean over its source clients"
    if any(m.endswith(f"/{AVG}") for m in metrics):
        text += "; Avg: mean of the columns, per seed"
    if any(found.groups for found in table.layouts.values()):
        text += "; a domain's column: mean over its clients; the last column: mean over all clients"
    if any(len(block.metrics) == 1 for block in spreads(table)):
        text += (
            "; each number is the mean over clients; Std over clients: sample standard deviation over the "
            "clients of a seed, averaged over seeds"
        )
    return text + "."


def warnings(table: Table) -> list[str]:
    """Reasons to distrust the table: rows that did not see one split or one set of weights; guessed names."""
    lines = []
    splits: dict[tuple[str, int, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    options = [c.config.split_options for c in table.cells]
    varying = [
        k for k in unique(k for o in options for k in o) if len({shown(o.get(k)) for o in options}) > 1
    ]
    for c in table.cells:
        # cells with other options of the split were never meant to see the same one
        own = "".join(f", {key} {shown(c.config.split_options.get(key))}" for key in varying)
        splits[c.config.dataset, c.config.seed, own][c.record.hashes.split].append(table.labels[c.name])
    for (dataset, seed, own), hashes in sorted(splits.items()):
        if len(hashes) > 1:
            groups = "; ".join(f"{h[:8]}: {', '.join(unique(rows))}" for h, rows in hashes.items())
            lines.append(f"on {dataset}, seed {seed}{own}, the rows did not see the same split ({groups})")
    doubtful = unique(c.config.dataset for c in table.cells if _doubtful(table, c))
    if doubtful:
        lines.append(
            f"the cells of {', '.join(doubtful)} do not keep the order of their clients: their numbers are "
            "assigned to domains in alphabetical order, which may be wrong"
        )
    weights: dict[str, list[str]] = defaultdict(list)
    for c in table.cells:
        weights[c.record.hashes.weights].append(table.labels[c.name])
    if len(weights) > 1:
        groups = "; ".join(f"{h[:8]}: {', '.join(unique(rows))}" for h, rows in weights.items())
        lines.append(f"the cells do not share the weights of {table.backbone} ({groups})")
    return lines


def unfinished(table: Table) -> list[str]:
    """A line for every cell that has no numbers."""
    return [cell.line for cell in table.open]


def _weights(table: Table) -> str:
    hashes = unique(c.record.hashes.weights for c in table.cells)
    return f", weights {', '.join(h[:8] for h in hashes)}" if hashes else ""


def _protocol(table: Table) -> str:
    parts = [table.split]
    protocols = [c.record.protocol for c in table.cells]
    clients = unique(p.clients for p in protocols if p.clients is not None)
    options = [key for c in table.cells for key in flat(c.config) if key.startswith("split_options.")]
    options = [key for key in options if key not in LAYOUT]
    if clients and "split_options.clients" not in options:
        parts.append(f"{' / '.join(map(str, clients))} clients")
    parts += _settings(table, options)
    sources: dict[str, list[str]] = defaultdict(list)
    for c in table.cells:
        if c.record.protocol.source:
            sources[c.record.protocol.source].append(c.config.dataset)
    parts += [f"{source} split of {', '.join(unique(datasets))}" for source, datasets in sources.items()]
    return ", ".join(parts)


def _data(table: Table) -> str:
    """What the records note about the data; whose, where there are several datasets."""
    notes: dict[str, list[str]] = defaultdict(list)
    for c in table.cells:
        notes[c.config.dataset] += c.record.protocol.notes
    several = len(unique(c.config.dataset for c in table.cells)) > 1
    return "; ".join(
        (f"{dataset}: " if several else "") + ", ".join(unique(found))
        for dataset, found in notes.items()
        if found
    )


def quirks(table: Table) -> str:
    """Which quirks the labels' short names stand for, and those of datasets, which no label has."""
    named = [
        f"{row[row.rindex('[') + 1 : -1].removeprefix('quirks ')}: {listed(table.quirks[row])}"
        for row in table.rows
        if len(table.quirks[row]) > FEW
    ]
    of_data = [
        f"on {c.config.dataset}: {quirk}"
        for c in table.cells
        for quirk in c.config.quirks.dataset
        if quirk not in table.quirks[table.labels[c.name]]
    ]
    return "; ".join(unique([*named, *of_data]))


def _selection(table: Table) -> str:
    """The rule in words, and which rows have another."""
    if not table.columns:
        return table.rule
    text = describe(table.rule, table.columns[0])
    rows = unique(table.labels[c.name] for c in table.cells if BEST_ON_TEST in c.config.quirks.engine)
    if rows and table.rule != "best-test":
        text += f"; {', '.join(rows)}: {describe('best-test', table.columns[0])}"
    return text


def _seeds(table: Table) -> str:
    seeds = sorted({c.config.seed for c in table.cells})
    if not seeds:
        return ""
    n = "n differs: see the last column" if table.mixed_n else f"n = {len(seeds)}"
    counts = {len(per_seed) for per_seed in table.per_seed.values()}
    if not table.mixed_n and counts != {len(seeds)}:  # e.g. every row has two of three seeds
        n = f"n = {' / '.join(map(str, sorted(counts)))}"
    return f"{', '.join(map(str, seeds))} ({n})"


def _training(table: Table) -> str:
    """The schedule of the methods that train."""
    return ", ".join(_settings(table, TRAINING, trained_only=True))


def _settings(table: Table, keys: Iterable[str], *, trained_only: bool = False) -> list[str]:
    """`key value` for each key; where the value differs, which rows have which."""
    cells = [c for c in table.cells if not (trained_only and c.untrained_method)]
    return [text for key in unique(keys) if (text := _one_setting(table, cells, key))]


def _one_setting(table: Table, cells: list[Finished], key: str) -> str:
    groups: dict[str, list[Finished]] = defaultdict(list)
    for c in cells:
        groups[_setting_text(key, flat(c.config).get(key))].append(c)
    name = short(key).replace("_", " ")
    if len(groups) < 2:
        return "".join(f"{name} {text}" for text in groups)
    datasets = {text: unique(c.config.dataset for c in group) for text, group in groups.items()}
    by_dataset = sum(map(len, datasets.values())) == len({d for found in datasets.values() for d in found})
    rows = {text: unique(table.labels[c.name] for c in group) for text, group in groups.items()}
    if key == SHOTS_KEY and not by_dataset:  # the rows' labels say which has which
        return f"{name} {' / '.join(groups)}"
    return f"{name} " + _listed(datasets if by_dataset else rows)


def _setting_text(key: str, value: Any) -> str:
    if value is None:
        return {"views": "one per epoch", SHOTS_KEY: "all"}.get(key, shown(value))
    return shown(value)


def _listed(groups: Mapping[str, Iterable[str]]) -> str:
    """`16 (shapes) / 32 (dtd)`."""
    return " / ".join(f"{text} ({', '.join(unique(names))})" for text, names in groups.items())


def _hyper(table: Table) -> list[tuple[str, str]]:
    """Every row's hyper-parameters, whatever its shots; those set per dataset with their datasets."""
    result = []
    for row in unique(table.short[row] for row in table.rows):
        cells = [c for c in table.cells if table.short[table.labels[c.name]] == row]
        parts = []
        for key in unique(k for c in cells for k in flat(c.config) if k.startswith("hyper.")):
            values: dict[str, list[str]] = defaultdict(list)
            for c in cells:
                values[shown(flat(c.config).get(key, "unset"))].append(c.config.dataset)
            parts.append(f"{short(key)}=" + (_listed(values) if len(values) > 1 else "".join(values)))
        result.append((row, ", ".join(parts)))
    return result


def _computed(table: Table) -> str:
    places = Counter((c.record.environment.precision, c.record.environment.device) for c in table.cells)
    versions = unique((c.record.environment.fedbench, c.record.environment.commit) for c in table.cells)
    parts = []
    for (precision, device), n in places.items():
        parts.append(f"{precision} on {device} ({n} {'cell' if n == 1 else 'cells'})")
    for version, commit in versions:
        parts.append(f"fedbench {version}" + (f" at {commit[:8]}" if commit else ""))
    return ", ".join(parts)


def _splits(table: Table) -> str:
    hashes: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for c in sorted(table.cells, key=lambda c: c.config.seed):
        target = held_out(c.config)
        key = f"s{c.config.seed}" + (f" without {target}" if target else "")
        seen = hashes[c.config.dataset]
        seen[key] = unique([*seen.get(key, ()), c.record.hashes.split[:8]])
    datasets = unique(c.config.dataset for c in table.cells)
    return "; ".join(f"{dataset} {_by_key(hashes[dataset])}" for dataset in datasets)


def _by_key(hashes: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{key} {'/'.join(found)}" for key, found in hashes.items())


def _doubtful(table: Table, cell: Finished) -> bool:
    """Its clients' numbers may be under the wrong names."""
    return cell.name in table.clients and not table.clients[cell.name].sure


def _missing(table: Table) -> str:
    missing: dict[str, int] = defaultdict(int)
    for c in table.cells:
        missing[c.config.dataset] = max(missing[c.config.dataset], c.record.protocol.missing)
    text = ", ".join(f"{dataset} {count}" for dataset, count in missing.items() if count)
    return text or ("none" if table.cells else "")
