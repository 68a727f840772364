"""The checks of fedbench's contracts, for anybody's method, split, dataset, backbone or executor. No pytest needed.

    from fedbench.testing import check

    problems = check(MyMethod)  # a class, or a registered name; [] where all is well

`bench check --plugin FILE` does the same. What is checked stands in `methods`, `training`, `splits`, `datasets`,
`backbones` and `executors`: plain functions that yield what is wrong.
"""

import importlib
from collections.abc import Callable
from typing import Any

from fedbench.errors import FedbenchError, unknown
from fedbench.registry import BACKBONES, DATASETS, EXECUTORS, METHODS, SPLITS, Registry
from fedbench.testing.base import Problem, Result

__all__ = [
    "KINDS",
    "Problem",
    "Result",
    "check",
    "check_and_print",
    "examine",
    "named",
    "plugged_in",
    "registered",
]

KINDS: dict[str, tuple[Registry[Any], str]] = {
    "method": (METHODS, "fedbench.testing.methods"),
    "split": (SPLITS, "fedbench.testing.splits"),
    "dataset": (DATASETS, "fedbench.testing.datasets"),
    "backbone": (BACKBONES, "fedbench.testing.backbones"),
    "executor": (EXECUTORS, "fedbench.testing.executors"),
}
"""Kind to its registry, and the module whose `examine` has its checks. Imported when used: some need torch."""


def check(thing: type | str, **settings: Any) -> list[Problem]:
    """What is wrong with a class, or with whatever is registered under a name; [] where nothing is.

    Args:
        settings: of the kind's `examine`: `root` of a dataset, `dataset` and `options` of a split, ...

    Raises:
        FedbenchError: a class that fulfils no contract of fedbench, or a name that nobody registered.
    """
    return [problem for cls in _classes(thing) for problem in examine(cls, **settings).problems]


def check_and_print(
    thing: type | str, *, say: Callable[[str], object] = print, **settings: Any
) -> list[Problem]:
    """`check`, which also prints one line that all is well, or one for each problem."""
    results = [examine(cls, **settings) for cls in _classes(thing)]
    for line in (line for result in results for line in result.lines()):
        say(line)
    return [problem for result in results for problem in result.problems]


def examine(cls: type, **settings: Any) -> Result:
    """What became of the checks of one class.

    Raises:
        FedbenchError: it fulfils no contract of fedbench.
    """
    module = importlib.import_module(KINDS[_kind(cls)][1])
    if "name" not in vars(cls):
        cls.name = cls.__name__  # type: ignore[attr-defined]  # which registering would have set
    result = module.examine(cls, **settings)
    assert isinstance(result, Result)
    return result


def named(name: str) -> list[tuple[str, type]]:
    """Kind and class of what is registered under a name: mostly one.

    Raises:
        FedbenchError: nothing is.
    """
    found = [(kind, registry[name]) for kind, (registry, _) in KINDS.items() if name in registry]
    if not found:
        known = (name for registry, _ in KINDS.values() for name in registry)
        raise unknown("method, split, dataset, backbone or executor", name, known)
    return found


def registered() -> list[tuple[str, type]]:
    """Kind and class of everything that is registered."""
    return [(kind, registry[name]) for kind, (registry, _) in KINDS.items() for name in registry]


def plugged_in() -> list[tuple[str, type]]:
    """Kind and class of what is registered so far and is not fedbench's own."""
    found = ((kind, cls) for kind, (registry, _) in KINDS.items() for cls in registry.loaded.values())
    return [(kind, cls) for kind, cls in found if not cls.__module__.startswith("fedbench.")]


def _classes(thing: type | str) -> list[type]:
    return [cls for _, cls in named(thing)] if isinstance(thing, str) else [thing]


def _kind(cls: type) -> str:
    bases = {f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__}
    for kind, (registry, _) in KINDS.items():
        if registry.contract in bases:
            return kind
    contracts = ", ".join(registry.contract.replace(":", ".") for registry, _ in KINDS.values())
    raise FedbenchError(f"{cls.__name__} inherits from no contract of fedbench: {contracts}")
