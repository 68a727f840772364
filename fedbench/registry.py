"""Registries: how the harness finds methods, data sets, splits, backbones and executors that it does not know by name.

A registry fills itself on first use: from the modules it was given (a package counts as all its modules) and
from the entry-point group `fedbench.<kind>s`, through which other packages add to the zoo. `bench run --plugin
FILE.py` loads a file, whose `@METHODS.register(...)` lines then take effect.
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

from fedbench.errors import FedbenchError, unknown

if TYPE_CHECKING:  # the contracts import torch, which a list of data sets need not wait for
    from fedbench.clip.loader import BackboneLoader
    from fedbench.data.dataset import Dataset
    from fedbench.executors.base import Executor
    from fedbench.method import Method
    from fedbench.report.formats.base import Format
    from fedbench.task import Split

Contract = TypeVar("Contract")
Registered = TypeVar("Registered", bound=type)


class Registry(Generic[Contract]):
    """Names to classes that fulfil one contract. Names are matched exactly; a duplicate is refused."""

    def __init__(self, kind: str, source: str, *, contract: str):
        """
        Args:
            kind: what an entry is, for messages and for the entry-point group `fedbench.<kind>s`.
            source: dotted name of the module or package whose import registers the entries.
            contract: `module:Class` that entries must inherit from.
        """
        self.kind, self.contract = kind, contract
        self._source = source
        self._entries: dict[str, type[Contract]] = {}
        self._filled = False

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Class decorator: `@METHODS.register("FedPGP")`. Sets `cls.name`.

        Raises:
            FedbenchError: the name is taken by another class, or the class does not fulfil the contract.
        """

        def add(cls: Registered) -> Registered:
            module, _, contract = self.contract.partition(":")
            base = getattr(importlib.import_module(module), contract)
            if not issubclass(cls, base):
                raise FedbenchError(
                    f"{self.kind} '{name}': {cls.__name__} does not inherit from {module}.{contract}"
                )
            taken = self._entries.get(name)
            if taken is not None and (taken.__module__, taken.__qualname__) != (
                cls.__module__,
                cls.__qualname__,
            ):
                raise FedbenchError(
                    f"{self.kind} '{name}' is registered twice: in {taken.__module__} and {cls.__module__}"
                )
            cls.name = name  # type: ignore[attr-defined]  # every contract declares it
            self._entries[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type[Contract]:
        self._fill()
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._fill()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(sorted(self._entries, key=str.lower))

    @property
    def loaded(self) -> dict[str, type[Contract]]:
        """What is registered so far; unlike the rest of this class, it imports nothing."""
        return dict(self._entries)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """What is registered in the block is gone after it."""
        self._fill()
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True
        module = importlib.import_module(self._source)
        for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
            importlib.import_module(f"{self._source}.{info.name}")
        for point in entry_points(group=f"fedbench.{self.kind}s"):
            point.load()


def load_plugin(path: Path) -> ModuleType:
    """Import a Python file that registers methods, datasets or splits.

    Raises:
        FedbenchError: no such file, or it does not import.
    """
    if not path.is_file():
        raise FedbenchError(f"plug-in {path} does not exist")
    # two files of one name in two folders are two modules
    name = f"fedbench_plugin_{path.stem}_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FedbenchError(f"plug-in {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as `import` does: dataclasses, pickle and provenance look there
    try:
        spec.loader.exec_module(module)
    except FedbenchError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise FedbenchError(f"plug-in {path} does not import: {type(error).__name__}: {error}") from error
    return module


METHODS: "Registry[Method]" = Registry("method", "fedbench.methods", contract="fedbench.method:Method")
DATASETS: "Registry[Dataset]" = Registry(
    "dataset", "fedbench.datasets", contract="fedbench.data.dataset:Dataset"
)
SPLITS: "Registry[Split]" = Registry("split", "fedbench.splits", contract="fedbench.task:Split")
BACKBONES: "Registry[BackboneLoader]" = Registry(
    "backbone", "fedbench.world.clip", contract="fedbench.clip.loader:BackboneLoader"
)
EXECUTORS: "Registry[Executor]" = Registry(
    "executor", "fedbench.executors", contract="fedbench.executors.base:Executor"
)
FORMATS: "Registry[Format]" = Registry(
    "format", "fedbench.report.formats", contract="fedbench.report.formats.base:Format"
)
