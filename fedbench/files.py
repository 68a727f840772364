"""Datasets that are folders of image files: finding the folder, listing, checking and opening the images."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from PIL import Image as PILImage

from fedbench.errors import FedbenchError
from fedbench.splitlists import PARTS, own_split, read_zhou
from fedbench.task import Dataset, Item

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow raises for damaged files of one format or another."""
NAMED = 3
"""How many missing images a message names."""


class FolderDataset(Dataset):
    """A dataset of image files in one of the layouts that users have on disk.

    A subclass declares the attributes below and, where class names are not folder names, overrides
    `classname` (or `classes`, where images are not sorted into one folder a class). Keys are paths below the
    image folder, so the split hash is the same for every layout.

    The split is CoOp's `split_zhou_*.json` if it lies in the dataset's folder (of any layout, whichever
    holds the images), else fedbench's own seeded 50/20/30 split (`source == "own"`).

    Attributes:
        image_folders: the image folder below the data root in each layout, preferred first.
        split_file: name of CoOp's JSON.
        size: number of images of the whole dataset, so that an own split of a part of it is noticed.
        download: how to get the images, as a clause for the error message.
    """

    image_folders: ClassVar[tuple[str, ...]]
    split_file: ClassVar[str]
    size: ClassVar[int]
    download: ClassVar[str]

    image_root: Path

    def __init__(self, root: Path, *, allow_missing: bool = False):
        """Find the images below `root`, read or make the split, and check that every file is there.

        Images that are missing under `allow_missing` are left out of the parts and counted in `missing`;
        the class names stay as they are, even of a class that has lost all its images (the protocol decides
        about those).

        Raises:
            FedbenchError: no image folder; a damaged split file; missing images without `allow_missing`;
                no training or no test image left; a class too small for an own split.
        """
        self.image_root = self._find_images(root)
        split = self._find_split(root)
        if split is not None:
            self.source = "zhou"
            self.classnames, self.parts = read_zhou(split)
            self._drop_missing(allow_missing=allow_missing)
        else:
            self.source = "own"
            classes = self.classes()
            found = sum(map(len, classes.values()))
            self._count_missing(found, self.size, examples=(), allow_missing=allow_missing)
            self.classnames, self.parts = tuple(classes), own_split(self.name, classes)

    def classname(self, folder: str) -> str | None:
        """The class name of a class folder; None for a folder that is not part of the benchmark."""
        return folder

    def classes(self) -> dict[str, list[str]]:
        """Image keys by class name, in label order: the classes in the order of their sorted folders.

        Used only without a split file. Hidden files, and those that are no images by suffix, do not count.

        Raises:
            FedbenchError: a folder cannot be read, or two folders have the same class name.
        """
        classes: dict[str, list[str]] = {}
        for folder in sorted(_names(self.image_root, folders=True)):
            name = self.classname(folder)
            if name is None:
                continue
            if name in classes:
                raise FedbenchError(f"{self.name}: two folders of {self.image_root} are class '{name}'")
            files = _names(self.image_root / folder, folders=False)
            classes[name] = [f"{folder}/{file}" for file in sorted(files) if _is_image(file)]
        return classes

    def open(self, item: Item) -> PILImage.Image:
        """The image in RGB: grey and palette images are converted; EXIF orientation is ignored, as published.

        Raises:
            FedbenchError: the file is missing or is no image.
        """
        path = self.image_root / item.key
        try:
            with PILImage.open(path) as image:
                return image.convert("RGB")
        except FileNotFoundError as error:
            raise self._gone(path) from error
        except (*DAMAGED, PILImage.DecompressionBombError) as error:
            raise FedbenchError(
                f"{self.name}: image {path} cannot be read ({error}); "
                "get it again, or delete it and use --allow-missing"
            ) from error

    def fingerprint(self, item: Item) -> str:
        """Size and time of change of the file.

        Raises:
            FedbenchError: the file is missing.
        """
        path = self.image_root / item.key
        try:
            stat = path.stat()
        except OSError as error:
            raise self._gone(path) from error
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def _gone(self, path: Path) -> FedbenchError:
        return FedbenchError(f"{self.name}: image {path} is missing; restore it or use --allow-missing")

    def _find_images(self, root: Path) -> Path:
        for folder in self.image_folders:
            if (root / folder).is_dir():
                return root / folder
        looked = " or ".join(self.image_folders)
        raise FedbenchError(
            f"{self.name}: no images: looked for {looked} below '{root}'; "
            f"name the folder with --data-root, or get the images: {self.download}"
        )

    def _find_split(self, root: Path) -> Path | None:
        """CoOp's JSON in the dataset's folder: in that of the images, else in that of another layout."""
        chosen = self.image_root.relative_to(root).parts[0]
        for folder in (chosen, *(Path(folder).parts[0] for folder in self.image_folders)):
            if (root / folder / self.split_file).is_file():
                return root / folder / self.split_file
        return None

    def _drop_missing(self, *, allow_missing: bool) -> None:
        listed = [item.key for part in PARTS for item in self.parts[part]]
        there = present(self.image_root, listed)
        absent = [key for key in listed if key not in there]
        found = len(listed) - len(absent)
        self._count_missing(found, len(listed), examples=absent, allow_missing=allow_missing)
        if absent:
            self.parts = {part: tuple(i for i in self.parts[part] if i.key in there) for part in PARTS}
        for part, what in (("train", "training"), ("test", "test")):
            if not self.parts[part]:
                raise FedbenchError(f"{self.name}: not one {what} image of the split is in {self.image_root}")

    def _count_missing(self, found: int, total: int, *, examples: Iterable[str], allow_missing: bool) -> None:
        """Set `missing`, or refuse."""
        self.missing = max(total - found, 0)
        if not found:
            raise FedbenchError(
                f"{self.name}: none of {total} images is in {self.image_root}; get them: {self.download}"
            )
        if not self.missing or allow_missing:
            return
        some = list(examples)
        named = f" ({', '.join(some[:NAMED])}{', ...' if len(some) > NAMED else ''})" if some else ""
        raise FedbenchError(
            f"{self.name}: {self.missing} of {total} images are missing in {self.image_root}{named}; "
            f"complete the folder, or go on with the {found} that exist: --allow-missing"
        )


def present(root: Path, keys: Iterable[str]) -> set[str]:
    """Those files below `root` that lie in the folders of `keys`: one scan a folder, not one stat an image.

    Raises:
        FedbenchError: a folder is there but cannot be read.
    """
    found: set[str] = set()
    for folder in sorted({key.rpartition("/")[0] for key in keys}):
        if (root / folder).is_dir():
            names = _names(root / folder, folders=False)
            found.update(f"{folder}/{name}" if folder else name for name in names)
    return found


def _names(folder: Path, *, folders: bool) -> list[str]:
    """Names of the files, or of the folders, in `folder`; links count as what they lead to."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if (entry.is_dir() if folders else entry.is_file())]
    except OSError as error:
        raise FedbenchError(f"folder {folder} cannot be read: {error.strerror}") from error


def _is_image(file: str) -> bool:
    return not file.startswith(".") and file.lower().endswith(IMAGE_SUFFIXES)
