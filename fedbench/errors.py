"""Errors that a user can act on. The command line prints them as one line and exits with 1."""

import difflib
from collections.abc import Iterable

NAMED = 20
"""How many known names a message lists."""


class FedbenchError(Exception):
    """Bad input or a bad state on disk: the message names the thing and the way out, in one line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> FedbenchError:
    """The error for a name that nobody registered, with the nearest known names."""
    names = sorted(known)
    folded = {n.lower(): n for n in names}
    near = difflib.get_close_matches(name.lower(), folded, n=2, cutoff=0.5)
    some = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    hint = f"did you mean {' or '.join(folded[n] for n in near)}?" if near else f"known: {some}"
    return FedbenchError(f"unknown {kind} '{name}'; {hint}")
