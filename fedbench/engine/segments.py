"""A view's features on disk: files of bounded size that are written once and read memory-mapped.

A file is called after the checksum of its content. So nothing is ever rewritten, a file is whole or is known not to be,
and a view grows by another file. Nobody holds more of a view in memory than the piece that is asked for.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedbench.store.files import shared_mode

SEGMENT_BYTES = 2**26
"""Features in a file, and so held in memory until they are written."""

SEGMENT_IMAGES = 2048
"""Images in a file: so much work is lost when a fill is killed."""

SUFFIX = ".safetensors"

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
                if _is_sound(path):
                    self._open(path)
                    continue
                fault = "its checksum does not match"
            except FileNotFoundError:
                continue  # another process has just removed it
            except OSError as error:
                fault = error.strerror or str(error)
            self.damaged.add(path)
            name = f"{self.folder.name}/{path.name}"
            self.say(f"feature cache {name} is damaged ({fault}): computing it again")

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

    def fill(self, numbers: np.ndarray, computed: Iterable[Tensor]) -> Iterator[int]:
        """Write features as they are computed, file by file; for the process that holds the lock.

        Args:
            numbers: the images'. (images,) int64
            computed: their features in this order, some at a time. (some images, ...) float32

        Yields:
            How many images have come, each time that some have.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        while self.damaged:
            self.damaged.pop().unlink(missing_ok=True)
        buffer, written, filled = torch.empty(0), 0, 0
        for rows in computed:
            if not len(buffer):
                buffer = rows.new_empty(min(_images_a_file(rows), len(numbers)), *rows.shape[1:])
            start = 0
            while start < len(rows):
                part = rows[start : start + len(buffer) - filled]
                buffer[filled : filled + len(part)] = part
                start, filled = start + len(part), filled + len(part)
                if filled == len(buffer) or written + filled == len(numbers):
                    self._write(numbers[written : written + filled], buffer[:filled])
                    written, filled = written + filled, 0
            yield len(rows)

    def _write(self, numbers: np.ndarray, rows: Tensor) -> None:
        # one name: only one process writes at a time, and overwrites what a killed one has left
        temporary = self.folder / "writing.tmp"
        save_file({"numbers": torch.from_numpy(numbers), "rows": rows}, temporary)
        with temporary.open("rb") as file:
            path = self.folder / f"{_checksum(file)}{SUFFIX}"
            os.fsync(file.fileno())  # else a crash of the machine may leave the name without the content
        os.chmod(temporary, shared_mode())  # safetensors makes files private; a cache is often shared
        os.replace(temporary, path)
        _sound.add(_state(path))
        self._open(path)

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


def _images_a_file(rows: Tensor) -> int:
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
            if _checksum(file) != path.stem:
                return False
        _sound.add(state)
    return True


def _checksum(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _state(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns
