"""`bench parity FOLDER`."""

import json
import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedbench.commands.options import PLUGIN, load_plugins
from fedbench.errors import FedbenchError

if TYPE_CHECKING:  # torch is imported when the command runs
    from fedbench.parity.compare import Check
    from fedbench.parity.run import FileResult


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print every quantity as JSON.")
@PLUGIN
def parity(folder: Path | None, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """Compare the registered methods with numbers recorded from their authors' code.

    FOLDER, or folders below it, hold golden files (`METHOD.npz`, `federated_METHOD.npz`, `aggregation.npz`) and
    beside them the tiny CLIP on which they were recorded (`tiny_clip.npz`, `config.json`). Prints the largest
    deviation of each quantity against its tolerance.

    A file that cannot be compared, for example a damaged one, is FAILED with the reason, and the others go on. A file
    that belongs to no registered method, or that its method excludes, is named as not compared.

    Exit status: 1 if a tolerance was missed, a file FAILED, or nothing at all was compared; a file that is not compared
    beside others that are does not count.
    """
    if folder is None:
        raise click.UsageError(
            "name the folder with the recorded numbers, for example `bench parity tests/golden`, "
            "which comes with the source code"
        )
    from fedbench.parity.run import run

    load_plugins(plugins)
    results = run(folder)
    if as_json:
        click.echo(json.dumps([_as_json(result) for result in results], indent=1, allow_nan=False))
    else:
        for result in results:
            _show(result)
        click.echo(_summary(results))
    if not any(result.checks or result.failed for result in results):
        raise FedbenchError(
            f"nothing in {folder} was compared; `bench list methods` shows the registered methods, "
            "--plugin FILE.py adds others"
        )
    if not all(result.passed for result in results):
        raise SystemExit(1)


def _as_json(result: "FileResult") -> dict[str, Any]:
    """JSON has no infinity: an infinite deviation is null."""
    checks = [asdict(check) | {"passed": check.passed} for check in result.checks]
    for check in checks:
        if not math.isfinite(check["deviation"]):
            check["deviation"] = None
    return asdict(result) | {"passed": result.passed, "checks": checks}


def _summary(results: "list[FileResult]") -> str:
    compared = {result.file for result in results if result.checks}
    missed = {result.file for result in results if result.missed}
    failed = {result.file for result in results if result.failed}
    others = {result.file for result in results} - compared - failed
    line = (
        f"{sum(len(result.checks) for result in results)} quantities of {len(compared)} files compared, "
        f"{len(missed)} files missed their tolerance"
    )
    line += f", {len(failed)} could not be compared (FAILED)" if failed else ""
    return line + (f"; {len(others)} of no registered method or excluded" if others else "")


def _show(result: "FileResult") -> None:
    """One file: a line for each kind of quantity, with the one nearest to its tolerance."""
    if result.reason:
        click.echo(f"{result.file}: {'FAILED' if result.failed else 'not compared'}: {result.reason}")
    if result.checks:
        click.echo(f"{result.file} ({result.method})")
        _show_checks(result.checks)
    if result.overruled:
        click.echo(f"  stated in the file against its tensors, which count: {', '.join(result.overruled)}")
    if result.checks and not result.passed:  # what may be to blame
        if result.ignored:
            click.echo(f"  stated in the file and unknown to {result.method}: {', '.join(result.ignored)}")
        if result.assumed:
            click.echo(f"  not stated in the file, so {result.method}'s own: {', '.join(result.assumed)}")
    if result.left:
        click.echo(f"  not compared: {', '.join(result.left)}")


def _show_checks(checks: "list[Check]") -> None:
    worst: dict[str, Check] = {}
    missed: Counter[str] = Counter()
    for check in checks:
        kind = check.quantity.rpartition("/")[0] if "." in check.quantity else check.quantity
        missed[kind] += not check.passed
        if kind not in worst or _ratio(check) > _ratio(worst[kind]):
            worst[kind] = check
    for kind, check in worst.items():
        verdict = "ok" if check.passed else "MISSED"
        if not check.passed and check.quantity != kind:
            others = f" and {missed[kind] - 1} more" if missed[kind] > 1 else ""
            verdict += f" by {check.quantity.removeprefix(kind + '/')}{others}"
        finite = math.isfinite(check.deviation)
        off = f"{check.deviation:9.2e} of {check.tolerance:.1e}" if finite else "not a finite number"
        click.echo(f"  {kind:<42} {off:>20}  {verdict}")


def _ratio(check: "Check") -> float:
    """How near a deviation is to its tolerance; some quantities, such as tokens, have none."""
    return check.deviation / (check.tolerance or 1e-9)
