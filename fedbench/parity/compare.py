"""Recorded numbers against ours: quantity by quantity, each with its tolerance."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedbench.parity.golden import GoldenFile
from fedbench.parity.names import numbered

INPUTS = re.compile(
    r"(images|labels|classnames|prompts|counts|hparams_json|template|init/.*|global/.*|eval/.*|client\d+/batch.*)"
)
"""Keys that a file gives to the method, and not results."""

Numbers = dict[str, np.ndarray]
"""Quantities by the file's keys."""


@dataclass(frozen=True)
class Check:
    """One compared quantity.

    Attributes:
        deviation: largest absolute difference; infinite where one side is not finite and the other is not the same.
        tolerance: the largest that passes.
    """

    quantity: str
    deviation: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.deviation <= self.tolerance < np.inf


@dataclass
class Comparison:
    """What became of recorded quantities.

    Attributes:
        checks: those that were compared.
        left: those that we have no number for.
        misfits: those that cannot be compared, and why: ours is of another size, or there are no numbers.
    """

    checks: list[Check] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    def extend(self, other: "Comparison") -> None:
        """Take in another one's."""
        self.checks += other.checks
        self.left += other.left
        self.misfits += other.misfits


def compare(recorded: Numbers, ours: Numbers, *, rounds: float = 5e-7) -> Comparison:
    """All recorded results with those of ours that have the same key.

    Args:
        rounds: tolerance of tensors after a round of a federation.
    """
    done = Comparison()
    ours = _unstacked(ours, recorded)
    for key, value in recorded.items():
        if key not in ours:
            done.left.append(key)
        elif value.dtype.kind not in "fiub":
            done.misfits.append(f"{key} holds no numbers")
        elif np.size(ours[key]) != value.size:
            done.misfits.append(f"{key} is {value.shape}, ours is {np.shape(ours[key])}")
        else:
            allowed = tolerance(key, value, rounds=rounds)
            done.checks.append(Check(key, deviation(value, ours[key]), allowed))
    return done


def deviation(recorded: np.ndarray, ours: np.ndarray) -> float:
    """Largest absolute difference of arrays of one size; NaN differs from everything, infinities only from others."""
    theirs = recorded.astype(np.float64)
    mine = np.asarray(ours, dtype=np.float64).reshape(theirs.shape)
    with np.errstate(invalid="ignore"):  # of equal infinities
        difference = np.where(theirs == mine, 0.0, np.abs(theirs - mine))
    return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max(initial=0.0))


def tolerance(quantity: str, recorded: np.ndarray, *, rounds: float = 5e-7) -> float:
    """Largest allowed absolute deviation, from the float32 noise that was measured when the numbers were recorded."""
    kind = quantity.rsplit("/", 1)[0] if "." in quantity else quantity
    kind = re.sub(r"^(true|official|[a-z]+_[a-z]+)/", "", kind)
    if quantity.startswith("round"):
        return 1e-4 if "logits" in kind else 2e-5 if "loss" in kind else rounds
    scale = float(np.abs(recorded[np.isfinite(recorded)]).max(initial=0.0))
    if kind.startswith(("grad", "buf3")):
        return (1e-4 if kind == "buf3" else 2e-5) * scale + 1e-7
    if kind == "buf":
        return 2e-5 * scale + 1e-7
    for pattern, allowed in (
        ("iterations", 1.0),  # a mean near the threshold may fall to either side of it
        ("after3", 1e-3),
        ("logits", 5e-5),
        ("loss", 1e-5),
        ("step", 5e-6),
        ("tokens", 0.0),
        ("T", 1e-6),
        ("average", 1e-6),
        ("/out/", 1e-6),
    ):
        if pattern in kind:
            return allowed
    return 1e-5


def results(file: GoldenFile, prefix: str, prefixes: Sequence[str]) -> Numbers:
    """What a file records for one variant: its keys under the prefix that no longer prefix claims, without inputs."""
    found = {}
    for key, value in file.arrays.items():
        owner = max((p for p in prefixes if key.startswith(p)), key=len)
        if owner == prefix and not INPUTS.fullmatch(key.removeprefix(prefix)):
            found[key] = value
    return found


def _unstacked(ours: Numbers, recorded: Numbers) -> Numbers:
    """Our stacks, `name.{}`, row by row under the numbers that the file has; all rows under each, if it has others."""
    rows: Numbers = {}
    tensors = {key.rpartition("/")[2] for key in recorded}
    for pattern in (key for key in ours if "{}" in key):
        # one quantity may lack rows, such as gradients of what has none; all quantities together have them all
        numbers, stack = list(numbered(tensors, pattern.rpartition("/")[2])), ours[pattern]
        for number, key in numbered(recorded, pattern).items():
            row = numbers.index(number)
            rows[key] = stack[row] if row < len(stack) <= len(numbers) else stack
    return ours | rows
