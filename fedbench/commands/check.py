"""`bench check`"""

from pathlib import Path

import click

from fedbench.commands.options import PLUGIN


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--data-root",
    "root",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder of the datasets; what is not there is checked without images.",
)
@PLUGIN
def check(*, names: tuple[str, ...], root: Path, plugins: tuple[Path, ...]) -> None:
    """Check methods, splits, datasets, backbones and executors against the contracts of fedbench.

    Without a NAME: what the plug-ins register, or everything that fedbench brings where there are none, which
    takes a minute or two. The exit code is 1 if anything is wrong.

    \b
    bench check --plugin my_method.py
    bench check FedPGP base-to-novel
    """
    from fedbench.errors import FedbenchError
    from fedbench.registry import load_plugin
    from fedbench.testing import examine, named, plugged_in, registered

    for plugin in plugins:
        load_plugin(plugin)
    things = plugged_in() if plugins else registered()
    if names:
        things = [thing for name in names for thing in named(name)]
    if not things:
        raise FedbenchError(f"{', '.join(map(str, plugins))} registers nothing: name what is to be checked")
    wrong = 0
    for kind, cls in things:
        result = examine(cls, **({"root": root} if kind == "dataset" else {}))
        wrong += bool(result.problems)
        for line in result.lines():
            click.echo(line)
    if wrong:
        raise FedbenchError(f"{wrong} of {len(things)} checked do not keep to their contract")
