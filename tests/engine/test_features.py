"""The feature cache: exact, shared by processes, and sound after anything that can happen to its files."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage
from PIL import features as pillow

from fedbench.clip.model import FrozenCLIP
from fedbench.data.dataset import Dataset, Item, Preparation
from fedbench.engine import features, segments
from fedbench.engine.features import FeatureCache, cache_key
from fedbench.engine.transforms import TEST_VIEW, augmented_view, plain_view, prepared_view
from fedbench.errors import FedbenchError
from fedbench.registry import load_plugin
from tests.helpers.tinyclip import random_clip


class Colours(Dataset):
    """Plain images whose colour is their number; the fingerprint can be changed."""

    name = "colours"
    title = bibtex = ""
    quirks = {"grey": "all colours are greys", "own-pixels": "normalised with its own statistics"}

    def __init__(self, unreadable=(), quirks=()):
        super().__init__(Path(), quirks=quirks)
        self.classnames, self.source, self.parts = ("a", "b"), "own", {}
        self.version, self.unreadable = "1", set(unreadable)
        self.opened, self.fingerprinted = [], []

    @property
    def preparation(self):
        return Preparation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)) if self.quirk("own-pixels") else None

    def open(self, item):
        if item.key in self.unreadable:
            raise FedbenchError(f"image {item.key} cannot be read")
        self.opened.append(item.key)
        n = int(item.key)
        image = PILImage.new("RGB", (50, 40), (n * 20, 255 - n * 20, 90))
        image.putpixel((n, n), (255, 0, 255))
        return image.convert("L").convert("RGB") if self.quirk("grey") else image

    def fingerprint(self, item):
        self.fingerprinted.append(item.key)
        return self.version


ITEMS = [Item(str(n), n % 2) for n in range(6)]
KEYS = [item.key for item in ITEMS]


def cache(folder, dataset=None, said=None, **settings):
    said = said if said is not None else []
    return FeatureCache(
        random_clip(),
        dataset or Colours(),
        folder=folder,
        say=said.append,
        progress=lambda *_: None,
        **settings,
    )


def stored(folder):
    """A cache that can only read: every image that it would have to compute is unreadable."""
    return cache(folder, Colours(unreadable=KEYS))


def files(folder):
    return sorted(folder.rglob("*.safetensors"))


def expected(item, view, clip: FrozenCLIP):
    image = Colours().open(item)
    to = clip.preprocess
    pixels = (
        plain_view(image, to)
        if view == TEST_VIEW
        else augmented_view(image, to, name=f"colours/{item.key}", view=view)
    )
    return clip.encode_image(pixels[None])[0]


@pytest.fixture
def small_files(monkeypatch):
    """Two images a file."""
    monkeypatch.setattr(segments, "SEGMENT_IMAGES", 2)


# -- what is in it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [TEST_VIEW, 0, 3])
def test_rows_are_the_features_of_the_view(tmp_path, view):
    rows = cache(tmp_path).rows(ITEMS, view)
    for item, row in zip(ITEMS, rows, strict=True):
        assert torch.equal(row, expected(item, view, random_clip()))


def test_a_second_run_opens_no_image_and_gets_the_same_bits(tmp_path):
    first = cache(tmp_path).rows(ITEMS, 0)
    assert torch.equal(stored(tmp_path).rows(ITEMS, 0), first)


def test_entries_are_extended_and_asked_for_in_any_order(tmp_path):
    whole = cache(tmp_path / "a").rows(ITEMS, 0)
    parts = cache(tmp_path / "b")
    parts.rows(ITEMS[3:], 0)
    assert torch.equal(cache(tmp_path / "b").rows(ITEMS, 0), whole)
    again = [5, 0, 3, 0, 5]
    assert torch.equal(stored(tmp_path / "b").rows([ITEMS[n] for n in again], 0), whole[again])


@pytest.mark.parametrize("kind", ["embedding", "block:1", "pixels"])
@pytest.mark.parametrize("size", [1, 4, 6, 100])
def test_pieces_are_the_rows(tmp_path, kind, size):
    views = cache(tmp_path, kind=kind)
    pieces = list(views.pieces(ITEMS, 0, size=size))
    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert torch.equal(torch.cat(pieces), views.rows(ITEMS, 0))


def test_views_differ_and_a_changed_image_is_computed_again(tmp_path):
    views = cache(tmp_path)
    assert not torch.equal(views.rows(ITEMS, 0), views.rows(ITEMS, 1))
    dataset = Colours()
    dataset.version = "2"
    cache(tmp_path, dataset).rows(ITEMS, 0)
    assert sorted(dataset.opened) == KEYS


def test_images_are_looked_at_once_a_process(tmp_path):
    dataset = Colours()
    for _ in range(3):
        cache(tmp_path, dataset).rows(ITEMS, 0)
    assert sorted(dataset.fingerprinted) == KEYS


def test_a_data_sets_own_preparation_is_used_in_all_views(tmp_path):
    views = cache(tmp_path, Colours(quirks=["own-pixels"]), kind="pixels")
    own = prepared_view(Colours().open(ITEMS[2]), 32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    for view in (TEST_VIEW, 0):
        assert torch.equal(views.rows(ITEMS, view)[2], own)


def test_unreadable_images_are_counted_and_named_and_nothing_is_stored(tmp_path):
    with pytest.raises(
        FedbenchError, match=r"2 of 6 images cannot be read; the first: image 1 cannot be read"
    ):
        cache(tmp_path, Colours(unreadable=["1", "4"])).rows(ITEMS, 0)
    assert files(tmp_path) == []


def test_unreadable_images_are_named_in_pieces_too(tmp_path):
    pieces = cache(tmp_path, Colours(unreadable=["3", "5"]), kind="pixels").pieces(ITEMS, 0, size=2)
    next(pieces)
    with pytest.raises(FedbenchError, match=r"2 of 6 images cannot be read; the first: image 3"):
        next(pieces)


def test_pixels_are_not_stored(tmp_path):
    views = cache(tmp_path, kind="pixels")
    rows = views.rows(ITEMS, TEST_VIEW)
    assert torch.equal(rows[2], plain_view(Colours().open(ITEMS[2]), random_clip().preprocess))
    assert list(tmp_path.iterdir()) == []


# -- what it is keyed by ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [(), ("grey",), ("own-pixels",)])
@pytest.mark.parametrize("then", [(), ("grey",), ("own-pixels",)])
def test_a_run_never_reads_what_a_run_with_other_quirks_wrote(tmp_path, first, then):
    cache(tmp_path / "one", Colours(quirks=first)).rows(ITEMS, 0)
    found = cache(tmp_path / "one", Colours(quirks=then)).rows(ITEMS, 0)
    assert torch.equal(found, cache(tmp_path / "fresh", Colours(quirks=then)).rows(ITEMS, 0))
    assert len(files(tmp_path / "one")) == 1 + (first != then)


PLUGIN = """
from pathlib import Path

