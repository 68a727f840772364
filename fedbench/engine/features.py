"""The feature cache: the frozen image tower is run once for each image and view, for all methods and runs.

What view v of an image looks like is a pure function of the image and v, so its features are a pure function of
(backbone, image, v), and of the code and the libraries that compute them. All but image and view are in the cache's
key; a key has a folder, in which a view's entries are found by a hash of the image's name and fingerprint.
"""

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import open_clip
import PIL
import torch
import torchvision
from filelock import FileLock, Timeout
from PIL import features as pillow
from torch import Tensor

from fedbench import seeds
from fedbench.clip import blocks as clip_blocks
from fedbench.clip import image as clip_image
from fedbench.clip import model as clip_model
from fedbench.clip.model import IMAGES_AT_ONCE, FrozenCLIP
from fedbench.data import images as data_images
from fedbench.data.dataset import Dataset, Item
from fedbench.engine import transforms
from fedbench.engine.segments import Segments
from fedbench.engine.transforms import TEST_VIEW, view_of
from fedbench.errors import FedbenchError
from fedbench.progress import Progress
from fedbench.provenance import code_digest, source_digest
from fedbench.store.files import write_json

MAPPED_FILES = 4096
"""Files of the cache that are mapped at once; systems allow some ten thousand."""

COMPUTING = (data_images, transforms, seeds, clip_model, clip_image, clip_blocks)
"""What stands between an image's file and its features, and is neither the data set's own nor a library's."""

_numbers: WeakKeyDictionary[Dataset, dict[Item, int]] = WeakKeyDictionary()
"""What the images of a data set are called in the cache; each file is looked at once a process."""


