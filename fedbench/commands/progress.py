"""Telling the user how far a run is: bars on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from fedbench.executors.base import Outcome
from fedbench.grid.execute import Display, code_changes
from fedbench.grid.planning import PlannedRun

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

EVERY = 10.0
"""Seconds between two plain lines about a running cell."""
OFTEN = 0.5
"""Seconds between two states of a line that is written over."""
NAME = Column(no_wrap=True, overflow="ellipsis", ratio=1)
"""Names give way on a narrow terminal, so that numbers stay whole."""


def display(*, total: int, console: Console | None = None) -> Display:
    """The display for `total` cells that suits where the output goes: a terminal, a notebook, or a log file."""
    console = console or Console(stderr=True)
    if console.is_jupyter and not console.quiet:
        return Notebook(Console(), total=total)  # a notebook shows what goes to stderr in red
    return Bars(console, total=total) if console.is_terminal else Lines(console, total=total)


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

    every = EVERY

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
        if now - self._last.setdefault(cell, now) < self.every or done >= total:
            return
        self._last[cell] = now
        left = f", {(now - begin) / (done - first) * (total - done):.0f} s left" if done > first else ""
        self.running(f"  {cell}: {phase} {done}/{total}{left}")

    def running(self, text: str) -> None:
        """How far a running cell is."""
        self.line(text)

    def finish(self, outcome: Outcome) -> None:
        self._number += 1
        self.line(finished_line(outcome, number=self._number, total=self._total))

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Notebook(Lines):
    """One line for each finished cell, and above them one that follows the running cells and is written over.

    Not bars: rich draws them in a widget, which not everybody has, and which swallows some of the lines that are
    printed while it is drawn.
    """

    every = OFTEN

    def __init__(self, console: Console, *, total: int):
        super().__init__(console, total=total)
        self._place: DisplayHandle | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._place:
            self.running("")

    def running(self, text: str) -> None:
        from IPython.display import display  # a notebook has it

        if self._place:
            self._place.update({"text/plain": text}, raw=True)
        else:
            self._place = display({"text/plain": text}, raw=True, display_id=True)


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
