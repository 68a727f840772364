"""Which rounds of a cell count: the selection rules.

Candidates are the evaluated rounds after training began (1, 2, ...); round 0 counts only for a method that
has no other (zero-shot CLIP). Ties go to the later round, as in the papers' code.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from fedbench.errors import FedbenchError, unknown
from fedbench.quirks import BEST_ON_TEST
from fedbench.store.read import EvaluatedRound, Finished

Rule = Literal["last", "mean-last-5", "best-val", "best-test"]
RULES: tuple[str, ...] = get_args(Rule)
WINDOW = 5


@dataclass(frozen=True)
class Selected:
    """The rounds that count, and the mean over them of every column in percent (nan: not there).

    `clients` holds the same for each client; empty where the rounds do not name the same clients.
    """

    rounds: tuple[int, ...]
    values: dict[str, float]
    clients: dict[str, tuple[float, ...]]


def select(cell: Finished, rule: str) -> Selected:
    """Apply a selection rule to a finished cell, unless its quirk has one.

    Raises:
        FedbenchError: unknown rule, or a rule that needs a metric which the cell lacks.
    """
    check_rule(rule)
    if BEST_ON_TEST in cell.config.quirks.engine:
        rule = "best-test"
    candidates = [r for r in cell.rounds if r.number > 0] or list(cell.rounds)
    rounds = _choose(cell, candidates, rule)
    columns = cell.record.protocol.columns
    values = {name: _mean([r.means.get(name, math.nan) for r in rounds]) for name in columns}
    clients = {name: _per_client([r.clients.get(name, ()) for r in rounds]) for name in columns}
    return Selected(tuple(r.number for r in rounds), values, clients)


def check_rule(rule: str) -> None:
    """Raises:
    FedbenchError: nobody knows the rule.
    """
    if rule not in RULES:
        raise unknown("selection rule", rule, RULES)


def describe(rule: str, first_column: str) -> str:
    """The rule in words, for every table and figure."""
    return {
        "last": "last round",
        "mean-last-5": f"mean of the last {WINDOW} evaluated rounds",
        "best-val": "round with the best validation accuracy",
        "best-test": f"selected on the test set (round with the best {first_column} test accuracy)",
    }[rule]


def _choose(cell: Finished, candidates: list[EvaluatedRound], rule: str) -> list[EvaluatedRound]:
    if rule == "last" or len(candidates) == 1:
        return candidates[-1:]
    if rule == "mean-last-5":
        return candidates[-WINDOW:]
    metric = "val" if rule == "best-val" else cell.record.protocol.columns[0]
    scored = [r for r in candidates if metric in r.means]
    if not scored:
        raise FedbenchError(
            f"{cell.name} has no '{metric}' metric, which {rule} needs: choose another rule (--select last), "
            "or a split with a validation set"
        )
    return [max(scored, key=lambda r: (r.means[metric], r.number))]


def _per_client(rounds: list[tuple[float, ...]]) -> tuple[float, ...]:
    if len({len(clients) for clients in rounds}) != 1:
        return ()
    return tuple(_mean(list(numbers)) for numbers in zip(*rounds, strict=True))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
