"""What the engine refuses of a method at once: it would give wrong numbers, or an error far from its cause."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from fedbench.errors import FedbenchError, unknown
from fedbench.method import Method, Tensors
from fedbench.places import defined


def check_names(method: Method, local_epochs: int) -> None:
    """That `phases`, `leaked` and `ablations` name tensors that the method learns.

    Raises:
        FedbenchError: another name, or a leaked tensor that is shared.
    """
    named: dict[str, list[Sequence[str]]] = {
        "phases": list(method.phases(local_epochs)),
        "leaked": [method.leaked],
        "ablations": list(method.ablations.values()),
    }
    for where, groups in named.items():
        for name in (name for group in groups for name in group):
            if name not in method.learned:
                raise _refusal(method, where, str(unknown("tensor", name, method.learned)))
    for name in method.leaked:
        if name in method.shared:
            raise _refusal(
                method, "leaked", f"'{name}' is shared; only a personal tensor passes to the next client"
            )


def check_start(method: Method, start: Tensors) -> None:
    """That `init` gives the tensors that the method declares.

    Raises:
        FedbenchError: one is lacking, undeclared or of another shape.
    """
    for name in method.learned.keys() | start.keys():
        if name not in start:
            raise _refusal(method, "init", f"there is no tensor '{name}', which `tensors` declares")
        if name not in method.learned:
            raise _refusal(method, "init", f"the tensor '{name}' is not declared in `tensors`")
        found, declared = tuple(start[name].shape), tuple(method.learned[name].shape)
        if found != declared:
            raise _refusal(
                method, "init", f"the tensor '{name}' has shape {found}; `tensors` declares {declared}"
            )


def check_losses(method: Method, losses: Any, *, clients: int) -> None:
    """That `losses` gives one number for each client and term: with another shape the terms would still add up.

    Raises:
        FedbenchError: no dictionary of terms, or a term that is not (clients,).
    """
    if not isinstance(losses, Mapping) or not losses:
        given = "an empty dictionary" if isinstance(losses, Mapping) else f"a {type(losses).__name__}"
        raise _refusal(method, "losses", f"it gives {given}; give the terms by name, such as {{'ce': ...}}")
    for term, x in losses.items():
        if not isinstance(term, str) or not isinstance(x, Tensor):
            raise _refusal(
                method, "losses", f"the term {term!r} is a {type(x).__name__}; give tensors by their names"
            )
        if x.shape != (clients,):
            raise _refusal(
                method,
                "losses",
                f"the term '{term}' has shape {tuple(x.shape)} and must have ({clients},), one number a client: "
                "sum over images, not over clients",
            )


def check_logits(method: Method, logits: Any, *, shape: tuple[int, int, int]) -> None:
    """That `logits` gives a score for each client, image and class.

    Raises:
        FedbenchError: another shape.
    """
    found = tuple(logits.shape) if isinstance(logits, Tensor) else f"of a {type(logits).__name__}"
    if found != shape:
        raise _refusal(
            method,
            "logits",
            f"the scores have shape {found} and must have {shape}: (clients, images, classes)",
        )


def _refusal(method: Method, where: str, what: str) -> FedbenchError:
    place = defined(type(method), where)
    return FedbenchError(f"{method.name}, `{where}`{f' ({place})' if place else ''}: {what}")
