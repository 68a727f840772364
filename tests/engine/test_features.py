"""The feature cache: exact, shared by processes, and sound after anything that can happen to its files."""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from PIL import Image as PILImage

from fedbench.clip.model import FrozenCLIP
from fedbench.data.dataset import Dataset, Item
from fedbench.engine.features import TEST_VIEW, ViewCache
from fedbench.engine.transforms import augmented_view, plain_view
from fedbench.errors import FedbenchError
from tests.helpers.tinyclip import random_clip


class Colours(Dataset):
    """Plain images whose colour is their number; the fingerprint can be changed."""

    name = "colours"
    title = bibtex = ""

    def __init__(self, unreadable=()):
        self.classnames, self.source, self.parts = ("a", "b"), "own", {}
        self.version, self.unreadable, self.opened = "1", set(unreadable), 0

    def open(self, item):
        if item.key in self.unreadable:
            raise FedbenchError(f"image {item.key} cannot be read")
        self.opened += 1
        n = int(item.key)
        image = PILImage.new("RGB", (50, 40), (n * 20, 255 - n * 20, 90))
        image.putpixel((n, n), (255, 0, 255))
        return image

    def fingerprint(self, item):
        return self.version


ITEMS = [Item(str(n), n % 2) for n in range(6)]


def cache(folder, dataset=None, said=None, **settings):
    said = said if said is not None else []
    return ViewCache(
        random_clip(),
        dataset or Colours(),
        folder=folder,
        say=said.append,
        progress=lambda *_: None,
        **settings,
    )


def expected(item, view, clip: FrozenCLIP):
    image = Colours().open(item)
    to = clip.preprocess
    pixels = (
        plain_view(image, to)
        if view == TEST_VIEW
        else augmented_view(image, to, name=f"colours/{item.key}", view=view)
    )
    return clip.encode_image(pixels[None])[0]


@pytest.mark.parametrize("view", [TEST_VIEW, 0, 3])
def test_rows_are_the_features_of_the_view(tmp_path, view):
    rows = cache(tmp_path).rows(ITEMS, view)
    for item, row in zip(ITEMS, rows, strict=True):
        assert torch.equal(row, expected(item, view, random_clip()))


def test_a_second_run_opens_no_image_and_gets_the_same_bits(tmp_path):
    first = cache(tmp_path).rows(ITEMS, 0)
    dataset = Colours(unreadable=[item.key for item in ITEMS])
    assert torch.equal(cache(tmp_path, dataset).rows(ITEMS, 0), first)


def test_entries_are_extended_in_any_order(tmp_path):
    whole = cache(tmp_path / "a").rows(ITEMS, 0)
    parts = cache(tmp_path / "b")
    parts.rows(ITEMS[3:], 0)
    assert torch.equal(cache(tmp_path / "b").rows(ITEMS, 0), whole)
    assert torch.equal(cache(tmp_path / "b").rows(ITEMS[::-1], 0), whole.flip(0))


def test_views_differ_and_a_changed_image_is_computed_again(tmp_path):
    views = cache(tmp_path)
    assert not torch.equal(views.rows(ITEMS, 0), views.rows(ITEMS, 1))
    dataset = Colours()
    dataset.version = "2"
    cache(tmp_path, dataset).rows(ITEMS, 0)
    assert dataset.opened == len(ITEMS)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_entry_is_reported_and_computed_again(tmp_path, damage):
    first = cache(tmp_path).rows(ITEMS, 0)
    (path,) = tmp_path.rglob("view-*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-7]
    elif damage == "flipped":
        content[-5] ^= 1
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"not a safetensors file at all")
    path.write_bytes(bytes(content))
    said: list[str] = []
    assert torch.equal(cache(tmp_path, said=said).rows(ITEMS, 0), first)
    assert any("view-00000.safetensors is damaged" in message for message in said)
    assert torch.equal(cache(tmp_path, Colours([i.key for i in ITEMS])).rows(ITEMS, 0), first)


def test_unreadable_images_are_counted_and_named_and_nothing_is_stored(tmp_path):
    with pytest.raises(
        FedbenchError, match=r"2 of 6 images cannot be read; the first: image 1 cannot be read"
    ):
        cache(tmp_path, Colours(unreadable=["1", "4"])).rows(ITEMS, 0)
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_pixels_are_not_stored(tmp_path):
    views = cache(tmp_path, kind="pixels")
    rows = views.rows(ITEMS, TEST_VIEW)
    assert torch.equal(rows[2], plain_view(Colours().open(ITEMS[2]), random_clip().preprocess))
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_other_weights_and_other_inputs_have_other_entries(tmp_path):
    cache(tmp_path).rows(ITEMS, 0)
    cache(tmp_path, kind="block:1").rows(ITEMS, 0)
    ViewCache(random_clip(quick=True), Colours(), folder=tmp_path, say=print, progress=lambda *_: None).rows(
        ITEMS, 0
    )
    assert len(list(tmp_path.rglob("view-*.safetensors"))) == 3


def fill(folder, started, counts):
    dataset = Colours()
    started.wait()
    rows = cache(folder, dataset).rows(ITEMS, 0)
    counts.put((dataset.opened, rows.sum().item()))


def test_processes_that_start_together_compute_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    started, counts = context.Barrier(3), context.Queue()
    workers = [context.Process(target=fill, args=(tmp_path, started, counts)) for _ in range(3)]
    for worker in workers:
        worker.start()
    results = [counts.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(opened for opened, _ in results) == [0, 0, len(ITEMS)]
    assert len({total for _, total in results}) == 1


def fill_slowly(folder, begun):
    class Slow(Colours):
        def open(self, item):
            begun.set()
            time.sleep(0.2)
            return super().open(item)

    cache(folder, Slow()).ensure(ITEMS, [0, 1, 2])


def test_a_killed_process_leaves_a_cache_that_works(tmp_path):
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    worker = context.Process(target=fill_slowly, args=(tmp_path, begun))
    worker.start()
    assert begun.wait(timeout=120)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert torch.equal(cache(tmp_path).rows(ITEMS, 0), cache(tmp_path / "fresh").rows(ITEMS, 0))
