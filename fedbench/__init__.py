"""fedbench: the referee for federated adaptation of vision-language models.

    import fedbench as fb

    r = fb.run("quickstart", rounds=2)
    r.table()

Importing it costs nothing: what is behind these names is imported when it is used (`fedbench.api`).
"""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

API = ("run", "load", "check", "plan", "Results")
CALLABLE = ("task", "methods", "datasets", "splits", "suites")
"""Names that are both: `fedbench.methods` is the package of all methods, `fedbench.methods()` is their table."""

__all__ = ["API", "CALLABLE", "__version__", *API, *CALLABLE]


class _CallableModule(ModuleType):
    """A module of fedbench that answers a call with the function of the same name in `fedbench.api`."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        from fedbench import api

        return getattr(api, self.__name__.rpartition(".")[2])(*arguments, **keywords)


class _Package(ModuleType):
    """This package: it makes the modules in `CALLABLE` callable as soon as they are imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in CALLABLE and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in API:
        return getattr(importlib.import_module("fedbench.api"), name)
    if name in CALLABLE:
        return importlib.import_module(f"fedbench.{name}")
    raise AttributeError(f"module 'fedbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *API, *CALLABLE})
