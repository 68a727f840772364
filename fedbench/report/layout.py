"""What the columns of a dataset's section are: chosen by what its cells hold, not by the protocol's name.

- Plain: the protocol's columns, and HM where its summary says so.
- Cells with a held-out domain: one column a domain, the mean over that cell's clients (the sources), as
  `target/webcam`; and `target/avg`, the mean of these, per seed, where every domain was held out once.
- One column and clients numbered within several domains: the column for each domain's clients, as
  `local/webcam`, then the column itself, over all clients.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedbench.report.arithmetic import HM, harmonic_mean
from fedbench.report.clients import groups, merged
from fedbench.report.entries import Entry
from fedbench.report.rows import listed, unique

AVG = "avg"

PerSeed = dict[int, dict[str, float]]
"""Seed to metric to percent."""


@dataclass(frozen=True)
class Layout:
    """The layout of one dataset's numbers.

    Attributes:
        columns: the protocol's columns.
        metrics: what its section shows, in order.
        shared: those of the metrics that an average over datasets can show.
        targets: domains that cells hold out, in the task's order; empty for other protocols.
        domains: all domains, targets and sources, in the task's order.
        groups: domains within which clients are numbered, in the task's order.
    """

    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    shared: tuple[str, ...]
    targets: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def numbers(self, entries: Iterable[Entry]) -> dict[str, float]:
        """One seed's numbers; nan: a cell lacks it; not there: a cell is lacking."""
        numbers: dict[str, float] = {}
        for e in entries:
            for column in self.columns:
                value = e.selected.values.get(column, math.nan)
                numbers[column if e.target is None else f"{column}/{e.target}"] = value
                if self.groups:
                    numbers |= self._grouped(column, e)
        for column in self.columns if self.targets else ():
            every = [numbers.get(f"{column}/{domain}") for domain in self.domains]
            there = [x for x in every if x is not None]
            if len(there) == len(every):
                numbers[f"{column}/{AVG}"] = statistics.fmean(there)
        if HM in self.metrics:
            numbers[HM] = harmonic_mean([numbers[column] for column in self.columns])
        return numbers

    def _grouped(self, column: str, entry: Entry) -> dict[str, float]:
        values = entry.selected.clients.get(column, ())
        places = groups(entry.clients.names) if entry.clients else {}
        means = {d: statistics.fmean(values[i] for i in places[d]) for d in places if values}
        return {f"{column}/{domain}": means.get(domain, math.nan) for domain in self.groups}


def layout(entries: Sequence[Entry], planned: Sequence[str]) -> Layout:
    """The layout of a dataset's finished cells; `planned` are the held-out domains of all its cells."""
    protocols = [e.record.protocol for e in entries]
    columns = unique(column for p in protocols for column in p.columns)
    orders = [e.clients.names for e in entries if e.clients]
    if planned:
        domains = merged(orders, planned)
        targets = tuple(d for d in domains if d in planned)
        ends = [*targets, AVG] if len(targets) > 1 else targets
        metrics = tuple(f"{column}/{end}" for column in columns for end in ends)
        return Layout(columns, metrics, metrics, targets=targets, domains=domains)
    if any(p.summary == HM for p in protocols):
        return Layout(columns, (*columns, HM), (*columns, HM))
    found = merged(tuple(groups(order)) for order in orders)
    if len(columns) == 1 and found:
        metrics = (*(f"{columns[0]}/{domain}" for domain in found), *columns)
        return Layout(columns, metrics, columns, groups=found)
    return Layout(columns, columns, columns)


def gaps(label: str, found: Layout, per_seed: PerSeed) -> list[str]:
    """What a row's mean over held-out domains leaves out, in one note at most."""
    if len(found.targets) < 2 or not per_seed:
        return []
    never = [domain for domain in found.domains if domain not in found.targets]
    if never:
        return [f"{label} is missing: never held out: {', '.join(never)}"]
    seeds = {t: [s for s in per_seed if f"{found.columns[0]}/{t}" in per_seed[s]] for t in found.targets}
    lacking = [target for target in found.targets if not seeds[target]]
    if lacking:
        return [f"{label} is missing: no finished cell that holds out {', '.join(lacking)}"]
    common = sorted(set.intersection(*map(set, seeds.values())))
    if not common:
        return [f"{label} is missing: no seed has all held-out domains"]
    others = sorted(set(per_seed) - set(common))
    if not others:
        return []
    return [f"{label}: over the seeds with every held-out domain ({listed(common)}), not {listed(others)}"]