from PIL import Image

from fedbench.data.dataset import Dataset

LEVEL = 40


class Levels(Dataset):
    name = "levels"

    def __init__(self):
        super().__init__(Path())

    def open(self, item):
        return Image.new("RGB", (40, 40), (LEVEL, LEVEL, 0))

    def fingerprint(self, item):
        return "always the same"
"""


@pytest.mark.parametrize(
    ("old", "new", "same"), [("LEVEL = 40", "LEVEL = 250", False), ("LEVEL = 40", "LEVEL = 40  # !", True)]
)
def test_a_plugin_that_was_edited_is_computed_again(tmp_path, old, new, same):
    path, found = tmp_path / "levels.py", []
    for text in (PLUGIN, PLUGIN.replace(old, new)):
        path.write_text(text)
        found.append(cache(tmp_path / "cache", load_plugin(path).Levels()).rows(ITEMS[:1], TEST_VIEW))
    assert torch.equal(*found) == same
    assert len(files(tmp_path)) == 1 + (not same)


class OtherCLIP(FrozenCLIP):
    """A user's own, which computes something else from the same weights."""


def clip_with(**changes):
    plain = random_clip()
    clip = changes.pop("cls", FrozenCLIP).__new__(changes.pop("cls", type(plain)))
    clip.__dict__.update(plain.__dict__ | changes)
    return clip


