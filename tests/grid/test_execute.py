"""Running cells in this process: order, failures, skips, resume. Workers and signals are in tests/e2e."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fedbench.commands import progress
from fedbench.commands.progress import display, finished_line
from fedbench.config import RunConfig, Runtime
from fedbench.errors import FedbenchError
from fedbench.executors.base import Outcome
from fedbench.grid.execute import execute, plan
from fedbench.store.cells import Store

Cells = Callable[..., list[RunConfig]]


def run(out: Path, cells: list[RunConfig], *, retry_failed: bool = False) -> tuple[list[Outcome], str]:
    """Outcomes and what was shown."""
    store = Store(out, create=True)
    planned = plan(cells, store, retry_failed=retry_failed)
    store.add(cells)
    shown = io.StringIO()
    with display(total=len(cells), console=Console(file=shown)) as lines:
        return execute(planned, store, Runtime(), jobs=1, plugins=(), display=lines), shown.getvalue()


def states(outcomes: list[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_all_cells_are_run_once_and_kept(cells: Cells, out: Path) -> None:
    outcomes, shown = run(out, cells())
    assert states(outcomes) == ["done"] * 4
    assert [line.split()[:3] for line in shown.splitlines()] == [
        [f"[{i}/4]", "done", cell.cell] for i, cell in enumerate(cells(), start=1)
    ]
    outcomes, shown = run(out, cells())
    assert states(outcomes) == ["done"] * 4
    assert not any(outcome.ran for outcome in outcomes)
    assert shown == ""


def test_a_failed_cell_keeps_the_others_and_its_traceback(
    cells: Cells, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = cells(seeds=[1], set={"Alpha.mode": "error"})
    outcomes, shown = run(out, grid)
    assert states(outcomes) == ["failed", "done"]
    assert re.fullmatch(
        r"ZeroDivisionError: division by zero \(fakeworld.py:\d+; see error.txt\)", outcomes[0].reason
    )
    assert "failed" in shown.splitlines()[0]
    folder = Store(out).folder(grid[0].cell)
    assert "in run_cell" in (folder.path / "error.txt").read_text()

    monkeypatch.setenv("FAKE_FIXED", "1")
    outcomes, _ = run(out, grid)
    assert states(outcomes) == ["failed", "done"]
    assert not outcomes[0].ran
    outcomes, _ = run(out, grid, retry_failed=True)
    assert states(outcomes) == ["done", "done"]
    assert (outcomes[0].ran, outcomes[1].ran) == (True, False)
    assert (folder.path / "rounds.jsonl").read_text().count("\n") == 3  # it went on from its checkpoint


def test_bad_input_in_a_cell_is_one_line(cells: Cells, out: Path) -> None:
    outcomes, _ = run(out, cells(methods=["Alpha"], seeds=[1], set={"mode": "refuse"}))
    assert (outcomes[0].state, outcomes[0].reason) == ("failed", "no weights; get them with ...")


def test_cells_that_cannot_run_are_skipped_with_a_reason(cells: Cells, out: Path) -> None:
    grid = cells(seeds=[1], set={"Alpha.mode": "skip"})
    outcomes, _ = run(out, grid)
    assert (outcomes[0].state, outcomes[0].reason) == ("skipped", "needs an image tower of ViT kind")
    assert plan(grid, Store(out), retry_failed=False)[0].verb == "leave"
    assert plan(grid, Store(out), retry_failed=True)[0].verb == "retry"


def test_a_full_disk_stops_the_run_and_loses_nothing(
    cells: Cells, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = cells(set={"Beta.mode": "disk-full"})
    with pytest.raises(FedbenchError, match="no space left on the disk"):
        run(out, grid)
    found = [folder.status.state for folder in Store(out).cells()]
    assert found == ["done", "interrupted", "queued", "queued"]
    monkeypatch.setenv("FAKE_FIXED", "1")
    assert states(run(out, grid)[0]) == ["done"] * 4


def test_a_full_disk_when_the_record_is_written(
    cells: Cells, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedbench.store.cells import CellFolder

    def full(self: CellFolder, record: object) -> None:
        raise OSError(28, "No space left on device", str(self.path))

    with monkeypatch.context() as patch:
        patch.setattr(CellFolder, "finish", full)
        with pytest.raises(FedbenchError, match="no space left"):
            run(out, cells())
    assert states(run(out, cells())[0]) == ["done"] * 4


def test_a_cell_that_another_run_finished_meanwhile_is_kept(cells: Cells, out: Path) -> None:
    grid = cells(methods=["Alpha"], seeds=[1])
    store = Store(out, create=True)
    planned = plan(grid, store, retry_failed=False)
    run(out, grid)
    with display(total=1, console=Console(file=io.StringIO())) as lines:
        outcomes = execute(planned, store, Runtime(), jobs=1, plugins=(), display=lines)
    assert [(o.state, o.ran) for o in outcomes] == [("done", False)]


def test_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = io.StringIO()
    lines = display(total=1, console=Console(file=shown))
    for done in range(101):
        lines.update("cell", "rounds", done, 100)
        clock[0] += 1
    assert shown.getvalue().splitlines()[0] == "  cell: rounds 10/100, 90 s left"
    assert len(shown.getvalue().splitlines()) == 9


def test_bars_on_a_terminal(cells: Cells) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    with display(total=2, console=console) as bars:
        bars.update("cell", "features", 1, 2)
        bars.update("cell", "rounds", 5, 10)
        bars.finish(Outcome("cell", "done", seconds=3.0))
        bars.update("other", "rounds", 1, 10)
    text = shown.getvalue()
    assert "[1/2] done cell  3.0 s" in text
    assert "1/2 cells" in text


def test_a_line_for_a_finished_cell() -> None:
    assert (
        finished_line(Outcome("c", "failed", "why", 1.25), number=1, total=2) == "[1/2] failed c  1.2 s  why"
    )
    assert finished_line(Outcome("c", "done", ran=False), number=2, total=2) == "[2/2] done c"
