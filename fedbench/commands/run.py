"""`bench run`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedbench.commands.flags import flags
from fedbench.commands.options import PLUGIN
from fedbench.config import Runtime, Training
from fedbench.errors import FedbenchError
from fedbench.grid.config import GridConfig

if TYPE_CHECKING:
    from fedbench.executors.base import Outcome
    from fedbench.grid.planning import PlannedRun, Wish
    from fedbench.store.cells import Store

IN_SUITES = ("name", "split_options", "set", "released_quirks", "plugins")
"""Keys of a grid without a flag made from the model: `--set`, `--plugin` and the suite fill them."""

DECIDED = ("device", "clients_at_once", "checkpoint_every", "folders", "checkpoints", "allow_missing")
"""Keys of the runtime without a flag, or with one that is written out below."""


@click.command()
@click.argument("suite", required=False)
@flags(GridConfig, without=(*IN_SUITES, *Training.model_fields))
@click.option("--clients", type=click.IntRange(min=1), help="The split's number of clients.")
@flags(GridConfig, without=tuple(set(GridConfig.model_fields) - set(Training.model_fields)))
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Hyper-parameter (lr, FedPGP.mu) or split option (dirichlet.beta); A,B makes a cell for each; repeatable.",
)
@click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is a GPU."
)
@flags(Runtime, without=DECIDED)
@click.option("--allow-missing", is_flag=True, help="Go on without the images that are missing.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Result store.  [default: results/SUITE or results/run]"
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cells at a time; with CUDA, jobs are spread over the visible GPUs.",
)
@click.option(
    "--executor", metavar="NAME", help="Where cells run.  [default: in-process for one job, else local]"
)
@click.option("--retry-failed", is_flag=True, help="Run cells again that failed or were skipped.")
@click.option(
    "--retry-changed", is_flag=True, help="Run cells again whose code has changed since they were run."
)
@click.option(
    "--dry-run", is_flag=True, help="Show the cells and what would be done with them; write nothing."
)
@PLUGIN
def run(*, dry_run: bool, **flags: Any) -> None:
    """Train and evaluate every cell of a grid, and write its table and curves.

    SUITE is a named grid (`bench list suites`) or a TOML file; flags go over what it says. The same command
    continues where an earlier one ended: done cells are kept, interrupted ones resume from their checkpoint.

    \b
    bench run quickstart
    bench run --methods PromptFL,FedPGP --datasets caltech101 --seeds 1,2,3 --set FedPGP.mu=1
    """
    from fedbench.grid.planning import planned

    ready = planned(_wish(**flags))
    ready.check()
    if dry_run:
        _print_plan(ready)
        return
    outcomes = _execute(ready)
    _print_results(ready.store)
    _conclude(outcomes, ready.store)


def _wish(
    *,
    suite: str | None,
    settings: tuple[str, ...],
    plugins: tuple[Path, ...],
    clients: int | None,
    **flags: Any,
) -> "Wish":
    from fedbench.grid.planning import Wish
    from fedbench.grid.values import assignments

    def given(keys: Any) -> dict[str, Any]:
        return {key: flags[key] for key in keys if flags.get(key) is not None}

    return Wish(
        suite,
        grid={**given(GridConfig.model_fields), "set": assignments(settings), "clients": clients},
        runtime=given(Runtime.model_fields),
        plugins=plugins,
        **given(("out", "jobs", "executor", "retry_failed", "retry_changed")),
    )


def _print_plan(ready: "PlannedRun") -> None:
    from fedbench.grid.execute import code_changes

    for p in ready.cells:
        click.echo(f"{p.verb:7} {p.config.cell}" + (f"  ({p.state}: {p.reason})" if p.reason else ""))
    for line in code_changes(ready.cells):
        click.echo(line, err=True)
    verbs = [p.verb for p in ready.cells]
    counts = ", ".join(f"{verbs.count(verb)} to {verb}" for verb in dict.fromkeys(verbs))
    click.echo(f"{len(verbs)} cells in {ready.store.root}: {counts}. Nothing was written.")


def _execute(ready: "PlannedRun") -> list["Outcome"]:
    from fedbench.commands.progress import display, say_first

    try:
        with display(total=len(ready.pending)) as shown:
            say_first(ready, shown)
            return ready.execute(shown)
    except KeyboardInterrupt:
        done = sum(ready.store.folder(p.config.cell).status.state == "done" for p in ready.cells)
        click.echo(
            f"stopped with {done} of {len(ready.cells)} cells done; the same command continues", err=True
        )
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
    from fedbench.grid.planning import conclusion

    lines, failure = conclusion(outcomes, store)
    for line in lines:
        click.echo(line, err=True)
    if failure:
        raise FedbenchError(failure)