TO = random_clip().preprocess


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_hash": "another"},
        {"precision": "bf16"},
        {"preprocess": replace(TO, size=48)},
        {"preprocess": replace(TO, mean=(0.5, 0.5, 0.5))},
        {"preprocess": replace(TO, std=(0.5, 0.5, 0.5))},
        {"preprocess": replace(TO, interpolation="bilinear")},
        {"model": random_clip(quick=True).model},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_backbone_is_in_the_key(changes):
    assert cache_key(clip_with(**changes), Colours(), "tokens") != cache_key(
        random_clip(), Colours(), "tokens"
    )
    assert cache_key(clip_with(), Colours(), "tokens") == cache_key(random_clip(), Colours(), "tokens")


def test_how_far_and_what_computes_are_in_the_key(monkeypatch):
    keys = [
        cache_key(random_clip(), Colours(), kind) for kind in ("embedding", "tokens", "block:1", "block:2")
    ]
    own = OtherCLIP.__new__(OtherCLIP)
    own.__dict__.update(random_clip().__dict__)
    keys.append(cache_key(own, Colours(), "embedding"))
    torch.set_float32_matmul_precision("medium")
    keys.append(cache_key(random_clip(), Colours(), "embedding"))
    torch.set_float32_matmul_precision("highest")
    assert cache_key(random_clip(), Colours(), "embedding") == keys[0]
    monkeypatch.setattr(FrozenCLIP, "device", torch.device("cuda"))
    keys.append(cache_key(random_clip(), Colours(), "embedding"))
    assert all(a != b for n, a in enumerate(keys) for b in keys[:n])


@pytest.mark.parametrize(
    "what", ["torch", "torchvision", "numpy", "open_clip", "PIL", "libjpeg_turbo", "webp", "jpg"]
)
def test_versions_of_libraries_are_in_the_key(monkeypatch, what):
    before = cache_key(random_clip(), Colours(), "embedding")
    features._release.cache_clear()
    if what in before["libraries"] and what not in ("libjpeg_turbo", "webp", "jpg"):
        monkeypatch.setattr(f"{what}.__version__", "0.0")
    else:
        version = pillow.version
        monkeypatch.setattr(pillow, "version", lambda name: "0.0" if name == what else version(name))
    after = cache_key(random_clip(), Colours(), "embedding")
    features._release.cache_clear()
    assert after != before


@pytest.mark.parametrize("module", features.COMPUTING, ids=lambda module: module.__name__)
def test_our_own_code_is_in_the_key(monkeypatch, tmp_path, module):
    before = cache_key(random_clip(), Colours(), "embedding")
    changed = tmp_path / "changed.py"
    changed.write_text(Path(module.__file__).read_text() + "\nMORE = 1\n")
    features._release.cache_clear()
    monkeypatch.setattr(module, "__file__", str(changed))
    after = cache_key(random_clip(), Colours(), "embedding")
    features._release.cache_clear()
    assert after != before


# -- its files ----------------------------------------------------------------------------------------------


def test_files_are_bounded_and_never_rewritten(tmp_path, small_files):
    cache(tmp_path).rows(ITEMS[:3], 0)
    before = {path: path.stat() for path in files(tmp_path)}
    assert len(before) == 2
    cache(tmp_path).rows(ITEMS, 0)
    assert len(files(tmp_path)) == 4
    for path, stat in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_files_are_bounded_in_bytes_too(tmp_path, monkeypatch):
    row = cache(tmp_path / "a", kind="block:1").rows(ITEMS[:1], 0)
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 3 * row.nbytes + 1)
    cache(tmp_path / "b", kind="block:1").rows(ITEMS, 0)
    assert len(files(tmp_path / "b")) == 2
    assert max(path.stat().st_size for path in files(tmp_path / "b")) < 3 * row.nbytes + 500


