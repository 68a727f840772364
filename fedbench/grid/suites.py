"""Suites: grids with a name, as TOML files, and how flags change them."""

import tomllib
from pathlib import Path
from typing import Any

from fedbench.config import validated
from fedbench.errors import FedbenchError, unknown
from fedbench.grid.config import GridConfig
from fedbench.registry import METHODS

FOLDER = Path(__file__).resolve().parent.parent / "suites"


def names() -> list[str]:
    """The suites that ship with fedbench."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped suite, or the user's own `path/to/suite.toml`.

    Raises:
        FedbenchError: neither.
    """
    if name.endswith(".toml") or "/" in name:
        if not Path(name).is_file():
            raise FedbenchError(f"suite {name} does not exist")
        return Path(name)
    if name not in names():
        raise unknown("suite", name, names())
    return FOLDER / f"{name}.toml"


def sentence(name: str) -> str:
    """The comment at the top of a suite: what it is, in one line."""
    return find(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def read(name: str) -> dict[str, Any]:
    """The keys of a suite, checked; `name` is the file's stem unless the suite says otherwise.

    Raises:
        FedbenchError: no such suite, not TOML, an unknown key, or a value of the wrong type.
    """
    path = find(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FedbenchError(f"suite {path} is not TOML: {error}") from error
    values.setdefault("name", path.stem)
    if isinstance(values.get("plugins"), list):
        values["plugins"] = [str(path.parent / str(file)) for file in values["plugins"]]
    grid = validated(GridConfig, values, where=f"suite {path.name}")
    return {key: getattr(grid, key) for key in values}


def overridden(suite: dict[str, Any], flags: dict[str, Any]) -> GridConfig:
    """The suite with the user's flags over it. `set` and `split_options` are merged key by key.

    What the suite says about a method, a dataset or a split that the flags took out of the grid goes with it.

    Raises:
        FedbenchError: a value of the wrong type.
    """
    kept = dict(suite)
    if "split" in flags and flags["split"] != kept.get("split"):
        kept = {key: value for key, value in kept.items() if key not in ("split_options", "shots")}
    gone = set(suite.get("methods", ())) - set(flags.get("methods", suite.get("methods", ())))
    left = set(flags.get("methods", ())) & set(METHODS)
    kept["set"] = {key: v for key, v in kept.get("set", {}).items() if not _orphaned(key, gone, left)}
    kept["quirks"] = tuple(q for q in kept.get("quirks", ()) if q.rpartition(":")[0] not in gone)
    away = set(suite.get("datasets", ())) - set(flags.get("datasets", suite.get("datasets", ())))
    kept["split_options"] = {key: v for key, v in kept.get("split_options", {}).items() if key not in away}
    merged = {key: {**kept.get(key, {}), **flags.get(key, {})} for key in ("set", "split_options")}
    return validated(GridConfig, kept | flags | merged, where="the grid")


def _orphaned(setting: str, gone: set[str], left: set[str]) -> bool:
    """Whether a suite's setting was for methods that the flags took out: `FedPGP.mu`, or `lr` if only CLIP is left."""
    owner, _, key = setting.rpartition(".")
    if owner or not left:
        return owner in gone

    def known(methods: set[str]) -> bool:
        return any(key in METHODS[name].Hyper.model_fields for name in methods)

    return known(gone & set(METHODS)) and not known(left)
