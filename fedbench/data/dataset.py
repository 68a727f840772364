"""The contract of data sets: labelled images in train, val and test parts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image as PILImage

from fedbench.errors import FedbenchError, unknown


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image. `key` names it for ever: a path relative to the dataset's folder, with `/`."""

    key: str
    label: int
    domain: str = ""


class Dataset(ABC):
    """Images with labels, in train, val and test parts. Subclasses live in `datasets/`, one file each.

    The constructor reads the split and checks the files.

    Attributes:
        classnames: names in label order, as they go into prompts ("_" becomes a space there).
        parts: "train", "val", "test" to items, in the order of the split file (few-shot draws depend on it).
        source: which split this is: "zhou" (CoOp's JSON), "official", "own" (made here, seeded), "built-in".
        missing: number of items of the split whose file is absent and was left out under `allow_missing`.
        unreadable: number of items whose file is no readable image and was left out under `allow_missing`.
        domains: names of the domains in their fixed order; empty where a dataset has none.
        active_quirks: those of its `quirks` that the cell switches on.

    Facts about the dataset, for `bench data` and docs/datasets.md (all but the first three may be left out):

        name, title, citation: the name is set by the registry.
        n_classes: number of classes, 0 if it depends on the folder.
        published: images in train, val and test of the published split.
        published_sure: False where those counts are hearsay: then another count is a remark, no fault.
        image_folders: the image folder below the data root in each layout, preferred first; empty: no files.
        download: how to get the images, as a clause for messages.
        torchvision: name of torchvision's class that downloads them, if one can.
        quirks: released behaviours on these images, to one line each.
        statistics: mean and standard deviation per channel, where released code uses the dataset's own.
    """

    name: str
    title: ClassVar[str]
    citation: ClassVar[str]
    n_classes: ClassVar[int] = 0
    published: ClassVar[tuple[int, ...]] = ()
    published_sure: ClassVar[bool] = True
    image_folders: ClassVar[tuple[str, ...]] = ()
    download: ClassVar[str] = ""
    torchvision: ClassVar[str] = ""
    quirks: ClassVar[Mapping[str, str]] = {}
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]] | None] = None

    classnames: tuple[str, ...]
    parts: Mapping[str, tuple[Item, ...]]
    source: str
    missing: int = 0
    unreadable: int = 0
    domains: tuple[str, ...] = ()
    active_quirks: frozenset[str] = frozenset()

    @abstractmethod
    def __init__(self, root: Path, *, allow_missing: bool = False):
        """Read the dataset below the users' data folder `root`.

        Raises:
            FedbenchError: folder, split or images missing or unreadable: named, counted, with the way out.
        """

    @abstractmethod
    def open(self, item: Item) -> PILImage.Image:
        """The image in RGB.

        Raises:
            FedbenchError: the file is missing or is no image.
        """

    @abstractmethod
    def fingerprint(self, item: Item) -> str:
        """Changes with the image's content (files: size and time of change). Keys the feature cache."""

    def domain_parts(self, domain: str) -> Mapping[str, tuple[Item, ...]]:
        """The parts of one domain, in the order of `parts`.

        Domain protocols ask here. A dataset may have more domains than `parts` holds (`shapes`, whose `parts`
        are its photos).

        Raises:
            FedbenchError: the dataset has no such domain.
        """
        if domain not in self.domains:
            if not self.domains:
                raise FedbenchError(f"dataset {self.name} has no domains")
            raise unknown(f"domain of {self.name}", domain, self.domains)
        return {
            part: tuple(item for item in items if item.domain == domain) for part, items in self.parts.items()
        }

    @property
    def fixed_shots(self) -> bool:
        """Whether published few-shot images are drawn after the generator's reset, so that all seeds have the same."""
        return False

    def notes(self) -> list[str]:
        """What a reader of numbers on this dataset must know, for the record and below the table."""
        notes = []
        if self.source == "own":
            notes.append("fedbench's own train/val/test split, not the published one")
        if self.missing:
            notes.append(f"{self.missing} images of the split are missing and were left out")
        if self.unreadable:
            notes.append(f"{self.unreadable} images of the split are unreadable and were left out")
        return notes
