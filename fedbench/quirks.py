"""Quirks: released behaviours that differ from the paper, as named switches, so that their effect can be measured.

A quirk belongs to whoever misbehaves: a method, a split (data loading), a data set (its images) or the engine
(the federation and the choice of the round). Its owner declares it and is the only one that asks for it; what the
engine does differently under a quirk, it reads from properties of the owner's contract.
"""

from collections.abc import Collection, Mapping
from typing import ClassVar

from fedbench.errors import FedbenchError, unknown

BEST_ON_TEST = "best-on-test"
"""The quirk that chooses a cell's round on the test set."""

ROUND_ZERO_ALL = "round-zero-all"
"""The quirk that lets everybody train in the first round."""

ENGINE: Mapping[str, str] = {
    ROUND_ZERO_ALL: "all clients train in the first round, whatever the participation",
    BEST_ON_TEST: "the round with the best accuracy of the table's first column on the test set counts, and gives "
    "the other columns too",
}
"""Quirks of the federation itself."""


class Quirky:
    """Something that has quirks: base class of methods, splits and data sets.

    Attributes:
        quirks: released behaviours that can be switched on: name to one line. Off by default.
        active_quirks: those that are switched on.
    """

    name: str
    quirks: ClassVar[Mapping[str, str]] = {}
    active_quirks: frozenset[str] = frozenset()

    def _switch_on(self, quirks: Collection[str]) -> None:
        """Switch quirks on; constructors call this first.

        Raises:
            FedbenchError: a quirk that this class does not declare.
        """
        for quirk in quirks:
            if quirk not in self.quirks:
                raise (
                    unknown(f"quirk of {self.name}", quirk, self.quirks)
                    if self.quirks
                    else FedbenchError(f"{self.name} has no quirks: '{quirk}' does not apply")
                )
        self.active_quirks = frozenset(quirks)

    def quirk(self, name: str) -> bool:
        """Whether a quirk is switched on.

        Raises:
            FedbenchError: neither this class nor one of its bases declares it; so a typo is not False for ever.
        """
        declared = {quirk for cls in type(self).__mro__ for quirk in cls.__dict__.get("quirks", ())}
        if name not in declared:
            raise unknown(f"quirk that the code of {type(self).__name__} asks for:", name, declared)
        return name in self.active_quirks
