"""`bench list`"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from fedbench.commands.options import PLUGIN

Rows = Iterator[tuple[str, ...]]


def _methods() -> Rows:
    from fedbench.registry import METHODS

    for name in METHODS:
        yield name, _summary(METHODS[name])


def _datasets() -> Rows:
    from fedbench.registry import DATASETS

    for name in DATASETS:
        yield name, DATASETS[name].title


def _splits() -> Rows:
    from fedbench.registry import SPLITS

    for name in SPLITS:
        fields = SPLITS[name].Options.model_fields
        yield name, _summary(SPLITS[name])
        for key, field in fields.items():
            default = "required" if field.is_required() else f"default {field.default}"
            yield "", f"  {key} ({default})" + (f": {field.description}" if field.description else "")


def _backbones() -> Rows:
    from fedbench.registry import BACKBONES

    for name in BACKBONES:
        yield name, _summary(BACKBONES[name])
    yield (
        "MODEL:TAG",
        "any CLIP of open_clip with its pretrained weights, for example ViT-B-16:openai (the papers')",
    )
    yield (
        "MODEL:PATH",
        "the same model with weights from your own file (safetensors, or torch with tensors only)",
    )
    yield "MODEL:random", "untrained, for timing and plumbing"


def _suites() -> Rows:
    from fedbench.grid.suites import find, names, read

    for name in names():
        suite = read(name)
        grid = " x ".join(
            f"{len(suite[key])} {key}" for key in ("methods", "datasets", "shots", "seeds") if key in suite
        )
        comment = find(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
        yield name, f"{comment} ({grid})"


def _quirks() -> Rows:
    from fedbench.grid.owners import everything

    for owner, quirks in everything().items():
        for quirk, text in quirks.items():
            yield f"{owner}:{quirk}", text


KINDS: dict[str, Callable[[], Rows]] = {
    "methods": _methods,
    "datasets": _datasets,
    "splits": _splits,
    "backbones": _backbones,
    "suites": _suites,
    "quirks": _quirks,
}


@click.command("list")
@click.argument("kind", required=False, metavar="[" + "|".join(KINDS) + "]")
@PLUGIN
def list_(*, kind: str | None, plugins: tuple[Path, ...]) -> None:
    """Show what a grid can be made of: all of it, or one KIND."""
    from fedbench.errors import unknown
    from fedbench.registry import load_plugin

    if kind is not None and kind not in KINDS:
        raise unknown("kind of list", kind, KINDS)
    for plugin in plugins:
        load_plugin(plugin)
    for name in [kind] if kind else KINDS:
        if not kind:
            click.echo(f"\n{name}")
        rows = list(KINDS[name]())
        width = max((len(row[0]) for row in rows), default=0)
        for first, text in rows:
            click.echo(f"{'' if kind else '  '}{first:{width}}  {text}".rstrip())


def _summary(cls: type) -> str:
    """First sentence of a class's own docstring."""
    return (inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]).strip()
