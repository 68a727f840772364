"""Finished cells as the report sees them: each in its row, with the numbers that count and its clients' names."""

from dataclasses import dataclass

from fedbench.config import RunConfig
from fedbench.report.clients import Names, named_clients
from fedbench.report.rows import Row, held_out
from fedbench.report.select import Selected, select
from fedbench.store.read import Contents, Finished
from fedbench.store.schema import Record


@dataclass(frozen=True)
class Entry:
    """A finished cell in a table; `clients` is None where their names are not known or not needed."""

    cell: Finished
    row: Row
    selected: Selected
    clients: Names | None

    @property
    def name(self) -> str:
        return self.cell.name

    @property
    def config(self) -> RunConfig:
        return self.cell.config

    @property
    def record(self) -> Record:
        return self.cell.record

    @property
    def dataset(self) -> str:
        return self.cell.config.dataset

    @property
    def seed(self) -> int:
        return self.cell.config.seed

    @property
    def target(self) -> str | None:
        """The domain that nobody trained on, where the protocol has one."""
        return held_out(self.cell.config)


def entries(contents: Contents, rows: dict[str, Row], rule: str) -> list[Entry]:
    """An entry for each finished cell.

    Raises:
        FedbenchError: a metric that the rule needs is missing, or a damaged `task.json`.
    """
    clients = named_clients(contents.finished)
    return [
        Entry(cell, rows[cell.name], select(cell, rule), clients.get(cell.name)) for cell in contents.finished
    ]
