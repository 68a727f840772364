"""Running the cells of a grid that are not done, and saying what became of each."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from fedbench.code import code_of
from fedbench.config import RunConfig, Runtime
from fedbench.executors.base import Executor, Outcome
from fedbench.registry import EXECUTORS
from fedbench.store.cells import FINAL, Store


class Display(Protocol):
    """What a run reports to."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def update(self, cell: str, phase: str, done: int, total: int) -> None:
        """The running cell is at `done` of `total` in a phase such as "features" or "rounds"."""

    def finish(self, outcome: Outcome) -> None:
        """The cell has come to its end."""

    def line(self, text: str) -> None:
        """Something worth saying once."""


VERBS = {
    "queued": "run",
    "running": "wait",
    "interrupted": "resume",
    "done": "keep",
    "failed": "leave",
    "skipped": "leave",
}
"""What a run does with a cell in each state ("wait": another process runs it, and may not end it)."""


IDLE = ("keep", "leave")
"""Verbs of cells that are not run."""


@dataclass(frozen=True)
class Planned:
    """A cell, the state it is in, and what a run will do with it.

    Attributes:
        verb: see `VERBS`; "retry" runs a cell anew that has ended.
        changed: the parts of a finished cell whose code is not what it was run with: "method", "engine", ...
    """

    config: RunConfig
    state: str
    reason: str
    verb: str
    changed: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether the cell is to be run."""
        return self.verb not in IDLE


def plan(
    cells: list[RunConfig],
    store: Store,
    *,
    retry_failed: bool = False,
    retry_changed: bool = False,
    split_hash: Callable[[RunConfig], str | None] = lambda config: None,
) -> list[Planned]:
    """What a run would do. Changes nothing on disk.

    A finished cell whose code or data have changed is kept unless `retry_changed`, and its change is noted; a failed
    one whose code has changed is tried again, since its failure is nothing to keep.

    Args:
        split_hash: of the task that the present data would give a cell; None where there is none.
    """
    planned = []
    for config in cells:
        folder = store.folder(config.cell)
        status = folder.status
        changed: tuple[str, ...] = ()
        verb = VERBS[status.state]
        code = folder.code
        if status.state == "done" or (status.state in FINAL and code):  # without code it never began to run
            changed = changed_parts(code, code_of(config))
        if status.state == "done" and not changed and split_hash(config) not in (None, folder.split_hash):
            changed = ("data",)
        retry = retry_changed or status.state != "done" if changed else retry_failed and verb == "leave"
        planned.append(Planned(config, status.state, status.reason, "retry" if retry else verb, changed))
    return planned


def changed_parts(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Parts of a cell whose code is not what it was."""
    return tuple(part for part in sorted({*then, *now}) if then.get(part) != now.get(part))


def code_changes(planned: Sequence[Planned]) -> list[str]:
    """A line for each method with finished cells that other code or data made: what has changed, and the way out."""
    groups: dict[tuple[str, tuple[str, ...]], int] = Counter(
        (p.config.method, p.changed) for p in planned if p.changed and p.verb == "keep"
    )
    return [
        f"{method}: {_named(parts)} changed since {count} "
        f"{'cell was' if count == 1 else 'cells were'} run; the old numbers are kept and marked, "
        "--retry-changed runs them again"
        for (method, parts), count in groups.items()
    ]


def _named(parts: tuple[str, ...]) -> str:
    if parts == ("data",):
        return "the images or classes of its data set have"
    return f"the code of its {' and '.join(parts)} has"


def execute(
    planned: list[Planned],
    store: Store,
    runtime: Runtime,
    *,
    executor: str | None = None,
    jobs: int,
    plugins: tuple[Path, ...],
    display: Display,
) -> list[Outcome]:
    """Run what is to be run, `jobs` cells at a time; one outcome for each cell of the plan, in its order.

    A failed cell does not stop the others. Cells that another process is running are waited for, and taken
    over if it ends without finishing them.

    Raises:
        FedbenchError: the disk is full.
        KeyboardInterrupt: Ctrl-C. The workers are gone then, and the same plan continues.
    """
    outcomes = {p.config.cell: Outcome(p.config.cell, p.state, p.reason, ran=False) for p in planned}
    waiting = deque(p.config for p in planned if p.pending)
    for p in planned:
        if p.state == "done":
            store.folder(p.config.cell).note_changed(p.changed)
        if p.verb == "retry":
            store.folder(p.config.cell).retry()
    if not waiting:
        return list(outcomes.values())
    jobs = min(jobs, len(waiting))
    where = EXECUTORS[executor or ("in-process" if jobs == 1 else "local")]
    runner = where(runtime, jobs=jobs, plugins=plugins, report=display.update)
    try:
        for outcome in _run(waiting, store, runner, display):
            outcomes[outcome.cell] = outcome
    finally:
        runner.close()
    return list(outcomes.values())


def _run(waiting: deque[RunConfig], store: Store, runner: Executor, display: Display) -> list[Outcome]:
    configs = {config.cell: config for config in waiting}
    finished: list[Outcome] = []
    told: set[str] = set()
    while waiting or runner.active():
        while waiting and runner.ready():
            config = _next(waiting, store)
            if config is None:
                break
            runner.submit(config, store.folder(config.cell).path)
        for outcome in runner.poll():
            if outcome.state in ("busy", "again"):
                waiting.appendleft(configs[outcome.cell])
                continue
            if outcome.state == "failed" and store.folder(outcome.cell).status.state != "failed":
                # its worker could not say so itself
                store.folder(outcome.cell).mark("failed", outcome.reason)
            finished.append(outcome)
            display.finish(outcome)
        if waiting and not runner.active():
            _tell_waiting(waiting, store, display, told)
    return finished


def _next(waiting: deque[RunConfig], store: Store) -> RunConfig | None:
    """The first waiting cell that no other process holds."""
    for config in waiting:
        if not store.folder(config.cell).locked:
            waiting.remove(config)
            return config
    return None


def _tell_waiting(waiting: deque[RunConfig], store: Store, display: Display, told: set[str]) -> None:
    """All that is left runs in other processes: say so once for each, and give them time."""
    held = [config.cell for config in waiting if store.folder(config.cell).locked]
    for cell in held:
        if cell not in told:
            told.add(cell)
            display.line(
                f"{cell} is run by another process ({store.folder(cell).status.pid}); waiting for it"
            )
    if len(held) == len(waiting):
        time.sleep(0.3)
