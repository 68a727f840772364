"""Cells in this process, one after the other."""

from pathlib import Path

from fedbench.config import RunConfig, Runtime
from fedbench.executors.base import Executor, Outcome, Report
from fedbench.executors.cell import run
from fedbench.registry import EXECUTORS


@EXECUTORS.register("in-process")
class InProcess(Executor):
    """One cell at a time, in the process of the command itself."""

    def __init__(self, runtime: Runtime, *, jobs: int, plugins: tuple[Path, ...], report: Report):
        super().__init__(runtime, jobs=jobs, plugins=plugins, report=report)
        self._next: tuple[RunConfig, Path] | None = None

    def ready(self) -> bool:
        return self._next is None

    def active(self) -> bool:
        return self._next is not None

    def submit(self, config: RunConfig, path: Path) -> None:
        self._next = (config, path)

    def poll(self) -> list[Outcome]:
        if self._next is None:
            return []
        config, path = self._next
        self._next = None
        return [run(config, self.runtime, path=path, progress=lambda *at: self.report(config.cell, *at))]

    def close(self) -> None:
        pass