class FeatureCache:
    """Image features of one data set under one backbone, on disk."""

    def __init__(
        self,
        clip: FrozenCLIP,
        dataset: Dataset,
        *,
        kind: str = "embedding",
        folder: Path,
        say: Callable[[str], None],
        progress: Progress,
    ):
        """
        Args:
            kind: how far images are computed, see `Method.image_input`; pixels are not kept.
            folder: the cache's root; shared by any number of processes.
            say: called with a message about a rebuilt or awaited entry.
            progress: called with ("features", done, total).
        """
        self.clip, self.dataset, self.kind, self.say, self.progress = clip, dataset, kind, say, progress
        self._numbers = _numbers.setdefault(dataset, {})
        self._views: OrderedDict[int, Segments] = OrderedDict()
        key = cache_key(clip, dataset, kind)
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = folder.expanduser() / "features" / dataset.name / digest
        if kind != "pixels" and not (self.folder / "key.json").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "key.json", key)  # nobody reads it but people

    def rows(self, items: Sequence[Item], view: int) -> Tensor:
        """Features of one view of some items; computes what is missing. (items, ...) float32 on the CPU"""
        if self.kind == "pixels":
            side = self.clip.preprocess.size
            pixels = torch.empty(len(items), 3, side, side)  # filled piece by piece: never there twice
            computed = self._compute(items, view, at_once=IMAGES_AT_ONCE)
            for piece, rows in zip(pixels.split(IMAGES_AT_ONCE), computed, strict=True):
                piece.copy_(rows)
            return pixels
        self.ensure(items, [view])
        return self._view(view).rows(self._named(items))

    def pieces(self, items: Sequence[Item], view: int, *, size: int) -> Iterator[Tensor]:
        """`rows`, of `size` items at a time: no more of them are held in memory."""
        if self.kind == "pixels":
            yield from self._compute(items, view, at_once=size)
            return
        for start in range(0, len(items), size):
            yield self.rows(items[start : start + size], view)

    def ensure(self, items: Sequence[Item], views: Sequence[int]) -> None:
        """Compute and store what is missing of `items` × `views`. One process computes, others wait for it.

        Raises:
            FedbenchError: images that cannot be read, counted and named.
        """
        if self.kind == "pixels" or not self._missing(items, views):
            return
        lock = FileLock(self.folder / "lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            self.say(f"waiting for another process that fills {self.dataset.name}'s feature cache")
            held = lock.acquire()
        with held:
            for view in views:
                self._view(view).refresh()  # another process may have written meanwhile
            missing = self._missing(items, views)
            total, done = sum(map(len, missing.values())), 0
            for view, absent in missing.items():
                computed = self._compute(absent, view, at_once=IMAGES_AT_ONCE)
                for count in self._view(view).fill(self._named(absent), computed):
                    done += count
                    self.progress("features", done, total)

    def _missing(self, items: Sequence[Item], views: Sequence[int]) -> dict[int, list[Item]]:
        """For each view that lacks some of the items, those."""
        numbers, first = np.unique(self._named(items), return_index=True)
        lacking = {view: np.sort(first[self._view(view).lacks(numbers)]) for view in views}
        return {view: [items[place] for place in places] for view, places in lacking.items() if len(places)}

    def _compute(self, items: Sequence[Item], view: int, *, at_once: int) -> Iterator[Tensor]:
        """The features of `at_once` items at a time, in order.

        Raises:
            FedbenchError: images that cannot be read; those before them have been yielded.
        """
        batches = [items[start : start + at_once] for start in range(0, len(items), at_once)]
        unreadable: list[FedbenchError] = []
        with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as threads:
            coming = threads.map(lambda item: self._pixels(item, view), batches[0])
            for following in [*batches[1:], []]:
                prepared = list(coming)
                # the next ones, while the tower works
                coming = threads.map(lambda item: self._pixels(item, view), following)
                unreadable += [x for x in prepared if isinstance(x, FedbenchError)]
                if not unreadable:  # else only look for more of them, to name their number
                    yield self._features(prepared)
        if unreadable:
            raise FedbenchError(
                f"{len(unreadable)} of {len(items)} images cannot be read; the first: {unreadable[0]}"
            )

    def _features(self, prepared: list[Any]) -> Tensor:
        """What the cache is asked for, of these images' pixels, which are let go. (images, ...)"""
        pixels = torch.stack(prepared)
        prepared.clear()
        if self.kind == "pixels":
            return pixels
        return self.clip.image_input(pixels.to(self.clip.device), self.kind).cpu()

    def _pixels(self, item: Item, view: int) -> Tensor | FedbenchError:
        """An image as the tower takes it, or why it cannot be read. (3, side, side)"""
        try:
            image = self.dataset.open(item)
        except FedbenchError as error:
            return error
        name = f"{self.dataset.name}/{item.key}"
        return view_of(image, self.clip.preprocess, own=self.dataset.preparation, name=name, view=view)

    def _named(self, items: Sequence[Item]) -> np.ndarray:
        """The items' numbers in the cache. (items,) int64"""
        for item in items:
            if item not in self._numbers:
                text = f"{item.key}\0{self.dataset.fingerprint(item)}"
                digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
                self._numbers[item] = int.from_bytes(digest, "big", signed=True)
        return np.array([self._numbers[item] for item in items], dtype=np.int64)

    def _view(self, view: int) -> Segments:
        """The stored part of a view. Those that were not used for longest are let go."""
        if view not in self._views:
            folder = self.folder / ("test" if view == TEST_VIEW else f"view-{view:05d}")
            self._views[view] = Segments(folder, say=self.say)
        self._views.move_to_end(view)
        while len(self._views) > 1 and sum(map(len, self._views.values())) > MAPPED_FILES:
            self._views.popitem(last=False)
        return self._views[view]


def cache_key(clip: FrozenCLIP, dataset: Dataset, kind: str) -> dict[str, Any]:
    """Everything that decides what the features of an image in a view are."""
    own = dataset.preparation
    return {
        "kind": kind,
        "weights": clip.weights_hash,
        "modules": hashlib.sha256(repr(clip.model).encode()).hexdigest()[:16],
        "backbone code": code_digest(type(clip), until=(FrozenCLIP,)),
        "precision": clip.precision,
        "products": _products(),
        "device": clip.device.type,
        "preprocess": asdict(clip.preprocess),
        "preparation": asdict(own) if own else None,
        "quirks": sorted(dataset.active_quirks),
        "data set code": code_digest(type(dataset), until=(Dataset,)),
        **_release(),
    }


def _products() -> list[str]:
    """How exact the user of torch wants products in float32 to be."""
    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):  # torch before 2.9
        return [torch.get_float32_matmul_precision(), str(backends.cudnn.allow_tf32)]
    kinds = backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul
    return ["ieee" if kind.fp32_precision == "none" else kind.fp32_precision for kind in kinds]


@cache
def _release() -> dict[str, Any]:
    """Our own code, and the libraries that decode, resize and multiply."""
    codecs = {name: pillow.version(name) for name in (*pillow.codecs, "libjpeg_turbo", "webp")}
    libraries = {x.__name__: x.__version__ for x in (np, open_clip, PIL, torch, torchvision)}
    code = [source_digest(Path(str(module.__file__))) for module in COMPUTING]
    return {"code": hashlib.sha256("".join(code).encode()).hexdigest()[:16], "libraries": libraries | codecs}
