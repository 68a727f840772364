"""The contract of data sets: labelled images in train, val and test parts."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image as PILImage

from fedbench.errors import FedbenchError, unknown
from fedbench.quirks import Quirky


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image. `key` names it for ever: a path relative to the dataset's folder, with `/`."""

    key: str
    label: int
    domain: str = ""


@dataclass(frozen=True)
class Preparation:
    """A data set's own way from image to pixels, instead of the backbone's.

    Normalise each channel with `mean` and `std`, then resize the tensor; training images as test images, and
    augment nothing.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Dataset(Quirky, ABC):
    """Images with labels, in train, val and test parts. Subclasses live in `datasets/`, one file each.

    The constructor reads the split and checks the files.

    Attributes:
        classnames: names in label order, as they go into prompts ("_" becomes a space there).
        parts: "train", "val", "test" to items, in the order of the split file (few-shot draws depend on it).
        source: which split this is: "zhou" (CoOp's JSON), "official", "own" (made here, seeded), "built-in".
        missing: number of items of the split whose file is absent and was left out under `allow_missing`.
        unreadable: number of items whose file is no readable image and was left out under `allow_missing`.
        domains: names of the domains in their fixed order; empty where a dataset has none.
        superclasses: the superclass of each class, -1 for a class without an image; () where there are none.
        left_out: keys of the items that were left out under `allow_missing`, with the reason ("missing" or
            "unreadable"), as far as they have names.

    Facts about the dataset, for `bench data` and docs/datasets.md (all but the first three may be left out):

        name, title: the name is set by the registry.
        bibtex: the BibTeX entry of its paper, indented as it stands in the code; empty where there is none to cite.
        n_classes: number of classes, 0 if it depends on the folder.
        published: images in train, val and test of the published split.
        published_sure: False where those counts are hearsay: then another count is a remark, no fault.
        image_folders: the image folder below the data root in each layout, preferred first; empty: no files.
        download: how to get the images, as a clause for messages.
        split_file: name of the published split's file (CoOp's JSON); empty where there is none.
        torchvision: name of torchvision's class that downloads them, if one can.
        quirks: released behaviours on these images, to one line each.
    """

    name: str
    title: ClassVar[str]
    bibtex: ClassVar[str] = ""
    n_classes: ClassVar[int] = 0
    published: ClassVar[tuple[int, ...]] = ()
    published_sure: ClassVar[bool] = True
    image_folders: ClassVar[tuple[str, ...]] = ()
    download: ClassVar[str] = ""
    split_file: ClassVar[str] = ""
    torchvision: ClassVar[str] = ""

    classnames: tuple[str, ...]
    parts: Mapping[str, tuple[Item, ...]]
    source: str
    missing: int = 0
    unreadable: int = 0
    domains: tuple[str, ...] = ()
    superclasses: tuple[int, ...] = ()
    left_out: Mapping[str, str] = {}

    @abstractmethod
    def __init__(self, root: Path, *, allow_missing: bool = False, quirks: Collection[str] = ()):
        """Read the dataset below the users' data folder `root`. Subclasses call this first.

        Args:
            allow_missing: leave out and count images that are missing or unreadable.
            quirks: names of released behaviours to switch on.

        Raises:
            FedbenchError: folder, split or images missing or unreadable: named, counted, with the way out;
                unknown quirk.
        """
        self._switch_on(quirks)

    @property
    def preparation(self) -> Preparation | None:
        """The data set's own way to pixels, where released code has one; None: the backbone's."""
        return None

    @abstractmethod
    def open(self, item: Item) -> PILImage.Image:
        """The image in RGB.

        It may depend on the item, the active quirks, the code, and on nothing that `fingerprint` leaves out.

        Raises:
            FedbenchError: the file is missing or is no image.
        """

    @abstractmethod
    def fingerprint(self, item: Item) -> str:
        """Changes with the image's content, and with options that `open` looks at.

        The feature cache finds features by it, by the class's code and by the active quirks. For files, size and
        time of change are enough.
        """

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

    def _find_images(self, root: Path) -> Path:
        """The image folder below the data root, in the first layout that is there.

        Raises:
            FedbenchError: there is none; the message says how to get the images.
        """
        for folder in self.image_folders:
            if (root / folder).is_dir():
                return root / folder
        looked = " or ".join(self.image_folders)
        raise FedbenchError(
            f"{self.name}: no images: looked for {looked} below '{root}'; "
            f"name the folder with --data-root, or get the images: {self.download}"
        )
