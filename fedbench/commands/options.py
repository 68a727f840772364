"""Option types that several commands share."""

from pathlib import Path
from typing import Any

import click

PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Python file that registers methods, datasets, splits, backbones or executors; repeatable.",
)


def load_plugins(paths: tuple[Path, ...]) -> None:
    """What `--plugin` asks for.

    Raises:
        FedbenchError: a file is not there or does not import.
    """
    from fedbench.registry import load_plugin

    for path in paths:
        load_plugin(path)


SELECT = click.option(
    "--select",
    default="last",
    show_default=True,
    metavar="RULE",
    help="Which round counts: last, mean-last-5, best-val or best-test.",
)


class CommaList(click.ParamType):
    """`a,b,c` as a tuple."""

    def __init__(self, kind: type[int] | type[str]):
        self.kind = kind
        self.name = "integers" if kind is int else "names"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "N,…" if self.kind is int else "NAME,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        try:
            return tuple(self.kind(part) for part in parts)
        except ValueError:
            self.fail(f"'{value}' is not a list of integers such as 1,2,3", param, ctx)


NAMES = CommaList(str)
INTEGERS = CommaList(int)
