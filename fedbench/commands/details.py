"""One thing whole: what `bench list KIND NAME` prints."""

import inspect
import re
from collections.abc import Container, Iterator
from pathlib import Path

import click

from fedbench.commands.fields import described, settings, value
from fedbench.commands.show import columns, definitions, show_bibtex, show_section, summary, wrapped
from fedbench.errors import FedbenchError, unknown

MODEL = "ViT-B-16"
"""The architecture that sizes are given for: all the papers' tables have it."""

NEEDS = {
    "embedding": "its embedding: the image tower is left alone, features are cached",
    "tokens": "all projected tokens: the image tower is left alone, tokens are cached",
    "block:0": "patch tokens: the whole image tower runs at every step",
    "pixels": "pixels: the whole image tower runs at every step",
}


def needs(image_input: str) -> str:
    """What a method wants of an image, in words."""
    return NEEDS.get(image_input, f"{image_input}: the blocks above it run at every step")


def method(name: str) -> None:
    """Paper, code, hyper-parameters, tensors, payload, image input, quirks."""
    from fedbench.clip.load import skeleton
    from fedbench.registry import METHODS

    cls = METHODS[name]
    try:
        made = cls(skeleton(MODEL), ("cat", "dog"))
    except (
        NotImplementedError,
        RuntimeError,
    ) as error:  # what torch says where there are shapes and no values
        reason = str(error).splitlines()[0]
        raise FedbenchError(
            f"{name}: its constructor asks for weights, and sizes are shown without: {reason}"
        ) from error
    sizes = made.payload
    _say(f"{name}: {summary(cls)}")
    facts = [("paper", cls.paper), ("official code", cls.code or "none"), ("source", _file(cls))]
    show_section("About", [*facts, ("image input", needs(made.image_input))])
    show_section(f"Hyper-parameters: --set {name}.KEY=VALUE", settings(cls.Hyper))
    show_section(
        f"Tensors on {MODEL}: {sizes['trainable']:,} numbers are trained",
        (
            (tensor, f"{_shape(learned.shape)}, {'shared' if learned.shared else 'personal'}")
            for tensor, learned in made.learned.items()
        ),
    )
    sent = f"{sizes['shared']:,} numbers ({_bytes(4 * sizes['shared'])}) up and as many down"
    show_section(
        "Payload",
        [("shared", f"each client and round {sent}"), ("personal", f"{sizes['personal']:,} numbers stay")],
    )
    show_section(f"Quirks: --quirks {name}:QUIRK", cls.quirks.items())
    _bibtex(name, cls.bibtex)


def dataset(name: str, *, root: Path | None = None) -> None:
    """What the class states; with `root`, also what is on disk."""
    from fedbench.data.facts import facts
    from fedbench.registry import DATASETS

    cls = DATASETS[name]
    _say(f"{name}: {cls.title}")
    _paragraphs(cls)
    show_section("About", ((key, text) for key, text in facts(cls, root).items() if text and key != "title"))
    show_section(f"Quirks: --quirks {name}:QUIRK", cls.quirks.items())
    _bibtex(name, cls.bibtex)


def split(name: str) -> None:
    """The protocol, its options and quirks."""
    from fedbench.registry import SPLITS

    cls = SPLITS[name]
    click.echo(f"{name}:")
    _paragraphs(cls)
    show_section("About", [("source", _file(cls))])
    show_section(f"Options: --set {name}.KEY=VALUE", settings(cls.Options))
    show_section(f"Quirks: --quirks {name}:QUIRK", cls.quirks.items())


def executor(name: str) -> None:
    """Where it runs cells."""
    from fedbench.registry import EXECUTORS

    cls = EXECUTORS[name]
    click.echo(f"{name}:")
    _paragraphs(cls)
    show_section("About", [("source", _file(cls))])


