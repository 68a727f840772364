"""Is a dataset on disk what it should be?"""

from dataclasses import dataclass, field
from pathlib import Path

from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.named import digest, make_dataset
from fedbench.registry import DATASETS

SOURCES = {"zhou": "CoOp's", "official": "official", "own": "own", "built-in": "built-in"}


@dataclass(frozen=True)
class Finding:
    """What was found of one dataset.

    Attributes:
        name: as it was asked for.
        dataset: None if it cannot be used at all.
        faults: what is wrong, one line each.
        remarks: what is worth knowing and no fault.
        digest: over class names and items, as `fedbench.named.digest`.
        incomplete: images are missing.
        counts: images in train, val and test.
    """

    name: str
    dataset: Dataset | None = None
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    digest: str = ""
    incomplete: bool = False
    counts: tuple[int, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """In one word."""
        if not self.faults:
            return "good"
        return "incomplete" if self.incomplete and len(self.faults) == 1 else "wrong"


def verify(name: str, root: Path) -> Finding:
    """Read a dataset, decode all its images, and compare with what is published.

    `name` as for `make_dataset`.

    Raises:
        FedbenchError: nobody registered the name.
    """
    if not name.startswith("folder:"):
        _ = DATASETS[name]
    try:
        dataset = make_dataset(name, root, allow_missing=True)
    except FedbenchError as error:
        return Finding(name, faults=(str(error),))
    counts = tuple(len(dataset.parts[part]) for part in ("train", "val", "test"))
    faults, remarks = _judge(dataset, counts)
    return Finding(
        name, dataset, tuple(faults), tuple(remarks), digest(dataset), bool(dataset.missing), counts
    )


def _judge(dataset: Dataset, counts: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """Faults and remarks."""
    faults, remarks = [], []
    if dataset.missing:
        faults.append(f"{dataset.missing} images are missing{_examples(dataset, 'missing')}")
    if dataset.unreadable:
        faults.append(f"{dataset.unreadable} images are unreadable{_examples(dataset, 'unreadable')}")
    if dataset.source == "own":
        remarks.append("the split is fedbench's own, so numbers are not comparable with published ones")
    elif dataset.published and not dataset.missing and not dataset.unreadable and counts != dataset.published:
        line = f"counts differ from the published {' / '.join(map(str, dataset.published))}"
        (faults if dataset.published_sure else remarks).append(line)
    if dataset.n_classes and len(dataset.classnames) != dataset.n_classes:
        faults.append(f"{len(dataset.classnames)} classes, and it should have {dataset.n_classes}")
    if dataset.domains:
        remarks.append("train / test by domain: " + ", ".join(_domain(dataset, d) for d in dataset.domains))
    trained = {item.label for item in dataset.parts["train"]}
    if len(trained) < len(dataset.classnames):
        remarks.append(f"{len(dataset.classnames) - len(trained)} classes without a training image")
    return faults, remarks


def _domain(dataset: Dataset, domain: str) -> str:
    parts = dataset.domain_parts(domain)
    return f"{domain} {len(parts['train'])} / {len(parts['test'])}"


def _examples(dataset: Dataset, reason: str, most: int = 3) -> str:
    keys = [key for key, why in dataset.left_out.items() if why == reason]
    return f" ({', '.join(keys[:most])}{', ...' if len(keys) > most else ''})" if keys else ""
