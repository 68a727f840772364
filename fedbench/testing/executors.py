"""What every executor must keep to: cells of toys (`toy.py`) go through it, with the real engine."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedbench.config import RunConfig, Runtime
from fedbench.errors import FedbenchError
from fedbench.executors.base import Executor, Outcome
from fedbench.executors.cell import run as run_here
from fedbench.named import run_config
from fedbench.registry import BACKBONES, DATASETS, METHODS, SPLITS, load_plugin
from fedbench.store.cells import CellFolder
from fedbench.testing.base import Checks, Result, run, some

TOYS = Path(__file__).with_name("toy.py")
PAUSE = 0.1
"""Seconds that a local step of the slow cell takes; it has some forty."""


@dataclass
class Trace:
    """What an executor did with two good cells, one that breaks, and one that was going on when it was closed.

    Attributes:
        idle: whether it was ready, with nothing active and no outcomes, before the first cell.
        outcomes: of the first three cells, in the order in which they came.
        bad: the name of the cell that breaks.
        reports: all calls of `report`.
        files: what the good cells left: lines of the journal without times, and the bytes of the state.
        expected: what they leave when they are run in this process.
        was_running, still_locked: the last cell before and after `close`.
    """

    idle: bool
    outcomes: list[Outcome]
    bad: str
    reports: list[tuple[str, str, int, int]]
    files: dict[str, Any]
    expected: dict[str, Any]
    was_running: bool
    still_locked: bool


class ExecutorTrial:
    """An executor class under test."""

    def __init__(self, cls: type[Executor], *, jobs: int = 2, limit: float = 300):
        """
        Args:
            jobs: cells at a time.
            limit: seconds after which an outcome counts as lost.
        """
        self.cls, self.name, self.jobs, self.limit = cls, cls.name, jobs, limit

    @cached_property
    def trace(self) -> Trace:
        """All that the checks look at, from one executor."""
        with ExitStack() as stack:
            for registry in (METHODS, DATASETS, SPLITS, BACKBONES):
                stack.enter_context(registry.restored())
            load_plugin(TOYS)
            return self._trace(Path(stack.enter_context(tempfile.TemporaryDirectory())))

    def _trace(self, root: Path) -> Trace:
        runtime = Runtime(cache_dir=root / "cache", threads=1)
        good, bad, slow = [_cell(seed=1), _cell(seed=2)], _cell(end="badly"), _cell(pause=PAUSE, rounds=20)
        expected = {}
        for config in good:
            path = _prepared(root / "here", config)
            run_here(config, runtime, path=path, progress=lambda *_: None)
            expected[config.cell] = _left(path)
        reports: list[tuple[str, str, int, int]] = []
        executor = self.cls(runtime, jobs=self.jobs, plugins=(TOYS,), report=lambda *at: reports.append(at))
        try:
            idle = executor.ready() and not executor.active() and not executor.poll()
            outcomes = self._drive(executor, [*good, bad], root / "there")
            path = _prepared(root / "there", slow)
            executor.submit(slow, path)
            running, end = False, time.monotonic() + self.limit
            while executor.active() and not running and time.monotonic() < end:
                executor.poll()
                running = CellFolder(path).locked
        finally:
            executor.close()
        files = {config.cell: _left(root / "there" / config.cell) for config in good}
        return Trace(idle, outcomes, bad.cell, reports, files, expected, running, CellFolder(path).locked)

    def _drive(self, executor: Executor, cells: list[RunConfig], root: Path) -> list[Outcome]:
        waiting, outcomes, end = list(cells), [], time.monotonic() + self.limit
        while waiting or executor.active():
            while waiting and executor.ready():
                config = waiting.pop(0)
                executor.submit(config, _prepared(root, config))
            for outcome in executor.poll():
                if outcome.state in ("busy", "again"):
                    waiting += [config for config in cells if config.cell == outcome.cell]
                else:
                    outcomes.append(outcome)
            if time.monotonic() > end:
                raise FedbenchError(
                    f"{len(cells) - len(outcomes)} of {len(cells)} cells have no outcome after {self.limit:.0f} s"
                )
        return outcomes


def _cell(*, seed: int = 1, rounds: int = 2, **hyper: Any) -> RunConfig:
    sizes: dict[str, Any] = {"rounds": rounds, "local_epochs": 1, "batch_size": 6, "views": 0}
    return run_config(
        method="toy", split="toy", dataset="toy", backbone="toy", hyper=hyper, seed=seed, **sizes
    )


def _prepared(root: Path, config: RunConfig) -> Path:
    folder = CellFolder(root / config.cell)
    folder.prepare(config)
    return folder.path


def _left(path: Path) -> tuple[list[dict[str, Any]], bytes]:
    """A cell's journal without times, and its last state."""
    if not (path / "record.json").exists():
        return [], b""
    lines = [json.loads(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
    return [line | {"seconds": None} for line in lines], (path / "state.safetensors").read_bytes()


CHECKS: Checks[ExecutorTrial] = Checks()


def examine(cls: type[Executor], **settings: Any) -> Result:
    """All checks of one executor; `settings` as of `ExecutorTrial`."""
    return run(CHECKS, ExecutorTrial(cls, **settings))


@CHECKS.add()
def it_says_what_it_is(trial: ExecutorTrial) -> Iterator[str]:
    if not trial.cls.__doc__:
        yield "the class has no docstring: where cells run, in one line"


@CHECKS.add(about="ready")
def it_is_ready_and_idle_at_first(trial: ExecutorTrial) -> Iterator[str]:
    if not trial.trace.idle:
        yield "before the first cell `ready` must be True, `active` False, and `poll` empty"


@CHECKS.add(about="poll")
def every_cell_has_one_outcome(trial: ExecutorTrial) -> Iterator[str]:
    found = sorted(outcome.cell for outcome in trial.trace.outcomes)
    expected = sorted([*trial.trace.expected, trial.trace.bad])
    if found != expected:
        yield f"outcomes of {some(found)}; submitted were {some(expected)}"


@CHECKS.add(about="submit")
def cells_give_the_bits_that_they_give_in_this_process(trial: ExecutorTrial) -> Iterator[str]:
    for outcome in trial.trace.outcomes:
        if outcome.cell in trial.trace.expected and outcome.state != "done":
            yield f"a good cell has {outcome.state}: {outcome.reason}; run it with fedbench.executors.cell.run"
    for cell, (lines, state) in trial.trace.expected.items():
        if (lines, state) != trial.trace.files[cell]:
            yield f"{cell} leaves other numbers, or none: run it with fedbench.executors.cell.run, in its folder"


@CHECKS.add(about="poll")
def a_cell_that_breaks_is_an_outcome(trial: ExecutorTrial) -> Iterator[str]:
    for outcome in trial.trace.outcomes:
        if outcome.cell != trial.trace.bad:
            continue
        if outcome.state != "failed" or "ZeroDivisionError" not in outcome.reason:
            yield f"it is '{outcome.state}' for the reason '{outcome.reason}'; hand on the outcome of cell.run"


@CHECKS.add(about="poll")
def progress_is_reported(trial: ExecutorTrial) -> Iterator[str]:
    told = {cell for cell, phase, _, _ in trial.trace.reports if phase == "rounds"}
    if silent := trial.trace.expected.keys() - told:
        yield f"`report` is never called for {some(sorted(silent))}"


@CHECKS.add(about="close")
def the_locks_of_its_cells_are_free_when_it_is_closed(trial: ExecutorTrial) -> Iterator[str]:
    if trial.trace.still_locked:
        yield "a cell goes on after `close`: end what is running, and wait until it has ended"
