"""Digests of code: what changes them, what does not, and that they are of the code and not of its place."""

import importlib
import linecache
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedbench.data.dataset import Dataset
from fedbench.provenance import code_digest
from fedbench.registry import DATASETS, METHODS, load_plugin
from fedbench.task import Split

HELPER = "FACTOR = 2\n\n\ndef scaled(x):\n    return FACTOR * x\n"
BASE = "class Base:\n    shift = 1\n"
PLUGIN = '''
"""A plug-in."""

import os

import numpy as np
from provenance_base import Base
from provenance_helper import scaled

LIMIT = 3


class Thing(Base):
    """A thing."""

    size = 4  # images

    def area(self):
        """Of it."""
        import provenance_lazy

        return scaled(self.size + LIMIT + provenance_lazy.ONE)
'''
FILES = {
    "thing.py": PLUGIN,
    "provenance_base.py": BASE,
    "provenance_helper.py": HELPER,
    "provenance_lazy.py": "ONE = 1\n",
}
MODULES = ("provenance_base", "provenance_helper", "provenance_lazy")


@pytest.fixture
def digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`digest("folder", **changes)`: of the class in thing.py, with (old, new) replaced in the files named."""

    def make(folder: str = "here", **changes: tuple[str, str]) -> str:
        place = tmp_path / folder
        place.mkdir()
        for name, text in FILES.items():
            old, new = changes.get(name.removesuffix(".py"), ("", ""))
            assert old in text
            (place / name).write_text(text.replace(old, new, 1))
        forget()
        with monkeypatch.context() as path:
            path.syspath_prepend(place)
            return code_digest(load_plugin(place / "thing.py").Thing, until=())

    def forget() -> None:
        for name in MODULES:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    yield make
    forget()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# images", "# of them"),
        ('"""A thing."""', '"""Another\n    thing."""'),
        ('"""Of it."""', "'''Of\n        all of it.'''"),
        ('"""A plug-in."""', ""),
        ("size = 4", "size = (\n        4)"),
        ("LIMIT = 3", 'LIMIT = 3\n"""What it can hold."""'),
    ],
)
def test_comments_format_and_docstrings_do_not_count(digest: Callable[..., str], old: str, new: str) -> None:
    assert digest("there", thing=(old, new)) == digest("here")


@pytest.mark.parametrize(
    "change",
    [
        {"thing": ("size = 4", "size = 5")},
        {"thing": ("LIMIT = 3", "LIMIT = 4")},
        {"provenance_base": ("shift = 1", "shift = 2")},
        {"provenance_helper": ("FACTOR = 2", "FACTOR = 3")},
        {"provenance_lazy": ("ONE = 1", "ONE = 2")},
    ],
    ids=[
        "in the class",
        "in its module",
        "in a base's file",
        "in a helper",
        "in a helper that is imported late",
    ],
)
def test_any_change_of_code_counts(digest: Callable[..., str], change: dict[str, tuple[str, str]]) -> None:
    assert digest("there", **change) != digest("here")


def test_two_processes_agree(digest: Callable[..., str], tmp_path: Path) -> None:
    here = digest()
    code = (
        "import sys; from pathlib import Path; from fedbench.provenance import code_digest; "
        "from fedbench.registry import load_plugin; "
        "print(code_digest(load_plugin(Path(sys.argv[1])).Thing, until=()))"
    )
    for seed in ("1", "2"):
        env = {"PYTHONPATH": str(tmp_path / "here"), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(tmp_path / "here" / "thing.py")]
        found = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        assert found.strip() == here


def test_a_plugin_that_is_loaded_again_after_an_edit_has_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "again.py"
    path.write_text("class Thing:\n    size = 1\n")
    first = load_plugin(path).Thing
    before = code_digest(first, until=())
    path.write_text("class Thing:\n    size = 2\n")
    assert code_digest(first, until=()) == before, "the first class is still what runs"
    assert code_digest(load_plugin(path).Thing, until=()) != before


def test_plugins_of_one_file_name_are_two_modules(tmp_path: Path) -> None:
    things = []
    for size in (1, 2):
        path = tmp_path / str(size) / "same.py"
        path.parent.mkdir()
        path.write_text(f"class Thing:\n    size = {size}\n")
        things.append(load_plugin(path).Thing)
    assert code_digest(things[0], until=()) != code_digest(things[1], until=())


def test_a_plugin_is_found_where_import_would_leave_it(tmp_path: Path) -> None:
    path = tmp_path / "plug.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n\n\n"
        "@dataclass\nclass Thing:\n    size: int = 1\n    kind: ClassVar[str] = 'a'\n"
    )
    thing = load_plugin(path).Thing
    assert sys.modules[thing.__module__].Thing is thing
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    before = set(sys.modules)
    with pytest.raises(Exception, match=r"broken\.py does not import"):
        load_plugin(broken)
    assert set(sys.modules) == before


def test_two_classes_of_one_file_differ_and_contracts_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text("class A:\n    pass\n\n\nclass B:\n    pass\n")
    module = load_plugin(path)
    assert code_digest(module.A, until=()) != code_digest(module.B, until=())

    child = tmp_path / "child.py"
    child.write_text("from fedbench.registry import METHODS\n\n\nclass C(METHODS['PromptFL']):\n    pass\n")
    made = load_plugin(child).C
    assert code_digest(made, until=(METHODS["PromptFL"],)) != code_digest(made, until=())


def test_every_registered_class_has_its_own(tmp_path: Path) -> None:
    found = [code_digest(DATASETS[name], until=(Dataset,)) for name in DATASETS]
    assert len(set(found)) == len(found)
    assert all(len(digest) == 16 for digest in found)
    # neither the core nor an installed package nor the standard library
    assert code_digest(Split, until=(Split,)) == code_digest(Split, until=(Split, object))


def typed(text: str, *, kept: bool) -> type:
    """The class T of a text that is in no file; with `kept`, as a notebook keeps its cells."""
    name = f"<cell {hash((text, kept))}>"
    if kept:
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, object] = {"__name__": "typed_in"}
    exec(compile(text, name, "exec"), space)
    made = space["T"]
    assert isinstance(made, type)
    return made


CELL = """
K = 1
class T:
    "Text."
    size = 1
    def f(self):
        "Text."
        return self.size + 2
"""


@pytest.mark.parametrize("kept", [True, False])
def test_classes_without_a_file(kept: bool) -> None:
    before = code_digest(typed(CELL, kept=kept), until=())
    assert code_digest(typed(CELL.replace("Text.", "Words."), kept=kept), until=()) == before
    assert code_digest(typed("# note\n\n" + CELL, kept=kept), until=()) == before
    assert code_digest(typed(CELL.replace("size = 1", "size = 2"), kept=kept), until=()) != before
    assert code_digest(typed(CELL.replace("+ 2", "+ 3"), kept=kept), until=()) != before
    assert code_digest(typed(CELL.replace("+ 2", "- 2"), kept=kept), until=()) != before
    assert (code_digest(typed(CELL.replace("K = 1", "K = 2"), kept=kept), until=()) != before) == kept
