"""`bench report` and `bench plot`"""

from pathlib import Path

import click

from fedbench.commands.options import NAMES, SELECT

STORE = click.argument("store", type=click.Path(path_type=Path))
OUT = click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.  [default: in STORE]")


@click.command()
@STORE
@click.option(
    "--format",
    "formats",
    type=NAMES,
    default="md,tex,csv",
    show_default=True,
    help="Which files to write.",
)
@SELECT
@click.option(
    "--versus", metavar="METHOD", help="Also compare every method with this one, in pairs over seeds."
)
@OUT
def report(
    *, store: Path, formats: tuple[str, ...], select: str, versus: str | None, out: Path | None
) -> None:
    """Show the tables of the result store STORE, and write them as Markdown, LaTeX and CSV."""
    from fedbench.commands.show import show
    from fedbench.report import terminal_table, write_report

    files = write_report(store, formats=formats, select=select, versus=versus, out=out)
    show(terminal_table(store, select, versus=versus))
    for file in files:
        click.echo(file)


@click.command()
@STORE
@SELECT
@OUT
def plot(*, store: Path, select: str, out: Path | None) -> None:
    """Draw accuracy per round and Local against Novel for the result store STORE."""
    from fedbench.report import write_plots

    for file in write_plots(store, select=select, out=out):
        click.echo(file)
