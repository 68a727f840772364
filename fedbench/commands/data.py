"""`bench data list | verify | prepare | cite`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedbench.commands.options import PLUGIN, load_plugins

if TYPE_CHECKING:
    from rich.table import Table

    from fedbench.data.verify import Finding

DATA_ROOT = click.option(
    "--data-root",
    "root",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder of the datasets.",
)


@click.group("data")
def data() -> None:
    """Show, check and download the datasets."""


@data.command("list")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@DATA_ROOT
@PLUGIN
def list_(*, names: tuple[str, ...], root: Path, plugins: tuple[Path, ...]) -> None:
    """Show the datasets and what is on disk; with a NAME, its layouts and where to get it too."""
    from fedbench.commands.details import dataset as show_dataset
    from fedbench.commands.show import show
    from fedbench.data.facts import datasets, facts

    load_plugins(plugins)
    for name in names:
        show_dataset(name, root=root)
    if names:
        return
    grid = _grid("name", "train / val / test", "classes", "state")
    for dataset in datasets():
        row = facts(dataset, root)
        grid.add_row(row["name"], row["train / val / test"], row["classes"], row["state"].partition(":")[0])
    show(grid)


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@PLUGIN
def cite(*, names: tuple[str, ...], plugins: tuple[Path, ...]) -> None:
    """Print the BibTeX entries of the datasets: of all, or of each NAME."""
    from fedbench.commands.show import show_bibtex
    from fedbench.registry import DATASETS

    load_plugins(plugins)
    show_bibtex((name, DATASETS[name].bibtex) for name in names or DATASETS)


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@DATA_ROOT
@PLUGIN
def verify(*, names: tuple[str, ...], root: Path, plugins: tuple[Path, ...]) -> None:
    """Check counts, splits and files, and decode every image.

    Without a NAME, all datasets that are on disk. NAME may be `folder:PATH`. The exit code is 1 if anything
    is wrong.
    """
    from rich.console import Console

    from fedbench.commands.show import show
    from fedbench.data.facts import datasets, on_disk
    from fedbench.data.verify import verify as verify_one
    from fedbench.errors import FedbenchError

    load_plugins(plugins)
    if not names and not root.is_dir():
        raise FedbenchError(f"there is no folder '{root}'; name the folder of the datasets with --data-root")
    chosen = names or tuple(dataset.name for dataset in datasets() if on_disk(dataset, root))
    findings = []
    with Console(stderr=True).status("") as status:
        for name in chosen:
            status.update(f"reading {name}")
            findings.append(verify_one(name, root))
    show(_findings(findings))
    for finding in findings:
        for line in (*finding.faults, *finding.remarks):
            click.echo(f"{finding.name}: {line.removeprefix(f'{finding.name}: ')}")
    absent = [d.name for d in datasets() if d.image_folders and not on_disk(d, root)]
    if not names and absent:
        click.echo(f"not in {root}: {', '.join(absent)}")
    wrong = [finding.name for finding in findings if finding.faults]
    if wrong:
        raise FedbenchError(
            f"{len(wrong)} of {len(findings)} datasets are not as they should be: {', '.join(wrong)}"
        )


@data.command()
@click.argument("name")
@DATA_ROOT
@PLUGIN
def prepare(*, name: str, root: Path, plugins: tuple[Path, ...]) -> None:
    """Download a dataset, or say exactly what to fetch and where to put it.

    Keeps what is there, goes on with an interrupted download, and checks the sums of what it downloads.
    """
    from fedbench.data.prepare import LIST_OF_SPLITS, prepare

    load_plugins(plugins)
    dataset = prepare(name, root)
    counts = " / ".join(str(len(dataset.parts[part])) for part in ("train", "val", "test"))
    click.echo(f"{name} is complete: {counts} images in train / val / test, split: {dataset.source}")
    split = dataset.split_file
    if split and dataset.source != "zhou":
        click.echo(f"for the published split, put {split} (from {LIST_OF_SPLITS}) into the dataset's folder")


def _grid(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column in ("classes", "train", "val", "test", "missing", "unreadable")
        grid.add_column(
            column, justify="right" if right else "left", overflow="fold", no_wrap=column == "name"
        )
    return grid


def _findings(findings: "list[Finding]") -> "Table":
    from rich.markup import escape

    from fedbench.data.verify import SOURCES

    columns = ("dataset", "", "split", "digest", "classes", "train", "val", "test", "missing", "unreadable")
    grid = _grid(*columns)
    for finding in findings:
        verdict = f"[{'red' if finding.faults else 'green'}]{finding.verdict}[/]"
        name = escape(finding.name)  # of a folder, which may have brackets in it
        if finding.dataset is None:
            grid.add_row(name, verdict)
            continue
        found = finding.dataset
        numbers = (len(found.classnames), *finding.counts, found.missing, found.unreadable)
        source = SOURCES.get(found.source, found.source)
        grid.add_row(name, verdict, source, finding.digest, *map(str, numbers))
    return grid
