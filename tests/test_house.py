"""The rules of the house: who may import whom, what stays light, how long a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"fedbench": "fedbench", "methods": "fedbench.methods", "datasets": "fedbench.datasets"}

FLOORS = (
    ("__init__", "errors", "progress", "provenance", "places"),
    ("config", "seeds", "official", "quirks"),
    ("learned", "data"),
    ("clip", "task", "store", "aggregation"),
    ("method",),
    ("registry",),
    ("splits", "world", "named"),
    ("methods", "datasets", "code", "report"),
    ("engine",),
    ("executors", "reference"),
    ("grid", "parity", "perf", "testing"),
    ("look", "results", "suites"),
    ("commands",),
    ("api", "cli"),
    ("__main__",),
)
"""Rooms from the ground up. A room imports from floors below its own, and from nowhere else."""

LATE = {
    ("registry", "executors"),  # the contracts of what is registered, for types only
    ("registry", "report"),
    ("learned", "clip"),
    ("__init__", "api"),
}
"""Imports inside functions, or for types only, that go up on purpose."""

BY_NAME = {
    "fedbench.clip.load": {"registry"},
    "fedbench.data.facts": {"registry"},
    "fedbench.data.prepare": {"registry"},
    "fedbench.data.verify": {"named", "registry"},
}
"""Files of a low room that look things up by name; no other file of their room imports them."""

LIGHT = (
    "store",
    "report",
    "config",
    "data",
    "task",
    "splits",
    "datasets",
    "registry",
    "grid.planning",
    "api",
)
"""Rooms whose import brings no torch."""


def files() -> list[tuple[str, Path]]:
    """(dotted module, file) of all source files."""
    found = []
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append((".".join([package, *parts]), path))
    return found


def room(module: str) -> str:
    """`fedbench.clip.blocks` is in the room `clip`."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """(module of fedbench that is imported, whether it is imported late: in a function or for types only)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late: set[ast.AST] = set()
    for node in ast.walk(tree):
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        if deferred:
            late |= set(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.rsplit(".", node.level)[0] + "." if node.level else ""
            base = f"{package}{node.module or ''}".rstrip(".")
            names = [f"{base}.{alias.name}" if base == "fedbench" else base for alias in node.names]
        else:
            continue
        yield from ((name, node in late) for name in names if name.split(".")[0] == "fedbench")


FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


@pytest.mark.parametrize(("module", "path"), files(), ids=[module for module, _ in files()])
def test_imports_run_one_way(module: str, path: Path) -> None:
    own = room(module)
    for name, late in imports(module, path):
        other = room(name)
        if other in BY_NAME.get(module, ()) or (late and (own, other) in LATE):
            continue
        if other != own and other in FLOOR:
            assert FLOOR[other] < FLOOR[own], f"{module} imports {name}: {own} may not import from {other}"


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module, _ in files()} == set(FLOOR)


@pytest.mark.parametrize(("module", "path"), files(), ids=[module for module, _ in files()])
def test_a_file_can_be_read_in_one_sitting(module: str, path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (160 if module.startswith("fedbench.methods.") else 300)


@pytest.mark.parametrize("name", LIGHT)
def test_light_rooms_bring_no_torch(name: str) -> None:
    code = (
        f"import importlib, pkgutil, sys; m = importlib.import_module('fedbench.{name}'); "
        "path = getattr(m, '__path__', []); "
        "[importlib.import_module(f'{m.__name__}.{i.name}') for i in pkgutil.iter_modules(path)]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_room_is_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [name for name in FLOOR if not name.startswith("__") and f"{name}" not in page]
    assert not missing


def test_nothing_in_the_harness_knows_a_method_or_data_set_by_name() -> None:
    names = {path.stem for folder in ("methods", "datasets") for path in (ROOT / folder).glob("[a-z]*.py")}
    for module, path in files():
        if room(module) in ("methods", "datasets", "world"):
            continue
        for name, _ in imports(module, path):
            assert not (room(name) in ("methods", "datasets") and name.split(".")[-1] in names), module
