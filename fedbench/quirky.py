"""What methods, splits and data sets have in common: released behaviours that can be switched on."""

from collections.abc import Collection, Mapping
from typing import ClassVar

from fedbench.errors import unknown


class Quirky:
    """Something with quirks.

    Attributes:
        quirks: released behaviours that it can be made to show, to one line each.
        active_quirks: those that are switched on.
    """

    name: str
    quirks: ClassVar[Mapping[str, str]] = {}
    active_quirks: frozenset[str] = frozenset()

    def _switch_on(self, quirks: Collection[str]) -> None:
        """Switch on these quirks and no others; for constructors.

        Raises:
            FedbenchError: unknown quirk.
        """
        for quirk in quirks:
            self._check_declared(quirk)
        self.active_quirks = frozenset(quirks)

    def quirk(self, name: str) -> bool:
        """Whether a quirk is switched on.

        Raises:
            FedbenchError: `quirks` does not declare it: a misspelt one would never be on.
        """
        self._check_declared(name)
        return name in self.active_quirks

    def _check_declared(self, quirk: str) -> None:
        if quirk not in self.quirks:
            raise unknown(f"quirk of {self.name}", quirk, self.quirks)
