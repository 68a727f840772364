"""From what a user asks for to a planned run: the one way of the command line and of the Python API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedbench.config import RunConfig, Runtime, validated
from fedbench.errors import FedbenchError
from fedbench.executors.base import Outcome
from fedbench.executors.cell import summary
from fedbench.grid.config import GridConfig
from fedbench.grid.execute import Display, Planned, execute, plan
from fedbench.grid.expand import checkpoints, expand, folders
from fedbench.grid.suites import overridden, read
from fedbench.named import look_again, make_task
from fedbench.registry import load_plugin
from fedbench.store.cells import Store
from fedbench.task import Task


@dataclass(frozen=True)
class PlannedRun:
    """A grid, its store, and what is to be done with each cell.

    Attributes:
        cells: each with its state and what a run does with it.
        runtime: where and how fast cells run.
        plugins: files that workers load.
        executor: name of the executor; None: in this process for one job, else `local`.
        jobs: cells at a time.
    """

    grid: GridConfig
    store: Store
    cells: list[Planned]
    runtime: Runtime
    plugins: tuple[Path, ...] = ()
    executor: str | None = None
    jobs: int = 1

    @property
    def pending(self) -> list[RunConfig]:
        """What is to be run."""
        return [p.config for p in self.cells if p.pending]

    def check(self) -> None:
        """Make every task that is to be run: what cannot work is said before anything starts.

        Raises:
            FedbenchError: a data set that is not there, a split that cannot be made of it.
        """
        for config in {_task_of(config): config for config in self.pending}.values():
            _made(config, self.runtime)

    def execute(self, display: Display) -> list[Outcome]:
        """Enter the cells into the store and run what is to be run; one outcome for each cell."""
        self.store.add([p.config for p in self.cells])
        return execute(
            self.cells,
            self.store,
            self.runtime,
            executor=self.executor,
            jobs=self.jobs,
            plugins=self.plugins,
            display=display,
        )


@dataclass(frozen=True)
class Wish:
    """What a user asks for: a suite, what goes over it, and how to run it.

    Attributes:
        suite: name of a suite, or path of a TOML file.
        grid: keys of `GridConfig` that go over the suite's, and `clients`.
        runtime: keys of `Runtime`; `device` may be "auto".
        out: the store; None: `results/` and the grid's name.
        plugins: files that register methods, data sets and more.
    """

    suite: str | None = None
    grid: Mapping[str, Any] = field(default_factory=dict)
    runtime: Mapping[str, Any] = field(default_factory=dict)
    out: Path | None = None
    plugins: tuple[Path, ...] = ()
    executor: str | None = None
    jobs: int = 1
    retry_failed: bool = False
    retry_changed: bool = False


def planned(wish: Wish) -> PlannedRun:
    """Expand a wish into cells and look up what the store has of them. Writes nothing.

    Raises:
        FedbenchError: an unknown name or key, an impossible value, or a store of another comparison.
    """
    look_again()
    suite = read(wish.suite) if wish.suite else {}
    plugins = tuple(dict.fromkeys((*wish.plugins, *map(Path, suite.get("plugins", ())))))
    for plugin in plugins:
        load_plugin(plugin)
    grid = _grid(suite, wish.grid)
    device = device_of(wish.runtime.get("device", "auto"))
    root = Path(wish.runtime.get("data_root", Runtime().data_root))
    cells = expand(grid, device=device, data_root=root)
    files = {"checkpoints": checkpoints(grid, cells), "folders": folders(grid, data_root=root)}
    runtime = validated(Runtime, {**wish.runtime, "device": device, **files}, where="the run")
    store = Store(wish.out or Path("results") / grid.name, create=True)
    store.check(cells)
    known: dict[str, str | None] = {}

    def split_hash(config: RunConfig) -> str | None:
        key = _task_of(config)
        if key not in known:
            known[key] = _present_hash(config, runtime)
        return known[key]

    retry = {"retry_failed": wish.retry_failed, "retry_changed": wish.retry_changed}
    return PlannedRun(
        grid=grid,
        store=store,
        cells=plan(cells, store, **retry, split_hash=split_hash),
        runtime=runtime,
        plugins=plugins,
        executor=wish.executor,
        jobs=wish.jobs,
    )


def _grid(suite: dict[str, Any], given: Mapping[str, Any]) -> GridConfig:
    """The suite's keys, or none, with what is given over them."""
    over = {key: value for key, value in given.items() if value is not None and key != "clients"}
    if given.get("clients") is not None:
        over["split_options"] = {**over.get("split_options", {}), "clients": given["clients"]}
    return overridden(suite, over)


def device_of(name: str) -> str:
    """`auto` is the GPU where there is one.

    Raises:
        FedbenchError: no such device.
    """
    if name == "cpu":
        return name
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if not name.startswith("cuda"):
        raise FedbenchError(f"device '{name}': use auto, cpu, cuda or cuda:N")
    if not available:
        raise FedbenchError(f"device {name}: torch finds no CUDA GPU here; use cpu")
    return name


def conclusion(outcomes: Sequence[Outcome], store: Store) -> tuple[list[str], str]:
    """What to say after a run: a line for each cell without numbers, and what failed in one ("" if nothing)."""
    lines = [f"skipped {o.cell}: {o.reason}" for o in outcomes if o.state == "skipped"]
    failed = [o for o in outcomes if o.state == "failed"]
    for o in failed:
        lines.append(f"failed {o.cell}{'' if o.ran else ' (in an earlier run)'}: {o.reason}")
    if not failed:
        return lines, ""
    return lines, (
        f"{len(failed)} of {len(outcomes)} cells failed; tracebacks: {store.root}/cells/*/error.txt; "
        "run the same command with --retry-failed to try them again"
    )


def _present_hash(config: RunConfig, runtime: Runtime) -> str | None:
    """The split that the data of this machine would give a finished cell; None where its data are elsewhere."""
    try:
        return _made(config, runtime).hash
    except FedbenchError:
        return None


def _made(config: RunConfig, runtime: Runtime) -> Task:
    """The cell's task.

    Raises:
        FedbenchError: as `make_task`; also for what somebody's split or data set raises, with its file and line.
    """
    try:
        return make_task(config, runtime)
    except FedbenchError:
        raise
    except Exception as error:
        raise FedbenchError(f"{config.split} on {config.dataset}: {summary(error, config)}") from error


def _task_of(config: RunConfig) -> str:
    """Cells with one text have one task."""
    c = config
    return repr((c.dataset, c.quirks.dataset, c.split, c.split_options, c.quirks.split, c.seed))
