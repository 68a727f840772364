"""`bench parity DIR`."""

import json
import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedbench.commands.options import PLUGIN, load_plugins

if TYPE_CHECKING:  # torch is imported when the command runs
    from fedbench.parity.compare import Check
    from fedbench.parity.run import Outcome


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print every quantity as JSON.")
@PLUGIN
def parity(folder: Path, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """Compare the registered methods with numbers recorded from their authors' code.

    FOLDER, or folders below it, hold a tiny CLIP (`tiny_clip.npz`), its configuration and golden files. Prints the
    largest deviation of each quantity against its tolerance; the exit code is 1 if one is missed.
    """
    from fedbench.parity.run import run

    load_plugins(plugins)
    outcomes = run(folder)
    if as_json:
        content = [
            asdict(o) | {"passed": o.passed, "checks": [asdict(c) | {"passed": c.passed} for c in o.checks]}
            for o in outcomes
        ]
        click.echo(json.dumps(content, indent=1))
    else:
        for outcome in outcomes:
            _show(outcome)
        compared = sum(len(o.checks) for o in outcomes)
        files = len({o.file for o in outcomes if o.checks})
        missed = {o.file for o in outcomes if any(not c.passed for c in o.checks)}
        failed = {o.file for o in outcomes if o.failed}
        click.echo(
            f"{compared} quantities of {files} files compared, {len(missed)} files missed their tolerance"
            + (f", {len(failed)} could not be compared" if failed else "")
        )
    if not all(o.passed for o in outcomes):
        raise SystemExit(1)


def _show(outcome: "Outcome") -> None:
    """One file: a line for each kind of quantity, with the one nearest to its tolerance."""
    if outcome.reason:
        click.echo(f"{outcome.file}: {'FAILED' if outcome.failed else 'not compared'}: {outcome.reason}")
    if not outcome.checks:
        return
    click.echo(f"{outcome.file} ({outcome.method})")
    worst: dict[str, tuple[float, Check]] = {}
    missed: Counter[str] = Counter()
    for check in outcome.checks:
        kind = check.quantity.rpartition("/")[0] if "." in check.quantity else check.quantity
        missed[kind] += not check.passed
        ratio = check.deviation / check.tolerance if check.tolerance else float(check.deviation > 0) * 9e9
        if math.isnan(ratio):
            ratio = math.inf  # a later check would hide it
        if kind not in worst or ratio > worst[kind][0]:
            worst[kind] = (ratio, check)
    for kind, (_, check) in worst.items():
        verdict = "ok" if check.passed else "MISSED"
        if not check.passed and check.quantity != kind:
            others = f" and {missed[kind] - 1} more" if missed[kind] > 1 else ""
            verdict += f" by {check.quantity.removeprefix(kind + '/')}{others}"
        off = (
            "another size"
            if math.isinf(check.deviation)
            else f"{check.deviation:9.2e} of {check.tolerance:.1e}"
        )
        click.echo(f"  {kind:<42} {off:>20}  {verdict}")
    if missed.total() and outcome.ignored:
        click.echo(f"  stated in the file and unknown to {outcome.method}: {', '.join(outcome.ignored)}")
    if outcome.left:
        click.echo(f"  not compared: {', '.join(outcome.left)}")
