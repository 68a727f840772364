"""Telling the user how far a run is: bars on a terminal, plain lines elsewhere."""

import importlib.util
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from fedbench.executors.base import Outcome
from fedbench.grid.execute import Display, code_changes
from fedbench.grid.planning import PlannedRun

EVERY = 10.0
"""Seconds between two plain lines about a running cell."""
NAME = Column(no_wrap=True, overflow="ellipsis", ratio=1)
"""Names give way on a narrow terminal, so that numbers stay whole."""


def display(*, total: int, console: Console | None = None) -> Display:
    """The display for `total` cells that suits where the output goes: a terminal, a notebook, or a log file."""
    console = console or Console(stderr=True)
    if console.is_jupyter:  # a notebook shows what goes to stderr in red
        console = Console()
    # without its widgets, a notebook has nothing that a bar could be drawn in: rich warns at every try
    moving = importlib.util.find_spec("ipywidgets") if console.is_jupyter else console.is_terminal
    return Bars(console, total=total) if moving else Lines(console, total=total)


def say_first(ready: PlannedRun, shown: Display) -> None:
    """What a user must know before the first cell runs: what is kept, and what of it is old."""
    kept = len(ready.cells) - len(ready.pending)
    if kept:
        shown.line(f"{kept} of {len(ready.cells)} cells have been run before")
    left = [p for p in ready.cells if p.verb == "leave" and p.state == "failed"]
    if left:
        shown.line(f"{len(left)} of them failed: --retry-failed tries them again")
    for line in code_changes(ready.cells):
        shown.line(line)


def finished_line(outcome: Outcome, *, number: int, total: int) -> str:
    """`[3/10] done FedPGP-shapes-…  12.3 s`"""
    text = f"[{number}/{total}] {outcome.state} {outcome.cell}"
    if outcome.ran:
        text += f"  {outcome.seconds:.1f} s"
    return f"{text}  {outcome.reason}" if outcome.reason else text


class Lines:
    """One line for each finished cell, and now and then one for a running cell."""

    def __init__(self, console: Console, *, total: int):
        self._console, self._total, self._number = console, total, 0
        self._begin: dict[tuple[str, str], tuple[float, int]] = {}
        self._last: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, cell: str, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        begin, first = self._begin.setdefault((cell, phase), (now, done))
        if now - self._last.setdefault(cell, now) < EVERY or done >= total:
            return
        self._last[cell] = now
        left = f", {(now - begin) / (done - first) * (total - done):.0f} s left" if done > first else ""
        self.line(f"  {cell}: {phase} {done}/{total}{left}")

    def finish(self, outcome: Outcome) -> None:
        self._number += 1
        self.line(finished_line(outcome, number=self._number, total=self._total))

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A bar for the grid, and below it one for each running cell; finished cells scroll away above."""

    def __init__(self, console: Console, *, total: int):
        columns = (
            TextColumn("{task.description}", markup=False, table_column=NAME),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[at]}"),
        )
        self._progress = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True, expand=True
        )
        self._total, self._number = total, 0
        self._grid = self._progress.add_task("grid", total=total, at=f"0/{total} cells")
        self._cells: dict[str, tuple[TaskID, str]] = {}
        self._part: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, cell: str, phase: str, done: int, total: int) -> None:
        task, before = self._cells.get(cell, (None, ""))
        if task is None or before != phase:  # a new phase is a new bar: its time left is its own
            if task is not None:
                self._progress.remove_task(task)
            task = self._progress.add_task(f"{phase} {cell}", total=total, completed=done, at="")
            self._cells[cell] = (task, phase)
        self._progress.update(task, completed=done, total=total, at=f"{done}/{total}")
        if phase == "rounds" and total:
            self._part[cell] = done / total
            self._advance()

    def finish(self, outcome: Outcome) -> None:
        self._number += 1
        if outcome.cell in self._cells:
            self._progress.remove_task(self._cells.pop(outcome.cell)[0])
        self._part.pop(outcome.cell, None)
        self._advance()
        self.line(finished_line(outcome, number=self._number, total=self._total))

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def _advance(self) -> None:
        done = self._number + sum(self._part.values())
        self._progress.update(self._grid, completed=done, at=f"{self._number}/{self._total} cells")
