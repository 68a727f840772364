"""Which code is behind a number: digests of sources.

Comments, formatting and docstrings do not count, nor does where the files lie; any change of code does. Not seen are
modules that code imports under a name it computes, and files of data that it reads.
"""

import ast
import hashlib
import importlib.util
import linecache
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

PLUGGED = ("fedbench.methods.", "fedbench.datasets.", "fedbench.splits.", "fedbench.world.")
"""Modules of fedbench that count like a user's own; the rest, its core, goes by its version."""

INSTALLED = {"site-packages", "dist-packages"}
"""Names of folders of installed packages."""


def code_digest(cls: type, *, until: tuple[type, ...]) -> str:
    """16 hex digits over the code that a class brings along, as it was when first asked for.

    That is the file of the class and those of its bases, up to the contract classes `until` and what these derive
    from; and all modules that those files import, and these in turn, but for the standard library, installed packages
    (other than the one that the class is in) and fedbench's core. A class without a file, typed into a notebook or a
    prompt, counts with the cell that it was typed into; where that is not kept either, by its compiled functions.
    """
    return _code_digest(cls, until)


@cache
def _code_digest(cls: type, until: tuple[type, ...]) -> str:
    contract = {base for stop in until for base in stop.__mro__} | {object}
    classes = [base for base in cls.__mro__ if base not in contract and not _is_library(base.__module__)]
    packages = {base.__module__.partition(".")[0] for base in classes} - {"fedbench"}
    modules = {base.__module__ for base in classes if _file(base.__module__)}
    parts = [source_digest(path) for path in _with_imports(modules, packages)]
    parts += [_digest_without_file(base) for base in classes if base.__module__ not in modules]
    return _sha256("\n".join([cls.__qualname__, *sorted(parts)]))[
        :16
    ]  # sorted: names and places do not matter


def source_digest(path: Path) -> str:
    """sha256 over what a Python file does; of other files, over their bytes."""
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return _digest_of_source(path.read_bytes())


def _with_imports(modules: Iterable[str], packages: set[str]) -> list[Path]:
    """The files of the modules, and of everything that they import and that counts; `packages` count always."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        if path.suffix == ".py":
            waiting += [other for other in _imports(name, path) if _counts(other, packages)]
    return list(found.values())


def _imports(name: str, path: Path) -> Iterator[str]:
    """What the module imports, anywhere in it, with the packages around it. Some names are no modules but in one."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names = [f"{base}.{alias.name}" for alias in node.names if base]
        else:
            continue
        for dotted in names:
            words = dotted.split(".")
            yield from (".".join(words[:count]) for count in range(1, len(words) + 1))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module after `from`; "" for one that is above all packages, which fails when it is reached."""
    try:
        return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        return ""


def _counts(name: str, packages: set[str]) -> bool:
    """Whether an imported module counts."""
    top = name.partition(".")[0]
    return name.startswith(PLUGGED) if top == "fedbench" else top in packages or not _is_library(name)


def _is_library(name: str) -> bool:
    """Whether a module is of the standard library or of an installed package; fedbench is neither."""
    top = name.partition(".")[0]
    if top in ("fedbench", "__main__"):
        return False
    files = (_file(top), _file(name))
    return top in sys.stdlib_module_names or any(file and INSTALLED & set(file.parts) for file in files)


def _file(name: str) -> Path | None:
    """The file of a module, imported or not; None if it has none, or is no module."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
    else:
        spec = _spec(name)
        file = spec.origin if spec is not None and spec.has_location else None
    return Path(file) if file and Path(file).is_file() else None


def _spec(name: str) -> ModuleSpec | None:
    """Where a module that is not imported would come from, without importing the packages around it."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        return importlib.util.find_spec(name)
    package = sys.modules[parent] if parent in sys.modules else _spec(parent)
    places = getattr(package, "__path__", None) or getattr(package, "submodule_search_locations", None)
    return PathFinder.find_spec(name, list(places)) if places else None


def _digest_without_file(cls: type) -> str:
    own = [function for value in vars(cls).values() for function in _functions(value)]
    for function in own:
        if function.__qualname__.startswith(f"{cls.__qualname__}."):  # not one that was defined elsewhere
            source = "".join(linecache.getlines(function.__code__.co_filename))
            if source:
                return _digest_of_source(source)
    values = sorted(
        (name, repr(x)) for name, x in vars(cls).items() if isinstance(x, int | float | str | bytes)
    )
    code = [[_code(function.__code__, function.__doc__), repr(function.__defaults__)] for function in own]
    return _sha256(repr([[(name, x) for name, x in values if not name.startswith("__")], code]))


def _functions(value: object) -> list[FunctionType]:
    """The functions of a class's attribute: a method of any kind, a property, or none."""
    if isinstance(value, property):
        return [part for part in (value.fget, value.fset, value.fdel) if isinstance(part, FunctionType)]
    inner = getattr(
        value, "func", getattr(value, "__func__", value)
    )  # cached properties; class, static methods
    return [inner] if isinstance(inner, FunctionType) else []


def _code(code: CodeType, doc: str | None = None) -> list[Any]:
    """Instructions, constants and names; not lines and files."""
    constants: list[Any] = []
    for value in code.co_consts:
        if isinstance(value, CodeType):
            constants.append(_code(value))
        elif isinstance(value, frozenset):
            constants.append(sorted(map(repr, value)))  # its own order is the process's
        elif doc is None or value != doc:
            constants.append(repr(value))
    return [code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars]


class _WithoutText(ast.NodeTransformer):
    """Drops statements that are only a string: docstrings, of attributes too."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def _digest_of_source(source: str | bytes) -> str:
    return _sha256(ast.unparse(_WithoutText().visit(ast.parse(source))))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
