"""The feature cache: the frozen image tower is run once for each image and view, for all methods and runs.

What view v of an image looks like is a pure function of the image and v, so its features are a pure function of
(backbone, image, v). They are kept in one file a view; an entry is found by a hash of the image's name and
fingerprint. Files are extended under a lock, written to a temporary name, renamed, and carry a checksum; one
that does not match (a damaged disk, a copy cut short) is reported and computed again.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedbench.clip.model import IMAGES_AT_ONCE, FrozenCLIP
from fedbench.data.dataset import Dataset, Item
from fedbench.engine.transforms import augmented_view, legacy_view, plain_view
from fedbench.errors import FedbenchError
from fedbench.progress import Progress

TEST_VIEW = -1
"""The number of the view without augmentation."""

HELD_BYTES = 2**30
"""Features held in memory at once; the rest is read again from disk."""


class ViewCache:
    """Image features of one dataset under one backbone, on disk and in memory."""

    def __init__(
        self,
        clip: FrozenCLIP,
        dataset: Dataset,
        *,
        kind: str = "embedding",
        legacy: bool = False,
        folder: Path,
        say: Callable[[str], None],
        progress: Progress,
    ):
        """
        Args:
            kind: how far images are computed, see `Method.image_input`; pixels are not kept.
            legacy: prepare all views as under the quirk `cifar-preprocess`, with the dataset's statistics.
            folder: the cache's root; shared by any number of processes.
            say: called with a message about a rebuilt or awaited entry.
            progress: called with ("features", done, total).
        """
        settings = f"{clip.weights_hash}-{clip.precision}-{clip.preprocess}-{kind}"
        self.statistics = dataset.statistics if legacy else None
        if self.statistics:
            settings += f"-{self.statistics}"
        digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self.clip, self.dataset, self.kind, self.say, self.progress = clip, dataset, kind, say, progress
        self.folder = folder.expanduser() / "features" / digest / dataset.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tables: OrderedDict[int, tuple[dict[int, int], Tensor]] = OrderedDict()
        self._ids: dict[Item, int] = {}

    def rows(self, items: Sequence[Item], view: int) -> Tensor:
        """Features of one view of each item; computes what is missing. (items, ...) float32 on the CPU"""
        if self.kind == "pixels":
            return self._compute(items, view)
        index, table = self._table(view)
        ids = [self._id(item) for item in items]
        if any(i not in index for i in ids):
            self.ensure(items, [view])
            index, table = self._table(view)
        return table[torch.tensor([index[i] for i in ids])]

    def ensure(self, items: Sequence[Item], views: Sequence[int]) -> None:
        """Compute and store what is missing of `items` × `views`. One process computes, others wait for it.

        Raises:
            FedbenchError: images that cannot be read, counted and named.
        """
        if self.kind == "pixels":
            return
        unique = {self._id(item): item for item in items}
        if not self._missing(unique, views):
            return
        lock = FileLock(self.folder / "lock")
        if not _acquired(lock):
            self.say(f"waiting for another process that fills {self.folder.name}'s feature cache")
            lock.acquire()
        try:
            self._tables.clear()  # another process may have written meanwhile
            missing = self._missing(unique, views)
            total, done = sum(len(items) for items in missing.values()), 0

            def advance(images: int) -> None:
                nonlocal done
                done += images
                self.progress("features", done, total)

            for view, absent in missing.items():
                self._extend(view, list(absent), self._compute(list(absent.values()), view, advance))
        finally:
            lock.release()

    def _missing(self, unique: dict[int, Item], views: Sequence[int]) -> dict[int, dict[int, Item]]:
        """For each view that lacks some, the items that it lacks."""
        lacking = {view: {i: x for i, x in unique.items() if i not in self._table(view)[0]} for view in views}
        return {view: absent for view, absent in lacking.items() if absent}

    def _compute(
        self, items: Sequence[Item], view: int, advance: Callable[[int], None] = lambda _: None
    ) -> Tensor:
        to, parts, unreadable = self.clip.preprocess, [], []

        def prepare(item: Item) -> Tensor | FedbenchError:
            try:
                image = self.dataset.open(item)
            except FedbenchError as error:
                return error
            if self.statistics:
                mean, std = self.statistics
                return legacy_view(image, to.size, mean=mean, std=std)
            if view == TEST_VIEW:
                return plain_view(image, to)
            return augmented_view(image, to, name=f"{self.dataset.name}/{item.key}", view=view)

        with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as threads:
            batches = [
                items[start : start + IMAGES_AT_ONCE] for start in range(0, len(items), IMAGES_AT_ONCE)
            ]
            coming = threads.map(prepare, batches[0])
            for following in [*batches[1:], []]:
                prepared, coming = (
                    list(coming),
                    threads.map(prepare, following),
                )  # decodes while the tower works
                unreadable += [x for x in prepared if isinstance(x, FedbenchError)]
                if not unreadable:  # else only look for more of them, to name their number
                    pixels = torch.stack([x for x in prepared if isinstance(x, Tensor)]).to(self.clip.device)
                    parts.append(self.clip.image_input(pixels, self.kind).cpu())
                advance(len(prepared))
        if unreadable:
            raise FedbenchError(
                f"{len(unreadable)} of {len(items)} images cannot be read; the first: {unreadable[0]}"
            )
        return torch.cat(parts)

    def _id(self, item: Item) -> int:
        if item not in self._ids:
            text = f"{item.key}\0{self.dataset.fingerprint(item)}"
            self._ids[item] = int.from_bytes(
                hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True
            )
        return self._ids[item]

    def _path(self, view: int) -> Path:
        return self.folder / ("test.safetensors" if view == TEST_VIEW else f"view-{view:05d}.safetensors")

    def _table(self, view: int) -> tuple[dict[int, int], Tensor]:
        """Places of the stored images, and their features; empty where there is no sound file."""
        if view not in self._tables:
            self._hold(view, *self._read(view))
        self._tables.move_to_end(view)
        return self._tables[view]

    def _hold(self, view: int, ids: Tensor, rows: Tensor) -> None:
        """Keep a table in memory, and drop the longest unused ones beyond the limit."""
        self._tables[view] = ({i: place for place, i in enumerate(ids.tolist())}, rows)
        while len(self._tables) > 1 and sum(x.nbytes for _, x in self._tables.values()) > HELD_BYTES:
            self._tables.popitem(last=False)

    def _read(self, view: int) -> tuple[Tensor, Tensor]:
        path = self._path(view)
        try:
            with safe_open(path, framework="pt") as file:
                ids, rows = file.get_tensor("ids"), file.get_tensor("rows")
                stored = (file.metadata() or {}).get("sha256")
            if stored == _checksum(ids, rows):
                return ids, rows
            reason = "its checksum does not match"
        except FileNotFoundError:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0)
        except (SafetensorError, OSError) as error:
            reason = str(error).splitlines()[0]
        self.say(f"feature cache {path.name} is damaged ({reason}): computing it again")
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0)

    def _extend(self, view: int, ids: list[int], rows: Tensor) -> None:
        old_ids, old_rows = self._read(view)
        all_ids = torch.cat([old_ids, torch.tensor(ids)])
        all_rows = torch.cat([old_rows, rows]) if len(old_ids) else rows
        temporary = self._path(view).with_suffix(f".{os.getpid()}.tmp")
        save_file(
            {"ids": all_ids, "rows": all_rows}, temporary, metadata={"sha256": _checksum(all_ids, all_rows)}
        )
        os.replace(temporary, self._path(view))
        self._hold(view, all_ids, all_rows)


def _acquired(lock: FileLock) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _checksum(ids: Tensor, rows: Tensor) -> str:
    digest = hashlib.sha256()
    for x in (ids, rows):
        digest.update(str((tuple(x.shape), x.dtype)).encode())
        digest.update(x.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
