"""What every table must say about itself: backbone, selection, seeds, settings, machine, splits."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from fedbench.config import Training
from fedbench.quirks import BEST_ON_TEST
from fedbench.report.arithmetic import HM
from fedbench.report.entries import Entry
from fedbench.report.layout import AVG
from fedbench.report.rows import FEW, LAYOUT, SHOTS, Row, listed, short, shown, unique
from fedbench.report.select import describe
from fedbench.report.tables import Table
from fedbench.store.frame import flat

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
    metrics = {m for section in table.sections for m in section.metrics}
    if HM in metrics:
        text += "; HM: harmonic mean of the columns, per seed; an average's HM is that of its columns"
    if table.held_out:
        text += "; columns: the held-out domain, each the mean over its source clients"
    if any(m.endswith(f"/{AVG}") for m in metrics):
        text += "; Avg: mean of the columns, per seed"
    if any(found.groups for found in table.layouts.values()):
        text += "; a domain's column: mean over its clients; the last column: mean over all clients"
    if any(len(section.metrics) == 1 for section in table.spreads):
        text += (
            "; each number is the mean over clients; Std over clients: sample standard deviation over the "
            "clients of a seed, averaged over seeds"
        )
    return text + "."


def _weights(table: Table) -> str:
    hashes = unique(e.record.hashes.weights for e in table.entries)
    return f", weights {', '.join(h[:8] for h in hashes)}" if hashes else ""


def _protocol(table: Table) -> str:
    parts = [table.split]
    protocols = [e.record.protocol for e in table.entries]
    clients = unique(p.clients for p in protocols if p.clients is not None)
    options = [key for e in table.entries for key in flat(e.config) if key.startswith("split_options.")]
    options = [key for key in options if key not in LAYOUT]
    if clients and "split_options.clients" not in options:
        parts.append(f"{' / '.join(map(str, clients))} clients")
    parts += _settings(table, options)
    sources: dict[str, list[str]] = defaultdict(list)
    for e in table.entries:
        if e.record.protocol.source:
            sources[e.record.protocol.source].append(e.dataset)
    parts += [f"{source} split of {', '.join(unique(datasets))}" for source, datasets in sources.items()]
    return ", ".join(parts)


def _data(table: Table) -> str:
    """What the records note about the data; whose, where there are several datasets."""
    notes: dict[str, list[str]] = defaultdict(list)
    for e in table.entries:
        notes[e.dataset] += e.record.protocol.notes
    several = len(unique(e.dataset for e in table.entries)) > 1
    return "; ".join(
        (f"{dataset}: " if several else "") + ", ".join(unique(found))
        for dataset, found in notes.items()
        if found
    )


def quirks(table: Table) -> str:
    """Which quirks the labels' short names stand for, and those of datasets, which no label has."""
    named = [
        f"{row.label[row.label.rindex('[') + 1 : -1].removeprefix('quirks ')}: {listed(row.quirks)}"
        for row in table.rows
        if len(row.quirks) > FEW
    ]
    of_data = [
        f"on {e.dataset}: {quirk}"
        for e in table.entries
        for quirk in e.config.quirks.dataset
        if quirk not in e.row.quirks
    ]
    return "; ".join(unique([*named, *of_data]))


def _selection(table: Table) -> str:
    """The rule in words, and which rows have another."""
    if not table.columns:
        return table.rule
    text = describe(table.rule, table.columns[0])
    rows = unique(e.row.label for e in table.entries if BEST_ON_TEST in e.config.quirks.engine)
    if rows and table.rule != "best-test":
        text += f"; {', '.join(rows)}: {describe('best-test', table.columns[0])}"
    return text


def _seeds(table: Table) -> str:
    seeds = sorted({e.seed for e in table.entries})
    if not seeds:
        return ""
    n = "n differs: see the last column" if table.mixed_n else f"n = {len(seeds)}"
    by_row: dict[tuple[Row, str], set[int]] = defaultdict(set)
    for e in table.entries:
        by_row[e.row, e.dataset].add(e.seed)
    counts = set(map(len, by_row.values()))
    if not table.mixed_n and counts != {len(seeds)}:  # e.g. every row has two of three seeds
        n = f"n = {' / '.join(map(str, sorted(counts)))}"
    return f"{', '.join(map(str, seeds))} ({n})"


def _training(table: Table) -> str:
    """The schedule of the methods that train."""
    return ", ".join(_settings(table, TRAINING, trained_only=True))


def _settings(table: Table, keys: Iterable[str], *, trained_only: bool = False) -> list[str]:
    """`key value` for each key; where the value differs, which rows have which."""
    entries = [e for e in table.entries if not (trained_only and e.cell.untrained_method)]
    return [text for key in unique(keys) if (text := _one_setting(entries, key))]


def _one_setting(entries: list[Entry], key: str) -> str:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for e in entries:
        groups[_setting_text(key, flat(e.config).get(key))].append(e)
    name = short(key).replace("_", " ")
    if len(groups) < 2:
        return "".join(f"{name} {text}" for text in groups)
    datasets = {text: unique(e.dataset for e in group) for text, group in groups.items()}
    by_dataset = sum(map(len, datasets.values())) == len({d for found in datasets.values() for d in found})
    rows = {text: unique(e.row.label for e in group) for text, group in groups.items()}
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
    for label in unique(row.short for row in table.rows):
        entries = [e for e in table.entries if e.row.short == label]
        parts = []
        for key in unique(k for e in entries for k in flat(e.config) if k.startswith("hyper.")):
            values: dict[str, list[str]] = defaultdict(list)
            for e in entries:
                values[shown(flat(e.config).get(key, "unset"))].append(e.dataset)
            parts.append(f"{short(key)}=" + (_listed(values) if len(values) > 1 else "".join(values)))
        result.append((label, ", ".join(parts)))
    return result


def _computed(table: Table) -> str:
    places = Counter((e.record.environment.precision, e.record.environment.device) for e in table.entries)
    versions = unique((e.record.environment.fedbench, e.record.environment.commit) for e in table.entries)
    parts = []
    for (precision, device), n in places.items():
        parts.append(f"{precision} on {device} ({n} {'cell' if n == 1 else 'cells'})")
    for version, commit in versions:
        parts.append(f"fedbench {version}" + (f" at {commit}" if commit else ""))
    return ", ".join(parts)


def _splits(table: Table) -> str:
    hashes: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for e in sorted(table.entries, key=lambda e: e.seed):
        key = f"s{e.seed}" + (f" without {e.target}" if e.target else "")
        seen = hashes[e.dataset]
        seen[key] = unique([*seen.get(key, ()), e.record.hashes.split[:8]])
    datasets = unique(e.dataset for e in table.entries)
    return "; ".join(f"{dataset} {_by_key(hashes[dataset])}" for dataset in datasets)


def _by_key(hashes: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{key} {'/'.join(found)}" for key, found in hashes.items())


def _missing(table: Table) -> str:
    missing: dict[str, int] = defaultdict(int)
    for e in table.entries:
        missing[e.dataset] = max(missing[e.dataset], e.record.protocol.missing)
    text = ", ".join(f"{dataset} {count}" for dataset, count in missing.items() if count)
    return text or ("none" if table.entries else "")
