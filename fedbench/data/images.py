"""Image files on disk: which are there, and which of those are readable."""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from PIL import Image as PILImage

from fedbench.errors import FedbenchError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
LEFTOVER = "__MACOSX"
"""A folder that unpacking an archive made on a Mac leaves behind."""
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError,
    ZeroDivisionError, OverflowError, PILImage.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for damaged files of one format or another."""


def names(folder: Path, *, folders: bool) -> list[str]:
    """Names of the files, or of the folders, in `folder`; links count as what they lead to.

    Raises:
        FedbenchError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if (entry.is_dir() if folders else entry.is_file())]
    except OSError as error:
        raise FedbenchError(f"folder {folder} cannot be read: {error.strerror}") from error


def class_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; hidden ones and `__MACOSX` do not count.

    Raises:
        FedbenchError: the folder cannot be read.
    """
    return sorted(name for name in names(folder, folders=True) if not name.startswith((".", LEFTOVER)))


def images(folder: Path) -> list[str]:
    """Names of the images in `folder`, sorted. Hidden files and those without an image's suffix do not count.

    Raises:
        FedbenchError: the folder cannot be read.
    """
    found = (name for name in names(folder, folders=False) if not name.startswith("."))
    return sorted(name for name in found if name.lower().endswith(IMAGE_SUFFIXES))


def present(root: Path, keys: Iterable[str]) -> set[str]:
    """Those files below `root` that lie in the folders of `keys`: one scan a folder, not one stat an image.

    Raises:
        FedbenchError: a folder is there but cannot be read.
    """
    found: set[str] = set()
    for folder in sorted({key.rpartition("/")[0] for key in keys}):
        if (root / folder).is_dir():
            found.update(
                f"{folder}/{name}" if folder else name for name in names(root / folder, folders=False)
            )
    return found


def unreadable(keys: Sequence[str], path: Callable[[str], Path]) -> list[str]:
    """Those of `keys` whose file does not decode; a file is decoded once a process unless it changes."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return [
            key
            for key, good in zip(keys, pool.map(lambda key: _readable(path(key)), keys), strict=True)
            if not good
        ]


def rgb(image: PILImage.Image) -> PILImage.Image:
    """The image in RGB, its transparency dropped: Pillow warns about that of a palette, to the same pixels."""
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _readable(path: Path) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return _decodes(path, stat.st_size, stat.st_mtime_ns)


@cache
def _decodes(path: Path, size: int, changed: int) -> bool:
    """Whether the whole file decodes; `size` and `changed` only tell one state of it from another."""
    try:
        with PILImage.open(path) as image:
            image.draft(None, (1, 1))  # JPEG: every byte is still read, but an eighth of the pixels is made
            rgb(image)
    except DAMAGED:
        return False
    return True
