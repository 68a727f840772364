"""Datasets that are folders of image files: finding the folder, listing, checking and opening the images."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar

from PIL import Image as PILImage

from fedbench.data.dataset import Dataset, Item
from fedbench.data.images import DAMAGED, class_folders, images, present, rgb, unreadable
from fedbench.data.parts import PARTS, Parts, own_split, read_zhou
from fedbench.errors import FedbenchError

NAMED = 3
"""How many missing images a message names."""

Found = tuple[str, tuple[str, ...], Parts]
"""Where a split comes from (`Dataset.source`), the class names in label order, and the parts."""


class FolderDataset(Dataset):
    """A dataset of image files in one of the layouts that users have on disk.

    A subclass declares the attributes below and, where class names are not folder names, overrides
    `classname` (or `classes`, where images are not sorted into one folder a class). Keys are paths below the
    image folder, so the split hash is the same for every layout.

    The split is, in this order: CoOp's `split_zhou_*.json` if it lies in the dataset's folder (of any layout,
    whichever holds the images); what `from_lists` makes of the lists that come with the dataset; what
    `from_folders` makes of the images that are there, which is fedbench's own seeded 50/20/30 split
    (`source == "own"`) unless overridden.

    Attributes:
        size: number of images of the whole dataset, so that a split of a part of it is noticed.
        left_out: as in `Dataset`; images that are missing from an own split have no names.
    """

    size: ClassVar[int]

    image_root: Path
    left_out: dict[str, str]

    def __init__(self, root: Path, *, allow_missing: bool = False, quirks: Collection[str] = ()):
        """Find the images below `root`, read or make the split, and check that every file is there.

        Images that are missing under `allow_missing` are left out of the parts and counted in `missing`;
        those that do not decode (which is tried under `allow_missing` only) in `unreadable`. The class names
        stay as they are, even of a class that has lost all its images (the protocol decides about those).

        Raises:
            FedbenchError: no image folder; a damaged split file or list; a label that disagrees with the
                image's folder; missing images without `allow_missing`; no training or no test image left; a
                class too small for an own split; unknown quirk.
        """
        super().__init__(root, allow_missing=allow_missing, quirks=quirks)
        self.left_out = {}
        self.allow_missing = allow_missing
        self.image_root = self._find_images(root)
        self._data_root = root
        split, listed = self._find_split(root), None
        if split is not None:
            self.source, (self.classnames, self.parts) = "zhou", read_zhou(split)
        elif (listed := self.from_lists()) is not None:
            self.source, self.classnames, self.parts = listed
        else:
            self.source, self.classnames, self.parts = self.from_folders()
        self._check_items()
        if split is not None or listed is not None:
            self._drop_missing()
        if allow_missing:
            self._drop_unreadable()

    def classname(self, folder: str) -> str | None:
        """The class name of a class folder; None for a folder that is not part of the benchmark."""
        return folder

    def classname_of(self, key: str) -> str | None:
        """What the image's path says about its class, to be checked against the split; None for nothing."""
        folder, _, _ = key.rpartition("/")
        return self.classname(folder.partition("/")[0]) if folder else None

    def classes(self) -> dict[str, list[str]]:
        """Image keys by class name, in label order: the classes in the order of their sorted folders.

        Hidden files and folders, and files that are no images by suffix, do not count.

        Raises:
            FedbenchError: a folder cannot be read, or two folders have the same class name.
        """
        classes: dict[str, list[str]] = {}
        for folder in class_folders(self.image_root):
            name = self.classname(folder)
            if name is None:
                continue
            if name in classes:
                raise FedbenchError(f"{self.name}: two folders of {self.image_root} are class '{name}'")
            classes[name] = [f"{folder}/{file}" for file in images(self.image_root / folder)]
        return classes

    def from_lists(self) -> Found | None:
        """The split that the dataset's own lists give; None if they are not there.

        Raises:
            FedbenchError: some of the lists are not there, or one is damaged.
        """
        return None

    def from_folders(self) -> Found:
        """The split of the images that are there, which call `count_found`.

        Raises:
            FedbenchError: as the constructor.
        """
        classes = self.classes()
        self.count_found(sum(map(len, classes.values())))
        self._refuse_surplus(classes)
        return "own", tuple(classes), own_split(self.name, classes)

    def path(self, key: str) -> Path:
        """Where the image is."""
        return self.image_root / self.location(key)

    def location(self, key: str) -> str:
        """Where the image is below the image folder: the key, unless folders have several spellings."""
        return key

    def listed(self, *files: str) -> list[Path] | None:
        """Lists that come with the dataset: in the image folder or the one above; None if not one is there.

        Raises:
            FedbenchError: some are there, some are not.
        """
        folders = [self.image_root]
        if self.image_root.parent != self._data_root:
            folders.append(self.image_root.parent)
        for folder in folders:
            paths = [folder / file for file in files]
            absent = [path for path in paths if not path.is_file()]
            if not absent:
                return paths
            if len(absent) < len(paths):
                named = ", ".join(map(str, absent))
                raise FedbenchError(
                    f"{self.name}: of its lists, {named} is missing; get it, or remove the others"
                )
        return None

    def unsplit(self, *files: str) -> FedbenchError:
        """The error where there is neither a split file nor one of the dataset's own lists."""
        wanted = " and ".join(files)
        either = f"{self.split_file} nor {wanted}" if self.split_file else wanted
        return FedbenchError(
            f"{self.name}: images are in {self.image_root}, but "
            f"{'neither ' if self.split_file else 'not '}{either} "
            f"beside them (or for those lists, above them); get: {self.download}"
        )

    def open(self, item: Item) -> PILImage.Image:
        """The image in RGB: grey and palette images are converted; EXIF orientation is ignored, as published.

        Raises:
            FedbenchError: the file is missing or is no image.
        """
        path = self.path(item.key)
        try:
            with PILImage.open(path) as image:
                return rgb(image)
        except FileNotFoundError as error:
            raise self._gone(path) from error
        except DAMAGED as error:
            raise FedbenchError(
                f"{self.name}: image {path} cannot be read ({error}); get it again, or go on without: "
                f"--allow-missing"
            ) from error

    def fingerprint(self, item: Item) -> str:
        """Size and time of change of the file.

        Raises:
            FedbenchError: the file is missing.
        """
        path = self.path(item.key)
        try:
            stat = path.stat()
        except OSError as error:
            raise self._gone(path) from error
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def count_found(self, found: int) -> None:
        """Set `missing` of a split of what is there.

        Raises:
            FedbenchError: no image, or fewer than `size` without `allow_missing`.
        """
        self._count_missing(found, self.size, examples=())

    def _gone(self, path: Path) -> FedbenchError:
        return FedbenchError(f"{self.name}: image {path} is missing; restore it or use --allow-missing")

    def _find_split(self, root: Path) -> Path | None:
        """CoOp's JSON in the dataset's folder: in that of the images, else in that of another layout."""
        if not self.split_file:
            return None
        for layout in (self.image_root.relative_to(root), *map(Path, self.image_folders)):
            for folder in (layout, *layout.parents)[-2::-1]:  # outermost first; the last is the data root
                if (root / folder / self.split_file).is_file():
                    return root / folder / self.split_file
        return None

    def _drop_missing(self) -> None:
        listed = [item.key for part in PARTS for item in self.parts[part]]
        there = present(self.image_root, map(self.location, listed))
        absent = [key for key in listed if self.location(key) not in there]
        self._count_missing(len(listed) - len(absent), len(listed), examples=absent)
        self._leave_out(absent, "missing")

    def _drop_unreadable(self) -> None:
        """A damaged file is to the user what a missing one is: found here, not in the middle of a run."""
        broken = unreadable([item.key for part in PARTS for item in self.parts[part]], self.path)
        self.unreadable = len(broken)
        self._leave_out(broken, "unreadable")

    def _leave_out(self, keys: list[str], reason: str) -> None:
        """Remove these images from the parts, or refuse if no training or no test image is left."""
        self.left_out |= dict.fromkeys(keys, reason)
        gone = set(keys)
        if gone:
            self.parts = {part: tuple(i for i in self.parts[part] if i.key not in gone) for part in PARTS}
        for part, what in (("train", "training"), ("test", "test")):
            if not self.parts[part]:
                raise FedbenchError(
                    f"{self.name}: not one {what} image of the split is in {self.image_root}; complete it"
                )

    def _count_missing(self, found: int, total: int, *, examples: Iterable[str]) -> None:
        """Set `missing`, or refuse."""
        self.missing = max(total - found, 0)
        some = list(examples)
        named = f" ({', '.join(some[:NAMED])}{', ...' if len(some) > NAMED else ''})" if some else ""
        if not found:
            raise FedbenchError(
                f"{self.name}: none of {total} images is in {self.image_root}{named}; get them: {self.download}"
            )
        if not self.missing or self.allow_missing:
            return
        raise FedbenchError(
            f"{self.name}: {self.missing} of {total} images are missing in {self.image_root}{named}; "
            f"complete the folder, or go on with the {found} that exist: --allow-missing"
        )

    def _check_items(self) -> None:
        """Refuse images that are listed twice or outside, and labels that disagree with the paths."""
        seen: set[str] = set()
        for items in self.parts.values():
            for item in items:
                if item.key in seen or item.key.startswith("/") or ".." in item.key.split("/"):
                    how = "is listed twice" if item.key in seen else "leaves the image folder"
                    raise FedbenchError(
                        f"{self.name}: image '{item.key}' {how}; get the dataset's lists again"
                    )
                seen.add(item.key)
                name = self.classname_of(item.key)
                if name is not None and name != self.classnames[item.label]:
                    raise FedbenchError(
                        f"{self.name}: image '{item.key}' is of class '{name}' by its path, and of class "
                        f"'{self.classnames[item.label]}' by the split; get the split file again"
                    )

    def _refuse_surplus(self, classes: Iterable[str]) -> None:
        """Refuse class folders that cannot all belong to the dataset: labels would be off."""
        found = list(classes)
        if 0 < self.n_classes < len(found):
            raise FedbenchError(
                f"{self.name}: {self.image_root} has {len(found)} class folders and the dataset "
                f"{self.n_classes} "
                "classes; move away what is not part of it"
            )
