"""`bench report` and `bench plot`"""

from pathlib import Path

import click

from fedbench.commands.options import NAMES, PLUGIN, SELECT

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
    help="Which files to write: md, tex, csv, txt, or what a plug-in adds.",
)
@SELECT
@click.option(
    "--versus", metavar="METHOD", help="Also compare every method with this one, in pairs over seeds."
)
@OUT
@PLUGIN
def report(
    *,
    store: Path,
    formats: tuple[str, ...],
    select: str,
    versus: str | None,
    out: Path | None,
    plugins: tuple[Path, ...],
) -> None:
    """Show the tables of the result store STORE, and write them as Markdown, LaTeX and CSV."""
    from fedbench.commands.show import show, show_files
    from fedbench.registry import load_plugin
    from fedbench.report import terminal_table, write_report

    for plugin in plugins:
        load_plugin(plugin)
    files = write_report(store, formats=formats, select=select, versus=versus, out=out)
    show(terminal_table(store, select, versus=versus))
    show_files(files)


@click.command()
@STORE
@click.option(
    "--format",
    "formats",
    type=NAMES,
    default="png,pdf",
    show_default=True,
    help="Which files to write: png, pdf, svg.",
)
@SELECT
@OUT
def plot(*, store: Path, formats: tuple[str, ...], select: str, out: Path | None) -> None:
    """Draw accuracy per round and Local against Novel for the result store STORE."""
    from fedbench.commands.show import show_files
    from fedbench.report import write_plots

    show_files(write_plots(store, select=select, formats=formats, out=out))
