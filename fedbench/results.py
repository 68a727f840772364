"""A result store as objects: cells, a long data frame, tables and figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbench.config import RunConfig
from fedbench.errors import unknown
from fedbench.store.cells import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StoredCell:
    """One cell of a store: its configuration, its state, and why it has that state."""

    config: RunConfig
    state: str
    reason: str
    folder: Path


class Results:
    """What a store holds. Reads the disk at each call, so that a running grid can be watched."""

    def __init__(self, root: Path):
        """
        Raises:
            FedbenchError: there is no store at `root`.
        """
        self.root = root
        Store(root)

    @property
    def cells(self) -> list[StoredCell]:
        """All cells, in the grid's order."""
        found = []
        for folder in Store(self.root).cells():
            status = folder.status
            found.append(StoredCell(folder.config, status.state, status.reason, folder.path))
        return found

    def frame(self) -> "pd.DataFrame":
        """Every evaluated number in long form.

        Columns: cell, method, dataset, split, backbone, seed, round, metric, client ("" is the mean over clients),
        value in percent, and one column for each key of the configuration.
        """
        from fedbench.store.frame import frame
        from fedbench.store.read import read

        return frame(read(self.root))

    def table(self, *, select: str = "last") -> "pd.DataFrame":
        """The papers' table: rows are methods; columns are (data set, metric, "mean" or "std" over seeds).

        Args:
            select: which round counts: last, mean-last-5, best-val or best-test.

        Raises:
            FedbenchError: no finished cell, or a rule that needs a metric which a cell lacks.
        """
        import pandas as pd

        from fedbench.report import tables_of

        tables = tables_of(self.root, select=select)
        frames = {f"{table.split}, {table.backbone}": _wide(table) for table in tables}
        if len(frames) == 1:
            return next(iter(frames.values()))
        return pd.concat(frames, names=["table", "method"])

    @property
    def figure_names(self) -> list[str]:
        """What `figure` can draw."""
        return list(self._figures("last"))

    def figure(self, name: str = "rounds", *, select: str = "last") -> "Figure":
        """A figure by its name or by the beginning of it: "rounds" (curves), "scatter" (Local against Novel).

        Raises:
            FedbenchError: no such figure.
        """
        figures = self._figures(select)
        for found, figure in figures.items():
            if found == name or found.startswith(f"{name}-"):
                return figure
        raise unknown("figure", name, figures)

    def _figures(self, select: str) -> "dict[str, Figure]":
        from fedbench.report import tables_of
        from fedbench.report.plots import figures

        return dict(figures(tables_of(self.root, select=select)))

    def __repr__(self) -> str:
        states = [cell.state for cell in self.cells]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"Results of {self.root}: {len(states)} cells ({counts})"

    def _repr_html_(self) -> str:
        if not any(cell.state == "done" for cell in self.cells):
            return f"<pre>{self!r}</pre>"
        return self.table().style.format("{:.2f}", na_rep="–").to_html()


def _wide(table: Any) -> "pd.DataFrame":
    """A table of the report as a data frame."""
    import pandas as pd

    columns: dict[tuple[str, str, str], list[float | None]] = {}
    for section in table.sections:
        for place, metric in enumerate(section.metrics):
            values = [section.values[row][place] for row in table.labels]
            columns[section.dataset, metric, "mean"] = [None if v.missing else v.mean for v in values]
            columns[section.dataset, metric, "std"] = [
                None if v.missing or v.n < 2 else v.std for v in values
            ]
    found = pd.DataFrame(columns, index=pd.Index(table.labels, name="method"), dtype=float)
    found.columns = found.columns.set_names(["dataset", "metric", "statistic"])
    return found
