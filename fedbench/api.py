"""The Python door: the same plans, cells and names as the command line, as objects.

import fedbench as fb

r = fb.run(methods=["PromptFL", "FedPGP"], datasets="shapes", backbone="tiny", seeds=[1, 2], out="results/x")
r.table()
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbench.config import Runtime
from fedbench.errors import FedbenchError, unknown
from fedbench.grid.config import GridConfig
from fedbench.grid.planning import PlannedRun, Wish, conclusion, planned
from fedbench.registry import DATASETS, METHODS, SPLITS, Registry, load_plugin
from fedbench.results import Results

if TYPE_CHECKING:
    import pandas as pd

    from fedbench.look import Look
    from fedbench.testing import Problem

__all__ = ["Results", "check", "datasets", "load", "methods", "plan", "run", "splits", "suites", "task"]


def run(suite: str | None = None, *, progress: bool = True, **keywords: Any) -> Results:
    """Train and evaluate every cell of a grid that is not done, and read the store.

    A cell that fails does not stop the others: `Results.cells` has its reason. Ctrl-C, or the notebook's stop button,
    leaves a store that the same call continues.

    Args:
        suite: a named grid (`fedbench.suites()`) or the path of a TOML file; keywords go over it.
        progress: show bars.
        keywords: the flags of `bench run`, with the same names: `methods`, `datasets`, `split`, `seeds`, `shots`,
            `clients`, `rounds`, `local_epochs`, `batch_size`, `participation`, `views`, `evaluate_every`, `backbone`,
            `precision`, `quirks`, `released`; `set` and `split_options` as dictionaries (`set={"FedPGP.mu": 1}`);
            `device`, `threads`, `data_root`, `cache_dir`, `memory_gib`, `allow_missing`; `out`, `jobs`, `executor`,
            `plugins`, `retry_failed`, `retry_changed`. A list of values may be one value. Methods, data sets and splits
            may be given as classes.

    Raises:
        FedbenchError: what the command line would print in one line.
    """
    from rich.console import Console

    from fedbench.commands.progress import display, say_first

    ready = plan(suite, **keywords)
    ready.check()
    console = None if progress else Console(quiet=True)
    with display(total=len(ready.pending), console=console) as shown:
        say_first(ready, shown)
        outcomes = ready.execute(shown)
        for line in conclusion(outcomes, ready.store)[0]:
            shown.line(line)
    return load(ready.store.root)


def plan(suite: str | None = None, **keywords: Any) -> PlannedRun:
    """What `run` would do with the same arguments: which cells, and what with each. Writes nothing."""
    grid: dict[str, Any] = {}
    runtime: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in keywords.items():
        if value is None:
            continue
        if key in Wish.__dataclass_fields__ and key not in ("suite", "grid", "runtime"):
            rest[key] = value
        elif key in GridConfig.model_fields or key == "clients":
            grid[key] = value
        elif key in Runtime.model_fields:
            runtime[key] = value
        else:
            known = {*GridConfig.model_fields, *Runtime.model_fields, *Wish.__dataclass_fields__, "clients"}
            raise unknown("argument of run", key, known - {"grid", "runtime"})
    if "out" in rest:
        rest["out"] = Path(rest["out"])
    plugins = rest.pop("plugins", ())
    files = tuple(map(Path, [plugins] if isinstance(plugins, str | Path) else plugins))
    own = _named(grid)
    if own and (rest.get("jobs", 1) > 1 or rest.get("executor") not in (None, "in-process")):
        raise FedbenchError(
            f"{', '.join(own)}: other processes do not know a class that was handed to this one; register it in a "
            "file and name that in plugins=, or use jobs=1"
        )
    return planned(Wish(suite, grid=grid, runtime=runtime, plugins=files, **rest))


def _named(grid: dict[str, Any]) -> list[str]:
    """Put names in place of classes, and register these; the names of those that other processes would not find."""
    own: list[str] = []
    kinds: dict[str, Registry[Any]] = {"methods": METHODS, "datasets": DATASETS, "split": SPLITS}
    for key, registry in kinds.items():
        given = grid.get(key)
        several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        classes = [x for x in several if isinstance(x, type)]
        for cls in classes:
            name = cls.__dict__.get("name", cls.__name__)
            if name not in registry or registry[name] is not cls:
                registry.register(name)(cls)
            if not cls.__module__.startswith(("fedbench.", "fedbench_plugin_")):
                own.append(name)
        if classes:
            names = [x.name if isinstance(x, type) else x for x in several]  # type: ignore[attr-defined]
            grid[key] = names if key != "split" else names[0]
    return own


def load(store: str | Path) -> Results:
    """Read a result store, whoever wrote it.

    Raises:
        FedbenchError: there is no store, or it is damaged.
    """
    return Results(Path(store))


def task(
    dataset: str | type,
    split: str | type = "base-to-novel",
    *,
    seed: int = 1,
    quirks: Sequence[str] = (),
    data_root: str | Path = "data",
    allow_missing: bool = False,
    **options: Any,
) -> "Look":
    """Look at what a split makes of a data set: clients, pools, classes, hash; `.plot()` draws clients x classes.

    Args:
        options: of the split, for example `shots=16, clients=10`.
        quirks: of the split or of the data set.

    Raises:
        FedbenchError: the data set is not there, or the split cannot be made of it.
    """
    from fedbench.look import look

    grid: dict[str, Any] = {"datasets": dataset, "split": split}
    _named(grid)
    return look(
        grid["datasets"] if isinstance(grid["datasets"], str) else grid["datasets"][0],
        grid["split"],
        seed=seed,
        quirks=tuple(quirks),
        runtime=Runtime(data_root=Path(data_root), allow_missing=allow_missing),
        options=options,
    )


def check(*things: str | type, plugins: Sequence[str | Path] = ()) -> "list[Problem]":
    """Run the contract checks on methods, splits, data sets, backbones or executors, and print what is wrong.

    Args:
        things: classes, or registered names; none: all that the plug-ins registered.
        plugins: files that register them.
    """
    from fedbench.testing import check_and_print, plugged_in

    for plugin in plugins:
        load_plugin(Path(plugin))
    several = things or [cls for _, cls in plugged_in()]
    return [problem for thing in several for problem in check_and_print(thing)]


def methods() -> "pd.DataFrame":
    """The registered methods: sentence, paper, official code, quirks, hyper-parameters with their defaults."""
    return _table(
        METHODS,
        lambda cls: {
            "paper": cls.paper,
            "bibtex": cls.bibtex,
            "code": cls.code,
            "hyper": _defaults(cls.Hyper),
        },
    )


def datasets() -> "pd.DataFrame":
    """The registered data sets: title, number of classes, images in the published parts, quirks, BibTeX."""
    return _table(
        DATASETS,
        lambda cls: {"classes": cls.n_classes or None, "published": cls.published, "bibtex": cls.bibtex},
    )


def splits() -> "pd.DataFrame":
    """The registered splits: sentence, options with their defaults, quirks."""
    return _table(SPLITS, lambda cls: {"options": _defaults(cls.Options)})


def suites() -> "pd.DataFrame":
    """The named grids that ship with fedbench."""
    import pandas as pd

    from fedbench.grid.suites import names, read, sentence

    rows = [{"name": name, "about": sentence(name), **read(name)} for name in names()]
    return pd.DataFrame(rows).set_index("name").astype(object).fillna("")


def _table(registry: Registry[Any], more: Any) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for name in registry:
        cls = registry[name]
        about = getattr(cls, "title", None) or (cls.__doc__ or "").strip().partition("\n")[0]
        rows.append({"name": name, "about": about, **more(cls), "quirks": tuple(cls.quirks)})
    return pd.DataFrame(rows).set_index("name")


def _defaults(model: Any) -> Mapping[str, Any]:
    fields = model.model_fields.items()
    return {key: "required" if field.is_required() else field.default for key, field in fields}
