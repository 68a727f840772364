"""What the protocols on several domains share: the domains' names and the order of class names."""

from collections.abc import Collection

from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.seeds import stream

PER_PROCESS = "unordered-classnames-per-process"

UNORDERED = {
    "unordered-classnames": "class names in the order of a Python set, drawn per seed; labels stay, so that name "
    "and label no longer belong together",
    PER_PROCESS: "the same, in the order that a Python set has in this process: another one in every process, and "
    "no result can be repeated",
}


def domains_of(dataset: Dataset, protocol: str) -> tuple[str, ...]:
    """The dataset's domains in their fixed order.

    Raises:
        FedbenchError: it has fewer than two.
    """
    if len(dataset.domains) < 2:
        raise FedbenchError(
            f"{protocol} needs a dataset of two or more domains; {dataset.name} has "
            f"{len(dataset.domains) or 'none'}"
        )
    return dataset.domains


def classnames_of(dataset: Dataset, quirks: Collection[str], *, seed: int) -> tuple[str, ...]:
    """The names in label order; under the quirks in any order, which the cell's seed decides, or the process's hash
    seed as in the released code.
    """
    if PER_PROCESS in quirks:
        return tuple(set(dataset.classnames))
    if "unordered-classnames" not in quirks:
        return tuple(dataset.classnames)
    order = stream(seed, "unordered-classnames").permutation(len(dataset.classnames))
    return tuple(dataset.classnames[position] for position in order)


def order_notes(quirks: Collection[str]) -> list[str]:
    """What the reader of a record must know of an order that nobody can repeat."""
    return (
        ["class names in the order of a process's set, which task.json has"] if PER_PROCESS in quirks else []
    )
