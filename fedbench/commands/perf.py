"""`bench perf`: the fast path against the plain one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedbench.commands.options import PLUGIN, load_plugins

if TYPE_CHECKING:  # torch is imported when the command runs
    from fedbench.perf.measure import Measurement

OPTIONS = [
    click.option("--backbone", default="ViT-B-16:random", show_default=True),
    click.option("--classes", type=click.IntRange(1, 1000), default=19, show_default=True),
    click.option("--clients", type=click.IntRange(min=1), default=10, show_default=True),
    click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), default=None, help="Default: cuda where it is there."
    ),
    click.option("--precision", type=click.Choice(["float32", "bf16"]), default="float32", show_default=True),
    click.option(
        "--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Fewer after a minute."
    ),
    click.option("--threads", type=click.IntRange(min=1), default=None, help="Default: torch's."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object (several: one a line)."),
]


def common(command: Callable) -> Callable:
    """The options that all benchmarks take."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@common
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@PLUGIN
@click.pass_context
def perf(
    context: click.Context, as_json: bool, batch: int, plugins: tuple[Path, ...], **settings: Any
) -> None:
    """Time the engine against the plain path: one client at a time, 77 tokens, pixels at every step.

    Without a subcommand: text encoding and every method's local step. Both paths run in turn in one process, so the
    ratio can be trusted where the seconds depend on the machine.
    """
    load_plugins(plugins)
    if context.invoked_subcommand:
        return
    from fedbench.perf import measure

    ready = _prepared(settings)
    results = [measure.text_encoding(context=16, **ready)]
    _header(as_json)
    _print(results[0], as_json)
    for name in measure.trained_methods():
        _print(measure.step(method=name, batch=batch, **ready), as_json)


@perf.command("text-encoding")
@common
@click.option(
    "--context",
    "context_tokens",
    type=click.IntRange(1, 70),
    default=16,
    show_default=True,
    help="Learned tokens.",
)
def text_encoding(as_json: bool, context_tokens: int, **settings: Any) -> None:
    """Class features from learned contexts, forward and backward."""
    from fedbench.perf import measure

    result = measure.text_encoding(context=context_tokens, **_prepared(settings))
    _header(as_json)
    _print(result, as_json)


@perf.command("step")
@common
@click.option("--method", required=True, help="See `bench list methods`.")
@click.option(
    "--memory-gib", type=click.FloatRange(min=0, min_open=True), default=None, help="As in `bench run`."
)
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@PLUGIN
def step(
    as_json: bool,
    method: str,
    batch: int,
    memory_gib: float | None,
    plugins: tuple[Path, ...],
    **settings: Any,
) -> None:
    """One local step of a method: loss and gradients of all its tensors."""
    from fedbench.perf import measure

    load_plugins(plugins)
    result = measure.step(method=method, batch=batch, memory_gib=memory_gib, **_prepared(settings))
    _header(as_json)
    _print(result, as_json)


def _prepared(settings: dict) -> dict:
    import torch

    if threads := settings.pop("threads"):
        torch.set_num_threads(threads)
    device = settings["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    return settings | {"device": device}


def _header(as_json: bool) -> None:
    if not as_json:
        click.echo(
            f"{'benchmark':<20}{'fast s':>10}{'plain s':>10}{'ratio':>8}{'rel. diff.':>12}{'peak GiB':>10}"
            f"{'bound s':>9}  on"
        )


def _print(result: "Measurement", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    click.echo(
        f"{result.benchmark:<20}{result.fast_seconds:>10.4f}{result.plain_seconds:>10.3f}{result.ratio:>8.1f}"
        f"{result.relative_difference:>12.1e}{result.peak_bytes / 2**30:>10.2f}{result.bound_seconds:>9.4f}"
        f"  {result.device}, {result.precision}, {result.threads} threads, {result.backbone},"
        f" {result.classes} classes, {result.clients} clients"
    )