def backbone(name: str) -> None:
    """A registered backbone, or the pretrained weights of a model of open_clip."""
    from fedbench.registry import BACKBONES

    if name in BACKBONES:
        click.echo(f"{name}:")
        _paragraphs(BACKBONES[name])
        return
    import open_clip

    if name not in open_clip.list_models():
        raise unknown("backbone", name, [*BACKBONES, *open_clip.list_models()])
    click.echo(f"{name}: a model of open_clip")
    tags = open_clip.list_pretrained_tags_by_model(name)
    show_section("Weights", ((f"{name}:{tag}", "") for tag in [*tags, "random"]))


def quirk(name: str) -> None:
    """What it does, whose it is, and how to switch it on."""
    rows = list(quirks())
    if name not in dict(rows):
        raise unknown("quirk", name, dict(rows))
    click.echo("\n".join(definitions((quirk, text) for quirk, text in rows if quirk == name)))
    flags = [(f"--quirks {name}", "wherever it exists"), (f"--quirks OWNER:{name}", "for one of its owners")]
    show_section("With bench run", flags)


def quirks(among: Container[str] | None = None) -> Iterator[tuple[str, str]]:
    """Every quirk once, with its owners behind it; twice where two owners mean different things by it.

    `among`: owners that count; by default all.
    """
    from fedbench.grid.owners import everything

    owners: dict[tuple[str, str], list[str]] = {}
    for owner, declared in everything().items():
        for name, text in declared.items() if among is None or owner in among else ():
            owners.setdefault((name, text), []).append(owner)
    for (name, text), names in sorted(owners.items()):
        yield name, f"{text} ({', '.join(names)})"


def suite(name: str) -> None:
    """What will run, and every key with what the file says about it."""
    from fedbench.grid.config import GridConfig
    from fedbench.grid.expand import expand
    from fedbench.grid.suites import find, read

    given, path = read(name), find(name)
    head, comments = remarks(path.read_text(encoding="utf-8"))
    click.echo(f"{name}:")
    for paragraph in (" ".join(head[:1]), " ".join(head[1:])):
        if paragraph:
            _say(paragraph)
    cells = expand(GridConfig(**given))
    show_section(
        "About", [("source", str(path)), ("cells", f"{len(cells)}: `bench run {name} --dry-run` names them")]
    )
    show_section("Keys", _keys(given, comments))
    left = [key for key in GridConfig.model_fields if key not in given]
    show_section(
        "Keys that it leaves alone", ((key, described(GridConfig.model_fields[key])) for key in left)
    )


def _keys(given: dict, comments: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Keys of a suite with values and remarks; a table is one row a key of it."""
    for key, entry in given.items():
        if key not in comments and key == "name":
            continue  # the file's
        rows = (
            {f"{key}.{name}": inner for name, inner in entry.items()}
            if isinstance(entry, dict)
            else {key: entry}
        )
        for name, inner in rows.items():
            remark = comments.get(name, "")
            yield name.removeprefix("set."), value(inner) + (f"   # {remark}" if remark else "")


def remarks(text: str) -> tuple[list[str], dict[str, str]]:
    """The head comment of a suite, line by line, and the comment above each key, by `table.key`."""
    head: list[str] = []
    pending: list[str] = []
    found: dict[str, str] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("#"):
            pending.append(line.removeprefix("#").strip())
        elif not line.strip() and not head:
            head, pending = pending, []
        elif match := re.match(r"\[(.+)\]$", line):
            table = f"{match[1]}."
        elif match := re.match(r'"?([\w.-]+)"?\s*=', line):
            found[table + match[1]] = " ".join(pending)
            pending = []
    return head, found


def _say(text: str) -> None:
    """A paragraph, wrapped."""
    click.echo("\n".join(wrapped(" ".join(text.split()), columns())))


def _paragraphs(cls: type) -> None:
    """A class's docstring."""
    for number, text in enumerate(inspect.cleandoc(cls.__doc__ or "").split("\n\n")):
        if number:
            click.echo()
        _say(text)


def _bibtex(name: str, entry: str) -> None:
    click.echo()
    show_bibtex([(name, entry)])


def _file(cls: type) -> str:
    try:
        return inspect.getsourcefile(cls) or cls.__module__
    except TypeError:  # of a plug-in, which is no module that Python knows by name
        return cls.__module__


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
