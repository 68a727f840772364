"""What checks are made of: plain functions that yield what is wrong, and how they are run."""

import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from fedbench.errors import FedbenchError
from fedbench.places import defined, innermost


class Trial(Protocol):
    """A class under test and what its checks share, such as runs of it, which are made once."""

    cls: type
    name: str


AnyTrial = TypeVar("AnyTrial", bound=Trial)


@dataclass(frozen=True)
class Problem:
    """Something that does not keep to its contract.

    Attributes:
        name: of what was checked.
        check: what must hold.
        text: what is wrong, and how to mend it.
        place: file and line in its own code, as far as they are known.
    """

    name: str
    check: str
    text: str
    place: str = ""

    def __str__(self) -> str:
        place = f" ({self.place})" if self.place and self.place not in self.text else ""
        return f"{self.name}: {self.check}: {self.text}{place}"


@dataclass(frozen=True)
class Check(Generic[AnyTrial]):
    """One thing that must hold.

    Attributes:
        title: what must hold, as a sentence without its full stop.
        find: yields what is wrong with a trial, a line each.
        when: whether it applies to a trial.
        about: the function or property of the class that is to be mended.
    """

    title: str
    find: Callable[[AnyTrial], Iterable[str]]
    when: Callable[[AnyTrial], bool]
    about: str

    def problems(self, trial: AnyTrial) -> list[Problem] | None:
        """What is wrong; None where the check does not apply. An error inside the class is a problem too."""
        found: list[Problem] = []
        try:
            if not self.when(trial):
                return None
            for text in self.find(trial):
                place = defined(trial.cls, self.about) if self.about else ""
                found.append(Problem(trial.name, self.title, text, place))
        except Exception as error:
            text = " ".join(str(error).split())
            if not isinstance(error, FedbenchError):
                text = f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
            text = text.removeprefix(f"{trial.name}, ")
            found.append(Problem(trial.name, self.title, text, innermost(error, trial.cls)))
        return found


class Checks(Generic[AnyTrial]):
    """The checks of one contract, in their order. `@CHECKS.add()` adds a function; its name is the title."""

    def __init__(self) -> None:
        self._all: list[Check[AnyTrial]] = []

    def add(
        self, *, about: str = "", when: Callable[[AnyTrial], bool] = lambda _: True
    ) -> Callable[[Callable[[AnyTrial], Iterable[str]]], Callable[[AnyTrial], Iterable[str]]]:
        """Decorator of a check; see `Check` for the arguments."""

        def added(find: Callable[[AnyTrial], Iterable[str]]) -> Callable[[AnyTrial], Iterable[str]]:
            self._all.append(Check(find.__name__.replace("_", " "), find, when, about))
            return find

        return added

    def __iter__(self) -> Iterator[Check[AnyTrial]]:
        return iter(self._all)


@dataclass(frozen=True)
class Result:
    """What became of all checks of one thing.

    Attributes:
        passed: number of checks that found nothing.
        left_out: why some were not run, if so.
    """

    name: str
    passed: int
    problems: tuple[Problem, ...] = field(default=())
    left_out: str = ""

    def lines(self) -> list[str]:
        """One line that says that all is well, or one for each problem."""
        if self.problems:
            return [str(problem) for problem in self.problems]
        rest = f"; {self.left_out}" if self.left_out else ""
        return [f"{self.name}: {self.passed} checks passed{rest}"]


def run(checks: Iterable[Check[AnyTrial]], trial: AnyTrial) -> Result:
    """All checks on one trial."""
    passed = 0
    problems: dict[str, Problem] = {}
    for check in checks:
        found = check.problems(trial)
        if found is not None:
            passed += not found
            for problem in found:
                # one fault often ends several checks, with other numbers of clients, and is said once
                problems.setdefault(re.sub(r"\d+", "", problem.text) + problem.place, problem)
    return Result(trial.name, passed, tuple(problems.values()))


@contextmanager
def moved_generators() -> Iterator[list[str]]:
    """Gives, after the block, the names of the global generators that it drew from or seeded."""
    moved: list[str] = []
    before = _generators()
    yield moved
    moved += [name for name, state in _generators().items() if state != before.get(name, state)]


def _generators() -> dict[str, object]:
    states: dict[str, object] = {
        "random": random.getstate(),
        "numpy.random": repr(np.random.get_state(legacy=False)["state"]["key"].tolist()),
    }
    if "torch" in sys.modules:  # splits and data sets do without, and are checked without
        states["torch"] = bytes(sys.modules["torch"].get_rng_state().numpy())
    return states


def some(names: Iterable[object], *, most: int = 3) -> str:
    """`a, b, c and 14 more`"""
    every: Sequence[str] = [str(name) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def strange_quirks(quirks: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the names of quirks and the lines that explain them."""
    for quirk, text in quirks.items():
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", quirk):
            yield f"the quirk '{quirk}' must be small letters, digits and hyphens"
        if not 10 < len(text) < 160 or "\n" in text:
            yield f"the quirk '{quirk}' is to be said in one line of 10 to 160 letters"
