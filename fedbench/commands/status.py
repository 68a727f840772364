"""`bench status`"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedbench.errors import FedbenchError

if TYPE_CHECKING:
    from fedbench.store.cells import CellFolder
    from fedbench.store.schema import Status


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
def status(*, store: Path) -> None:
    """Count the cells of the result store STORE by state, and list those that need attention."""
    from fedbench.store.cells import Store

    folders = Store(store).cells()
    found = [(folder, folder.status) for folder in folders]
    counts = Counter(status.state for _, status in found)
    click.echo(
        f"{store}: {len(folders)} cells: " + ", ".join(f"{n} {state}" for state, n in counts.most_common())
    )
    lines = [
        (
            f"{status.state}, code changed" if status.changed else status.state,
            folder.name,
            _details(folder, status),
        )
        for folder, status in found
        if status.state != "done" or status.changed
    ]
    width = max((len(state) for state, *_ in lines), default=0)
    for state, name, details in lines:
        click.echo(f"{state:{width}}  {name}  {'; '.join(details)}".rstrip())


def _details(folder: "CellFolder", status: "Status") -> Iterator[str]:
    """How far the cell is, why it is no further, and which code has changed since it was run."""
    from fedbench.store.journal import read_lines

    if status.state in ("running", "interrupted"):
        try:
            lines = read_lines(folder.path / "rounds.jsonl")
            if lines:
                yield f"round {lines[-1].round} of {folder.config.rounds}"
        except FedbenchError as error:  # one damaged cell does not hide the others
            yield str(error)
    if status.reason:
        yield status.reason
    if status.changed:
        yield ", ".join(status.changed)
