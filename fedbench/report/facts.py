"""What every table must say about itself: backbone, selection, seeds, settings, machine, splits, warnings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from fedbench.report.load import Done
from fedbench.report.rows import flat, short, shown
from fedbench.report.select import describe
from fedbench.report.tables import Table

TRAINING = ("rounds", "local_epochs", "batch_size", "participation", "views", "evaluate_every")


def facts(table: Table) -> list[tuple[str, str]]:
    """(name, text) pairs that stand beside the table, in order."""
    pairs = [
        ("Backbone", table.backbone + (f" ({table.caveat})" if table.caveat else "") + _weights(table)),
        ("Protocol", _protocol(table)),
        ("Selection", describe(table.rule, table.columns[0]) if table.columns else table.rule),
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
    if any(HM in block.metrics for block in table.blocks):
        text += "; HM: harmonic mean of the columns, per seed; an average's HM is that of its columns"
    return text + "."


def warnings(table: Table) -> list[str]:
    """Reasons to distrust the table: rows that did not see the same split, or not the same weights."""
    lines = []
    splits: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for c in table.cells:
        splits[c.config.dataset, c.config.seed][c.record.hashes.split].append(table.labels[c.name])
    for (dataset, seed), hashes in sorted(splits.items()):
        if len(hashes) > 1:
            groups = "; ".join(f"{h[:8]}: {', '.join(unique(rows))}" for h, rows in hashes.items())
            lines.append(f"on {dataset}, seed {seed}, the rows did not see the same split ({groups})")
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
    if clients and "split_options.clients" not in options:
        parts.append(f"{' / '.join(map(str, clients))} clients")
    parts += _settings(table, options)
    sources: dict[str, list[str]] = defaultdict(list)
    for c in table.cells:
        if c.record.protocol.source:
            sources[c.record.protocol.source].append(c.config.dataset)
    parts += [f"{source} split of {', '.join(unique(datasets))}" for source, datasets in sources.items()]
    return ", ".join(parts + list(unique(note for p in protocols for note in p.notes)))


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


def _one_setting(table: Table, cells: list[Done], key: str) -> str:
    groups: dict[str, list[Done]] = defaultdict(list)
    for c in cells:
        groups[_setting_text(key, flat(c.config).get(key))].append(c)
    name = short(key).replace("_", " ")
    if len(groups) < 2:
        return "".join(f"{name} {text}" for text in groups)
    datasets = {text: unique(c.config.dataset for c in group) for text, group in groups.items()}
    by_dataset = sum(map(len, datasets.values())) == len({d for found in datasets.values() for d in found})
    rows = {text: unique(table.labels[c.name] for c in group) for text, group in groups.items()}
    return f"{name} " + _listed(datasets if by_dataset else rows)


def _setting_text(key: str, value: Any) -> str:
    return "one per epoch" if key == "views" and value is None else shown(value)


def _listed(groups: Mapping[str, Iterable[str]]) -> str:
    """`16 (shapes) / 32 (dtd)`."""
    return " / ".join(f"{text} ({', '.join(unique(names))})" for text, names in groups.items())


def _hyper(table: Table) -> list[tuple[str, str]]:
    """Every row's hyper-parameters; those that were set per dataset with their datasets."""
    result = []
    for row in table.rows:
        cells = [c for c in table.cells if table.labels[c.name] == row]
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
    hashes: dict[str, dict[int, tuple[str, ...]]] = defaultdict(dict)
    for c in sorted(table.cells, key=lambda c: c.config.seed):
        seeds = hashes[c.config.dataset]
        seeds[c.config.seed] = unique([*seeds.get(c.config.seed, ()), c.record.hashes.split[:8]])
    datasets = unique(c.config.dataset for c in table.cells)
    return "; ".join(f"{dataset} {_by_seed(hashes[dataset])}" for dataset in datasets)


def _by_seed(seeds: Mapping[int, tuple[str, ...]]) -> str:
    return ", ".join(f"s{seed} {'/'.join(found)}" for seed, found in seeds.items())


def _missing(table: Table) -> str:
    missing: dict[str, int] = defaultdict(int)
    for c in table.cells:
        missing[c.config.dataset] = max(missing[c.config.dataset], c.record.protocol.missing)
    text = ", ".join(f"{dataset} {count}" for dataset, count in missing.items() if count)
    return text or ("none" if table.cells else "")
