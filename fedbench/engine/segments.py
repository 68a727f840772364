"""A view's features on disk: files of bounded size that are written once and read memory-mapped.

A file is called after the checksum of its content. So nothing is ever rewritten, a file is whole or is known not to be,
and a view grows by another file. Nobody holds more of a view in memory than the piece that is asked for.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

SEGMENT_BYTES = 2**26
"""Features in a file, and so held in memory until they are written."""

SEGMENT_IMAGES = 2048
"""Images in a file: so much work is lost when a fill is killed."""

SUFFIX = ".safetensors"
DIGITS = 32
"""Of the checksum in a file's name."""

_sound: set[tuple[Path, int, int]] = set()
"""Files that this process has found whole, with their size and time of change."""


class Segments:
    """The features of images, by the images' numbers; in a folder that other processes add to.

    Attributes:
        damaged: files that are not what their names say.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None]):
        """`say` is called with a message about each damaged file."""
        self.folder, self.say = folder, say
        self.damaged: set[Path] = set()
        self._tables: dict[Path, tuple[np.ndarray, Tensor]] = {}
        self._places: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self.refresh()

    def __len__(self) -> int:
        """Number of files in use."""
        return len(self._tables)

    def refresh(self) -> None:
        """Take in the files that have come since."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path in self._tables or path in self.damaged:
                continue
            try:
                fault = "" if _is_sound(path) else "its checksum does not match"
            except FileNotFoundError:
                continue  # another process has just removed it
            except OSError as error:
                fault = error.strerror or str(error)
            if fault:
                self.damaged.add(path)
                self.say(
                    f"feature cache {self.folder.name}/{path.name} is damaged ({fault}): computing it again"
                )
            else:
                self._open(path)

    def lacks(self, numbers: np.ndarray) -> np.ndarray:
        """Which of these images have no features here. (images,) int64 → (images,) bool"""
        known, _, _ = self._index()
        if not len(known):
            return np.ones(len(numbers), dtype=bool)
        return known[np.searchsorted(known, numbers).clip(max=len(known) - 1)] != numbers

    def rows(self, numbers: np.ndarray) -> Tensor:
        """Features of images, all of which are here. (images,) int64 → (images, ...) float32"""
        known, files, places = self._index()
        found = np.searchsorted(known, numbers)
        tables = [table for _, table in self._tables.values()]
        rows = tables[0].new_empty(len(numbers), *tables[0].shape[1:])
        for file in np.unique(files[found]):
            here = np.flatnonzero(files[found] == file)
            rows[torch.from_numpy(here)] = tables[file][torch.from_numpy(places[found[here]])]
        return rows

    def add(self, numbers: np.ndarray, rows: Tensor) -> None:
        """Write one more file; for the one process that holds the lock. (images,), (images, ...)"""
        content = save({"numbers": torch.from_numpy(numbers), "rows": rows.contiguous()})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()[:DIGITS]}{SUFFIX}"
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = (
            self.folder / "writing.tmp"
        )  # only one process writes; it overwrites what a killed one left
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a crash of the machine may leave the name without the content
        os.replace(temporary, path)
        _sound.add(_state(path))
        self._open(path)

    def remove_damaged(self) -> None:
        """Delete the damaged files; for the one process that holds the lock."""
        for path in self.damaged:
            path.unlink(missing_ok=True)
        self.damaged.clear()

    def _open(self, path: Path) -> None:
        with safe_open(path, framework="pt") as file:  # maps the file: rows come from disk when they are used
            self._tables[path] = file.get_tensor("numbers").numpy(), file.get_tensor("rows")
        self._places = None

    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All numbers in order, and for each the file and the row. (images,) each"""
        if self._places is None:
            parts = [numbers for numbers, _ in self._tables.values()] or [np.zeros(0, dtype=np.int64)]
            sizes = [len(part) for part in parts]
            files = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
            places = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
            numbers = np.concatenate(parts)
            order = np.argsort(numbers, kind="stable")
            self._places = numbers[order], files[order], places[order]
        return self._places


def images_a_file(rows: Tensor) -> int:
    """How many rows like these go into one file."""
    return max(min(SEGMENT_BYTES // max(rows[:1].nbytes, 1), SEGMENT_IMAGES), 1)


def _is_sound(path: Path) -> bool:
    """Whether the file's content is that of its name; read through once a process, unless it changes.

    Raises:
        OSError: it cannot be read.
    """
    state = _state(path)
    if state not in _sound:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS] != path.stem:
                return False
        _sound.add(state)
    return True


def _state(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns
