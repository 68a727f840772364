"""Datasets of small images in the python batches of CIFAR, as torchvision keeps them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image as PILImage

from fedbench.data import safe_pickle
from fedbench.data.dataset import Dataset, Item, Preparation
from fedbench.errors import FedbenchError

SIDE = 32


class BatchDataset(Dataset):
    """Pickled batches of 32 x 32 images, read with the restricted unpickler. A key is `data_batch_1/00042`.

    `parts` keep the files' order, so that an item's position is torchvision's index. No validation part.

    Attributes:
        classnames: fixed; their order is the label order, checked against the meta file.
        files: batch files of train and test.
        meta: the meta file, and the key of the class names in it.
        label_key: key of the labels in a batch.
        group_key: key of the superclass labels in a batch; empty where there are none.
        statistics: mean and standard deviation per channel, with which released code normalises.
    """

    classnames: tuple[str, ...]
    files: ClassVar[dict[str, tuple[str, ...]]]
    meta: ClassVar[tuple[str, str]]
    label_key: ClassVar[str]
    group_key: ClassVar[str] = ""
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]
    bibtex = """@techreport{krizhevsky2009learning,
        author = {Krizhevsky, Alex},
        title = {Learning Multiple Layers of Features from Tiny Images},
        institution = {University of Toronto},
        year = {2009},
    }"""
    quirks = {
        "cifar-preprocess": "normalised with CIFAR's statistics instead of CLIP's, then resized as a tensor; the same "
        "in training and tests, no augmentation"
    }

    def __init__(self, root: Path, *, allow_missing: bool = False, quirks: Collection[str] = ()):
        """Read the batches below `root`.

        Raises:
            FedbenchError: no folder; the meta file is missing or has other classes; a batch is damaged; a
                batch or images are missing without `allow_missing`; no training or no test image; unknown quirk.
        """
        super().__init__(root, allow_missing=allow_missing, quirks=quirks)
        self.folder = self._find_images(root)
        self.source = "official"
        self._check_meta()
        self._batches: dict[str, np.ndarray] = {}
        self._fingerprints: dict[str, str] = {}
        groups: dict[int, int] = {}
        self.parts = {
            part: tuple(item for file in self.files.get(part, ()) for item in self._read(file, groups))
            for part in ("train", "val", "test")
        }
        self._count_missing(allow_missing=allow_missing)
        if self.group_key:
            self.superclasses = tuple(groups.get(label, -1) for label in range(len(self.classnames)))

    @property
    def preparation(self) -> Preparation | None:
        """With these statistics, under the quirk."""
        return Preparation(*self.statistics) if self.quirk("cifar-preprocess") else None

    def open(self, item: Item) -> PILImage.Image:
        """The image in RGB.

        Raises:
            FedbenchError: the item is not of this dataset.
        """
        file, _, row = item.key.partition("/")
        if file not in self._batches or not row.isdigit() or int(row) >= len(self._batches[file]):
            raise FedbenchError(f"{self.name} has no image '{item.key}'")
        pixels = self._batches[file][int(row)].reshape(3, SIDE, SIDE)
        return PILImage.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    def fingerprint(self, item: Item) -> str:
        """Size and time of change, when it was read, of the batch that holds the image."""
        return self._fingerprints[item.key.partition("/")[0]]

    def _load(self, path: Path) -> dict[Any, Any]:
        content = safe_pickle.load(path)
        if not isinstance(content, dict):
            raise FedbenchError(f"{self.name}: {path} is damaged, it holds no table; get it again")
        return content

    def _check_meta(self) -> None:
        file, key = self.meta
        if not (self.folder / file).is_file():
            raise FedbenchError(f"{self.name}: no file {self.folder / file}; get the images: {self.download}")
        names = self._load(self.folder / file).get(key)
        if not isinstance(names, list) or tuple(names) != self.classnames:
            raise FedbenchError(
                f"{self.name}: '{key}' in {self.folder / file} are not this dataset's {len(self.classnames)} "
                f"class "
                "names in label order; get the files again"
            )

    def _read(self, file: str, groups: dict[int, int]) -> list[Item]:
        """The items of a batch; keeps its images, and adds to `groups` (label to superclass)."""
        path = self.folder / file
        if not path.is_file():
            return []
        stat = path.stat()  # before it is read: a file that changes later has another fingerprint then
        self._fingerprints[file] = f"{stat.st_size}-{stat.st_mtime_ns}"
        content = self._load(path)
        images, labels = content.get("data"), content.get(self.label_key)
        damaged = FedbenchError(
            f"{self.name}: batch {path} is damaged: no (images, {3 * SIDE**2}) bytes with labels; get "
            "it again"
        )
        if (
            not isinstance(images, np.ndarray)
            or images.dtype != np.uint8
            or images.shape[1:] != (3 * SIDE**2,)
        ):
            raise damaged
        labels = _integers(labels)
        if len(labels) != len(images) or not set(labels) <= set(range(len(self.classnames))):
            raise damaged
        if self.group_key:
            above = _integers(content.get(self.group_key))
            if len(above) != len(labels):
                raise damaged
            for label, group in zip(labels, above, strict=True):
                if groups.setdefault(label, group) != group:
                    raise FedbenchError(
                        f"{self.name}: {path}: class '{self.classnames[label]}' has two superclasses"
                    )
        self._batches[file] = images
        return [Item(f"{file}/{row:05d}", label) for row, label in enumerate(labels)]

    def _count_missing(self, *, allow_missing: bool) -> None:
        found, total = sum(map(len, self.parts.values())), sum(self.published)
        absent = [file for files in self.files.values() for file in files if file not in self._batches]
        if not self.parts["train"] or not self.parts["test"]:
            which = "test" if self.parts["train"] else "training"
            raise FedbenchError(
                f"{self.name}: no {which} batch in {self.folder}; get the images: {self.download}"
            )
        self.missing = max(total - found, 0)
        if self.missing and not allow_missing:
            named = f" ({', '.join(absent)})" if absent else ""
            raise FedbenchError(
                f"{self.name}: {self.missing} of {total} images are missing in {self.folder}{named}; "
                f"complete the folder, or go on with the {found} that exist: --allow-missing"
            )


def _integers(labels: object) -> list[int]:
    """Labels as a list; empty if they are no integers."""
    entries = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if isinstance(entries, list) and all(type(entry) is int for entry in entries):
        return entries
    return []
