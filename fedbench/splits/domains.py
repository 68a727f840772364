"""What the protocols on several domains share: the domains' names and the order of class names."""

from abc import ABC

from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.seeds import stream
from fedbench.task import Split

PER_SEED = "unordered-classnames"
PER_PROCESS = "unordered-classnames-per-process"


class DomainSplit(Split, ABC):
    """A protocol on several domains, and the released ways to mix up class names there."""

    quirks = {
        PER_SEED: "class names in the order of a Python set, drawn per seed; labels stay, so that name and label no "
        "longer belong together",
        PER_PROCESS: "the same, in the order that a Python set has in this process: another one in every process, and "
        "no result can be repeated",
    }

    def domains(self, dataset: Dataset) -> tuple[str, ...]:
        """The dataset's domains in their fixed order.

        Raises:
            FedbenchError: it has fewer than two.
        """
        if len(dataset.domains) < 2:
            raise FedbenchError(
                f"{self.name} needs a dataset of two or more domains; {dataset.name} has "
                f"{len(dataset.domains) or 'none'}"
            )
        return dataset.domains

    def classnames(self, dataset: Dataset, *, seed: int) -> tuple[str, ...]:
        """The names in label order; under the quirks in any order, which the cell's seed decides, or the process's
        hash seed as in the released code.
        """
        if self.quirk(PER_PROCESS):
            return tuple(set(dataset.classnames))
        if not self.quirk(PER_SEED):
            return tuple(dataset.classnames)
        order = stream(seed, PER_SEED).permutation(len(dataset.classnames))
        return tuple(dataset.classnames[position] for position in order)

    def order_notes(self) -> list[str]:
        """What the reader of a record must know of an order that nobody can repeat."""
        note = "class names in the order of a process's set, which task.json has"
        return [note] if self.quirk(PER_PROCESS) else []
