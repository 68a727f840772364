"""What the protocols on several domains share: the domains' names and the order of class names."""

from collections.abc import Collection

from fedbench.errors import FedbenchError
from fedbench.seeds import stream
from fedbench.task import Dataset

UNORDERED = {
    "unordered-classnames": "class names in the order of a Python set, drawn per seed; labels stay, so that name "
    "and label no longer belong together"
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
    """The names in label order; under `unordered-classnames` in any order, which the seed decides.

    A process of the released code gets the order from its hash seed; a cell gets it from its own.
    """
    if "unordered-classnames" not in quirks:
        return tuple(dataset.classnames)
    order = stream(seed, "unordered-classnames").permutation(len(dataset.classnames))
    return tuple(dataset.classnames[position] for position in order)
