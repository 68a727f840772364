"""`bench run`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedbench.commands.options import INTEGERS, NAMES, PLUGIN
from fedbench.config import RunConfig, Runtime, validated
from fedbench.errors import FedbenchError

if TYPE_CHECKING:
    from fedbench.executors.base import Outcome
    from fedbench.grid.config import GridConfig
    from fedbench.grid.execute import Planned
    from fedbench.store.cells import Store

GRID_FLAGS = (
    click.option("--methods", type=NAMES, help="See `bench list methods`."),
    click.option("--datasets", type=NAMES, help="See `bench list datasets`."),
    click.option("--split", metavar="NAME", help="See `bench list splits`."),
    click.option("--seeds", type=INTEGERS, help="One cell for each."),
    click.option("--shots", type=INTEGERS, help="Training images a class; several make a cell for each."),
    click.option("--clients", type=int, help="The split's number of clients."),
    click.option("--rounds", type=int),
    click.option("--local-epochs", type=int),
    click.option("--batch-size", type=int),
    click.option("--participation", type=float, help="Fraction of the clients that train in a round."),
    click.option(
        "--views",
        type=int,
        help="Augmented views of an image; 0: the test transform only.  [default: one per epoch]",
    ),
    click.option("--evaluate-every", type=int, help="Rounds from one evaluation to the next."),
    click.option(
        "--backbone",
        metavar="NAME",
        help="See `bench list backbones`; or MODEL:TAG, MODEL:PATH, MODEL:random.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bf16"]),
        help="auto: bf16 on CUDA, float32 on CPU.",
    ),
    click.option(
        "--quirks",
        type=NAMES,
        help="Released behaviours to switch on: QUIRK or OWNER:QUIRK; see `bench list quirks`.",
    ),
    click.option(
        "--released/--no-released",
        default=None,
        help="Switch on the quirks of the released code behind the suite's table.",
    ),
)
RUNTIME_FLAGS = (
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option(
        "--threads", type=int, help="CPU threads of a cell.  [default: the cores, shared by the jobs]"
    ),
    click.option(
        "--data-root", type=click.Path(path_type=Path), help="Folder of the datasets.  [default: data]"
    ),
    click.option(
        "--cache-dir", type=click.Path(path_type=Path), help="Feature cache.  [default: ~/.cache/fedbench]"
    ),
    click.option("--memory-gib", type=float, help="Memory for a training step.  [default: from the machine]"),
    click.option("--allow-missing", is_flag=True, help="Go on without the images that are missing."),
)


def _options(command: Any) -> Any:
    for option in reversed(GRID_FLAGS + RUNTIME_FLAGS):
        command = option(command)
    return command


@click.command()
@click.argument("suite", required=False)
@_options
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Hyper-parameter or split option; A,B makes a cell for each; repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Result store.  [default: results/SUITE or results/run]"
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at a time.")
@click.option("--retry-failed", is_flag=True, help="Run cells again that failed or were skipped.")
@click.option(
    "--dry-run", is_flag=True, help="Show the cells and what would be done with them; write nothing."
)
@PLUGIN
def run(
    *,
    suite: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    jobs: int,
    retry_failed: bool,
    dry_run: bool,
    plugins: tuple[Path, ...],
    **flags: Any,
) -> None:
    """Train and evaluate every cell of a grid, and write its table and curves.

    SUITE is a named grid (`bench list suites`) or a TOML file; flags go over what it says. The same command
    continues where an earlier one ended: done cells are kept, interrupted ones resume from their checkpoint.

    \b
    bench run quickstart
    bench run --methods PromptFL,FedPGP --datasets caltech101 --seeds 1,2,3 --set FedPGP.mu=1
    """
    from fedbench.grid.execute import plan
    from fedbench.grid.expand import checkpoints, expand, folders
    from fedbench.registry import load_plugin
    from fedbench.store.cells import Store

    for plugin in plugins:
        load_plugin(plugin)
    grid = _grid(suite, settings, flags)
    device = _device(flags["device"])
    root = flags["data_root"] or Runtime().data_root
    cells = expand(grid, device=device, data_root=root)
    files = {"checkpoints": checkpoints(grid, cells), "folders": folders(grid, data_root=root)}
    runtime = _runtime(flags | {"device": device}, files)
    store = Store(out or Path("results") / grid.name, create=True)
    store.check(cells)
    planned = plan(cells, store, retry_failed=retry_failed)
    _refuse_impossible(planned, runtime)
    if dry_run:
        _print_plan(planned, store)
        return
    store.add(cells)
    outcomes = _execute(planned, store, runtime, jobs=jobs, plugins=plugins)
    _print_results(store)
    _conclude(outcomes, store)


def _grid(suite: str | None, settings: tuple[str, ...], flags: dict[str, Any]) -> "GridConfig":
    """The suite, or nothing, with the flags that were given over it."""
    from fedbench.grid.config import GridConfig
    from fedbench.grid.suites import overridden, read
    from fedbench.grid.values import assignments

    given = {key: flags[key] for key in GridConfig.model_fields if flags.get(key) is not None}
    if flags["clients"] is not None:
        given["split_options"] = {"clients": flags["clients"]}
    return overridden(read(suite) if suite else {}, given | {"set": assignments(settings)})


def _device(name: str) -> str:
    if name == "cpu":
        return name
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise FedbenchError("--device cuda: torch finds no CUDA GPU here; use --device cpu")
    return "cuda" if available else "cpu"


def _runtime(flags: dict[str, Any], files: dict[str, dict[str, Path]]) -> Runtime:
    given = {key: flags[key] for key in Runtime.model_fields if flags.get(key) is not None}
    return validated(Runtime, given | files, where="the command line")


def _refuse_impossible(planned: list["Planned"], runtime: Runtime) -> None:
    """Build each dataset and split that is to be run: what cannot work is said before anything starts."""
    from fedbench.data.names import make_dataset
    from fedbench.registry import SPLITS

    pending = [p.config for p in planned if p.verb not in ("keep", "leave")]
    datasets = {
        name: make_dataset(
            name, runtime.data_root, allow_missing=runtime.allow_missing, folders=runtime.folders
        )
        for name in dict.fromkeys(config.dataset for config in pending)
    }
    for config in _one_a_split(pending):
        split = SPLITS[config.split]
        options = split.Options(**config.split_options)
        split(options).make(datasets[config.dataset], seed=config.seed)


def _one_a_split(configs: list[RunConfig]) -> list[RunConfig]:
    return list({(c.dataset, str(c.split_options)): c for c in configs}.values())


def _print_plan(planned: list["Planned"], store: "Store") -> None:
    for p in planned:
        click.echo(f"{p.verb:7} {p.config.cell}" + (f"  ({p.state}: {p.reason})" if p.reason else ""))
    verbs = [p.verb for p in planned]
    counts = ", ".join(f"{verbs.count(verb)} to {verb}" for verb in dict.fromkeys(verbs))
    click.echo(f"{len(planned)} cells in {store.root}: {counts}. Nothing was written.")


def _execute(
    planned: list["Planned"], store: "Store", runtime: Runtime, *, jobs: int, plugins: tuple[Path, ...]
) -> list["Outcome"]:
    from rich.console import Console

    from fedbench.commands.progress import display
    from fedbench.grid.execute import execute

    pending = sum(p.verb not in ("keep", "leave") for p in planned)
    try:
        with display(Console(stderr=True), total=pending) as shown:
            if pending < len(planned):
                shown.line(f"{len(planned) - pending} of {len(planned)} cells have been run before")
            return execute(planned, store, runtime, jobs=jobs, plugins=plugins, display=shown)
    except KeyboardInterrupt:
        done = sum(store.folder(p.config.cell).status.state == "done" for p in planned)
        click.echo(f"stopped with {done} of {len(planned)} cells done; the same command continues", err=True)
        raise click.Abort from None


def _print_results(store: "Store") -> None:
    """The table on stdout, and where the files are. A report that cannot be made does not fail the run."""
    from fedbench.commands.show import show, show_files
    from fedbench.report import terminal_table, write_plots, write_report

    if not any(folder.status.state == "done" for folder in store.cells()):
        return
    try:
        show(terminal_table(store.root, "last"))
        show_files([*write_report(store.root), *write_plots(store.root, select="last", out=None)])
    except FedbenchError as error:
        click.echo(f"no table: {error}", err=True)


def _conclude(outcomes: list["Outcome"], store: "Store") -> None:
    """Say what was skipped and what failed; exit with 1 if anything failed."""
    for outcome in outcomes:
        if outcome.state == "skipped":
            click.echo(f"skipped {outcome.cell}: {outcome.reason}", err=True)
    failed = [o for o in outcomes if o.state == "failed"]
    for outcome in failed:
        earlier = "" if outcome.ran else " (in an earlier run)"
        click.echo(f"failed {outcome.cell}{earlier}: {outcome.reason}", err=True)
    if failed:
        raise FedbenchError(
            f"{len(failed)} of {len(outcomes)} cells failed; tracebacks: {store.root}/cells/*/error.txt; "
            "run the same command with --retry-failed to try them again"
        )
