"""`bench status`"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fedbench.store.cells import CellFolder


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
def status(*, store: Path) -> None:
    """Count the cells of the result store STORE by state, and list those that are not done."""
    from fedbench.store.cells import Store

    folders = Store(store).cells()
    states = {folder.name: folder.status for folder in folders}
    counts = Counter(state.state for state in states.values())
    click.echo(
        f"{store}: {len(folders)} cells: " + ", ".join(f"{n} {state}" for state, n in counts.most_common())
    )
    for folder in folders:
        state = states[folder.name]
        if state.state == "done":
            continue
        details = [text for text in (_rounds(folder, state.state), state.reason) if text]
        click.echo(f"{state.state:12}{folder.name}" + (f"  {'; '.join(details)}" if details else ""))


def _rounds(folder: "CellFolder", state: str) -> str:
    """How far the cell is, from the last whole line of `rounds.jsonl`."""
    file = folder.path / "rounds.jsonl"
    if state not in ("running", "interrupted") or not file.is_file():
        return ""
    for line in reversed(file.read_text(encoding="utf-8").splitlines()):
        try:
            return f"round {json.loads(line)['round']} of {folder.config.rounds}"
        except (ValueError, KeyError, TypeError):  # half a line: it is being written
            continue
    return ""
