"""A result store as one long table, for pandas."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fedbench.config import RunConfig
from fedbench.store.read import Contents, Finished

if TYPE_CHECKING:  # takes a second to import, which nobody else need wait for
    import pandas as pd

IDENTITY = ("method", "dataset", "split", "backbone", "seed")
NUMBERS = ("round", "metric", "client", "value")
NESTED = ("hyper", "split_options")


def frame(contents: Contents) -> "pd.DataFrame":
    """Every number of the finished cells: a row for each cell, evaluated round, metric and client.

    Columns:
        cell, method, dataset, split, backbone, seed: which cell; `cell` is the name of its folder.
        round: 0 is the common start, before any training.
        metric, client, value: an accuracy in percent. `client` is a name, or a number where names are unknown;
            "" stands for the mean over clients. A missing number is NaN.
        changed: parts of the cell's code that are other ones by now, with commas; "" usually.
        quirks, rounds, ..., hyper.mu, split_options.shots, ...: the configuration, a column a key; missing in
            cells that have no such key.

    Nothing is selected or averaged over seeds: `group = frame[frame.client == ""].groupby(["method", "dataset",
    "metric", "round"])` and `group.value.mean()` give curves.
    """
    import pandas as pd

    cells = contents.finished
    settings = pd.DataFrame([_cell(c) for c in cells], columns=_columns(cells))
    numbers = pd.DataFrame(
        [(i, *row) for i, c in enumerate(cells) for row in _numbers(c)], columns=["place", *NUMBERS]
    )
    every = settings.iloc[numbers.pop("place")].reset_index(drop=True).join(numbers)
    return every[["cell", *IDENTITY, *NUMBERS, *settings.columns[1 + len(IDENTITY) :]]]


def flat(config: RunConfig) -> dict[str, Any]:
    """The configuration but for `IDENTITY` and quirks: "hyper.mu", "split_options.shots", "rounds", ..."""
    values = config.model_dump(mode="json", exclude={*IDENTITY, "quirks"})
    result: dict[str, Any] = {}
    for key in NESTED:
        result |= {f"{key}.{name}": value for name, value in values.pop(key).items()}
    return result | values


def _columns(cells: tuple[Finished, ...]) -> list[str]:
    keys = dict.fromkeys(key for c in cells for key in flat(c.config))
    return ["cell", *IDENTITY, "changed", "quirks", *keys]


def _cell(cell: Finished) -> dict[str, Any]:
    config = cell.config
    values = {key: _scalar(value) for key, value in flat(config).items()}
    identity = {key: getattr(config, key) for key in IDENTITY}
    notes = {"changed": ",".join(cell.changed), "quirks": ",".join(sorted(config.quirks.names()))}
    return {"cell": cell.name} | identity | notes | values


def _scalar(value: Any) -> Any:
    """Lists as text: pandas cannot group by a list."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _numbers(cell: Finished) -> Iterator[tuple[int, str, str, float]]:
    names = cell.record.protocol.client_names
    for r in cell.rounds:
        for metric, clients in r.clients.items():
            yield r.number, metric, "", r.means.get(metric, float("nan"))
            known = names if len(names) == len(clients) else tuple(map(str, range(len(clients))))
            yield from ((r.number, metric, name, x) for name, x in zip(known, clients, strict=True))
