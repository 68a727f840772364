"""Every module that can change a number is in one of a cell's digests."""

import ast
from collections.abc import Iterator
from pathlib import Path

from fedbench import code, provenance

ROOT = Path(__file__).parents[1]
FOLDERS = {"fedbench.methods": ROOT / "methods", "fedbench.datasets": ROOT / "datasets"}

HARMLESS = {
    "fedbench",
    "fedbench.code",  # the digests themselves
    "fedbench.config",  # its values are in the cell's name
    "fedbench.errors",
    "fedbench.named",  # looks things up by name
    "fedbench.official",  # what `bench parity` compares
    "fedbench.places",
    "fedbench.progress",
    "fedbench.provenance",
    "fedbench.registry",
    "fedbench.store",  # what is written, not what is computed
}
"""Modules and packages on the way to a number that cannot change it."""


def file_of(module: str) -> Path | None:
    for package, folder in FOLDERS.items():
        if module.startswith(f"{package}."):
            file = folder / f"{module.removeprefix(package + '.')}.py"
            return file if file.is_file() else None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imported(module: str, file: Path) -> Iterator[str]:
    """Modules of fedbench that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = f"{module.rpartition('.')[0]}.{node.module}" if node.level else node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "fedbench" and file_of(name))


def reached() -> set[str]:
    """All modules that a cell may run: from the engine, the methods, the data sets and the splits."""
    waiting = ["fedbench.engine.cell"]
    waiting += [
        f"{package}.{path.stem}" for package, folder in FOLDERS.items() for path in folder.glob("[a-z]*.py")
    ]
    waiting += [f"fedbench.splits.{path.stem}" for path in (ROOT / "fedbench" / "splits").glob("[a-z]*.py")]
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        file = file_of(module)
        if module not in found and file is not None:
            found.add(module)
            if module not in HARMLESS and module.rpartition(".")[0] not in HARMLESS - {"fedbench"}:
                waiting += imported(module, file)
    return found


def test_every_module_that_computes_is_in_a_digest() -> None:
    engine = {f"fedbench.{name.removesuffix('.py').replace('/', '.')}" for name in code.ENGINE}
    covered = engine | {package.rstrip(".") for package in provenance.PLUGGED} | HARMLESS
    for module in reached() - {"fedbench"}:
        parents = {".".join(module.split(".")[:n]) for n in range(2, module.count(".") + 2)}
        assert parents & covered, f"{module} computes numbers, and no digest would see that it was edited"