def test_a_file_is_read_through_once_a_process_and_again_when_it_changes(tmp_path, monkeypatch, small_files):
    cache(tmp_path).rows(ITEMS, 0)
    segments._sound.clear()
    read, plain = [], segments.hashlib.file_digest
    monkeypatch.setattr(
        segments.hashlib, "file_digest", lambda file, how: read.append(file.name) or plain(file, how)
    )
    for _ in range(3):
        stored(tmp_path).rows(ITEMS, 0)
    assert sorted(read) == [str(path) for path in files(tmp_path)]
    os.utime(files(tmp_path)[0])
    stored(tmp_path).rows(ITEMS, 0)
    assert len(read) == 4


def test_views_that_are_let_go_are_read_again(tmp_path, monkeypatch, small_files):
    whole = [cache(tmp_path).rows(ITEMS, view) for view in (0, 1)]
    monkeypatch.setattr(features, "MAPPED_FILES", 4)
    views = stored(tmp_path)
    for view in (0, 1, 0, 1):
        assert torch.equal(views.rows(ITEMS, view), whole[view])
        assert list(views._views) == [view]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_reported_and_its_images_alone_are_computed_again(tmp_path, damage, small_files):
    first = cache(tmp_path).rows(ITEMS, 0)
    path = files(tmp_path)[1]
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
    dataset = Colours()
    assert torch.equal(cache(tmp_path, dataset, said).rows(ITEMS, 0), first)
    assert said == [
        f"feature cache view-00000/{path.name} is damaged (its checksum does not match): computing it again"
    ]
    assert len(dataset.opened) == 2
    said.clear()
    assert torch.equal(cache(tmp_path, Colours(unreadable=KEYS), said).rows(ITEMS, 0), first)
    assert said == []


def test_a_half_written_file_is_not_read(tmp_path):
    first = cache(tmp_path).rows(ITEMS[:3], 0)
    (path,) = files(tmp_path)
    path.with_name("writing.tmp").write_bytes(path.read_bytes()[:-7])
    assert torch.equal(stored(tmp_path).rows(ITEMS[:3], 0), first)
    cache(tmp_path).rows(ITEMS, 0)
    assert list(tmp_path.rglob("*.tmp")) == []


# -- processes ----------------------------------------------------------------------------------------------


def fill(folder, started, results, places):
    dataset = Colours()
    started.wait()
    rows = cache(folder, dataset).rows([ITEMS[n] for n in places], 0)
    results.put((len(dataset.opened), rows[-1].sum().item()))


def test_processes_that_start_together_compute_each_image_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    started, results = context.Barrier(3), context.Queue()
    first, *others = [(tmp_path, started, results, places) for places in (range(4), range(4), [4, 5, 2, 3])]
    workers = [context.Process(target=fill, args=args) for args in others]
    for worker in workers:
        worker.start()
    fill(*first)
    found = [results.get(timeout=120) for _ in range(3)]
    for worker in workers:
        worker.join()
    assert sum(opened for opened, _ in found) == len(ITEMS)
    assert len({total for _, total in found}) == 1, "all have image 3 last"
    assert torch.equal(stored(tmp_path).rows(ITEMS, 0), cache(tmp_path / "fresh").rows(ITEMS, 0))


def fill_slowly(folder, opened):
    dataset = Colours()
    plain = dataset.open

    def slowly(item):
        time.sleep(0.2)
        with opened.get_lock():
            opened.value += 1
        return plain(item)

    dataset.open = slowly
    features.IMAGES_AT_ONCE = segments.SEGMENT_IMAGES = 1
    cache(folder, dataset).ensure(ITEMS, [0, 1, 2])


def test_a_killed_process_leaves_its_finished_files_and_a_cache_that_works(tmp_path):
    context, after = multiprocessing.get_context("spawn"), 8  # in the second of three views
    opened = context.Value("i", 0)
    worker = context.Process(target=fill_slowly, args=(tmp_path, opened))
    worker.start()
    deadline = time.monotonic() + 120
    while opened.value < after:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    kept = len(files(tmp_path))
    assert after - 3 <= kept <= after + 1, "all but what was being opened, computed and written"
    dataset = Colours()
    views = cache(tmp_path, dataset)
    views.ensure(ITEMS, [0, 1, 2])
    assert len(dataset.opened) == 3 * len(ITEMS) - kept
    for view in range(3):
        assert torch.equal(views.rows(ITEMS, view), cache(tmp_path / "fresh").rows(ITEMS, view))
