"""The clients of a cell by name: the columns of a matrix, and the domains of a label-skewed split."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fedbench.errors import FedbenchError
from fedbench.report.rows import held_out, unique
from fedbench.store.read import Finished
from fedbench.store.schema import load_object

NUMBERED = re.compile(r"(?P<group>.+) (?P<number>\d+)")
"""`amazon 0`: the first client of domain amazon."""


@dataclass(frozen=True)
class Names:
    """Clients' names in the order of their numbers; `sure` is false where that order is a guess."""

    names: tuple[str, ...]
    sure: bool = True


def named_clients(cells: Iterable[Finished]) -> dict[str, Names]:
    """Cell name to its clients, for the cells whose table needs them; without a name: not in it.

    Names come from the record, else from `task.json`, which one cell of each split needs.

    Raises:
        FedbenchError: a damaged `task.json`.
    """
    known: dict[str, Names | None] = {}
    found = {}
    for cell in cells:
        if len(cell.record.protocol.columns) > 1 and held_out(cell.config) is None:
            continue
        split = cell.record.hashes.split
        if known.get(split) is None:
            known[split] = _names(cell)
        names = known[split]
        count = max((len(values) for r in cell.rounds for values in r.clients.values()), default=0)
        if names is not None and len(names.names) == count:
            found[cell.name] = names
    return found


def _names(cell: Finished) -> Names | None:
    if cell.record.protocol.client_names:
        return Names(cell.record.protocol.client_names)
    file = cell.folder / "task.json"
    if not file.is_file():
        return None
    remedy = f"delete {cell.folder} and run the same `bench run` command again"
    task = load_object(file, remedy=remedy)
    clients = task.get("clients")
    if not isinstance(clients, dict):
        raise FedbenchError(f"{file} is damaged at 'clients': {remedy}")
    if list(task) != sorted(task):
        return Names(tuple(clients))
    # A file with sorted keys has lost the clients' order. Numbers can be put in order again, domains cannot.
    names = tuple(sorted(clients, key=_natural))
    return Names(names, sure=len(names) == 1 or len(unique(map(_group, names))) == 1)


def _natural(name: str) -> tuple[str, int]:
    match = NUMBERED.fullmatch(name)
    return (match["group"], int(match["number"])) if match else (name, 0)


def _group(name: str) -> str:
    """The name without its number."""
    return _natural(name)[0]


def groups(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Domain to its clients' places, where clients are numbered within several domains; else nothing."""
    if not all(NUMBERED.fullmatch(name) for name in names):
        return {}
    domains = unique(map(_group, names))
    if len(domains) < 2:
        return {}
    return {d: tuple(i for i, name in enumerate(names) if _group(name) == d) for d in domains}


def merged(orders: Iterable[Sequence[str]], first: Sequence[str] = ()) -> tuple[str, ...]:
    """One order that agrees with all `orders` (a cell's clients lack its held-out domain).

    What they leave open is as in `first`, then by first appearance; so are orders that contradict.
    """
    lists = [list(order) for order in orders]
    left = list(unique([*first, *(item for order in lists for item in order)]))
    before: Mapping[str, set[str]] = {item: set() for item in left}
    for order in lists:
        for one, other in pairwise(order):
            before[other].add(one)
    result: list[str] = []
    while left:
        ready = next((item for item in left if before[item] <= set(result)), left[0])
        left.remove(ready)
        result.append(ready)
    return tuple(result)
