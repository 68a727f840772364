"""`bench list`"""

from collections.abc import Callable
from pathlib import Path

import click

from fedbench.commands import details
from fedbench.commands.options import PLUGIN, load_plugins
from fedbench.commands.show import Rows, definitions, show_bibtex, summary


def _methods() -> Rows:
    from fedbench.registry import METHODS

    for name in METHODS:
        yield name, f"{summary(METHODS[name])} {METHODS[name].paper}."


def _datasets() -> Rows:
    from fedbench.registry import DATASETS

    for name in DATASETS:
        yield name, DATASETS[name].title


def _splits() -> Rows:
    from fedbench.commands.fields import settings
    from fedbench.registry import SPLITS

    for name in SPLITS:
        yield name, summary(SPLITS[name])
        for key, text in settings(SPLITS[name].Options):
            yield f"  {key}", text


def _executors() -> Rows:
    from fedbench.registry import EXECUTORS

    for name in EXECUTORS:
        yield name, summary(EXECUTORS[name])


def _backbones() -> Rows:
    from fedbench.registry import BACKBONES

    for name in BACKBONES:
        yield name, summary(BACKBONES[name])
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
        counts = {key: len(suite.get(key, ())) for key in ("methods", "datasets", "shots", "seeds")}
        grid = " x ".join(f"{count} {key}" for key, count in counts.items() if count > 1)
        head, _ = details.remarks(find(name).read_text(encoding="utf-8"))
        yield name, head[0] + (f" ({grid})" if grid else "")


KINDS: dict[str, tuple[Callable[[], Rows], Callable[[str], None]]] = {
    "methods": (_methods, details.method),
    "datasets": (_datasets, details.dataset),
    "splits": (_splits, details.split),
    "backbones": (_backbones, details.backbone),
    "suites": (_suites, details.suite),
    "quirks": (details.quirks, details.quirk),
    "executors": (_executors, details.executor),
}
"""Each kind's rows, and what prints one thing of it whole."""


@click.command("list")
@click.argument("kind", required=False, metavar="[" + "|".join(KINDS) + "]")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--cite", is_flag=True, help="Print the BibTeX entries of methods or datasets.")
@PLUGIN
def list_(*, kind: str | None, names: tuple[str, ...], cite: bool, plugins: tuple[Path, ...]) -> None:
    """Show what a grid can be made of: all of it, one KIND, or one NAME whole."""
    from fedbench.errors import unknown

    if kind is not None and kind not in KINDS:
        raise unknown("kind of list", kind, KINDS)
    load_plugins(plugins)
    if cite:
        _cite(kind, names)
    elif kind and names:
        for number, name in enumerate(names):
            if number:
                click.echo("\n")
            KINDS[kind][1](name)
    else:
        for one in [kind] if kind else KINDS:
            if not kind:
                click.echo(f"\n{one}")
            for line in definitions(KINDS[one][0](), indent=0 if kind else 2):
                click.echo(line)


def _cite(kind: str | None, names: tuple[str, ...]) -> None:
    from fedbench.errors import FedbenchError
    from fedbench.registry import DATASETS, METHODS

    if kind == "methods":
        show_bibtex((name, METHODS[name].bibtex) for name in names or METHODS)
    elif kind == "datasets":
        show_bibtex((name, DATASETS[name].bibtex) for name in names or DATASETS)
    else:
        raise FedbenchError("--cite is for methods and datasets: `bench list methods --cite`")
