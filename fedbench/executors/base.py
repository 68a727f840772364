"""The contract of an executor: it takes cells, runs them somewhere, and gives back what became of each.

`fedbench.grid.execute` decides which cells run and in which order; an executor decides where. A new one is one
file that registers a class here: `@EXECUTORS.register("slurm")`. Third parties do so from their own package through
the entry-point group `fedbench.executors`, or with `--plugin FILE.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedbench.config import RunConfig, Runtime

Report = Callable[[str, str, int, int], None]
"""`report(cell, phase, done, total)`: how far a running cell is."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        state: a state of the store, "busy" (another process runs the cell) or "again" (its worker died, and the
            cell may not be to blame).
        ran: False where the cell was found finished.
    """

    cell: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    ran: bool = True


class Executor(ABC):
    """Runs cells. All calls come from one thread; cells are run by `fedbench.executors.cell.run`."""

    name: str

    def __init__(self, runtime: Runtime, *, jobs: int, plugins: tuple[Path, ...], report: Report):
        """
        Args:
            runtime: where and how fast a cell runs.
            jobs: cells at a time, as far as the executor can choose.
            plugins: files that a worker must load before it knows the cells' methods and data sets.
            report: to be called with the progress of running cells.
        """
        self.runtime, self.jobs, self.plugins, self.report = runtime, jobs, plugins, report

    @abstractmethod
    def ready(self) -> bool:
        """Whether it takes another cell now."""

    @abstractmethod
    def active(self) -> bool:
        """Whether an outcome is to come."""

    @abstractmethod
    def submit(self, config: RunConfig, path: Path) -> None:
        """Take a cell, to be run in the folder `path`."""

    @abstractmethod
    def poll(self) -> list[Outcome]:
        """Outcomes since the last call; waits for a moment if there are none."""

    @abstractmethod
    def close(self) -> None:
        """End what is still running, at once; the locks of those cells are free when this returns."""
