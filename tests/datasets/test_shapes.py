"""The built-in dataset."""

from pathlib import Path

import numpy as np
import pytest

from fedbench.data.dataset import Item
from fedbench.datasets import shapes
from fedbench.datasets.shapes import Shapes
from fedbench.errors import FedbenchError
from fedbench.splits.base_to_novel import BaseToNovel
from fedbench.world import CLASSNAMES, DOMAINS, render_benchmark


def test_parts_classes_and_keys() -> None:
    dataset = Shapes(Path("no such folder"))
    assert dataset.classnames == CLASSNAMES
    assert {part: len(items) for part, items in dataset.parts.items()} == {
        "train": 1600,
        "val": 320,
        "test": 2000,
    }
    assert dataset.parts["train"][43] == Item(f"photo/{CLASSNAMES[1]}/train/0003", 1, "photo")
    assert (dataset.source, dataset.missing) == ("built-in", 0)


def test_an_item_is_the_renderers_image() -> None:
    dataset = Shapes(Path())
    drawn = np.asarray(dataset.open(dataset.parts["test"][57]))
    assert np.array_equal(drawn, np.asarray(render_benchmark(CLASSNAMES[1], "photo", "test", 7)))
    assert not np.array_equal(drawn, np.asarray(dataset.open(dataset.parts["test"][58])))


@pytest.mark.parametrize(
    "key", ["photo/striped red dog/train/0", "night/x/train/0", "photo", "photo/x/train/y"]
)
def test_foreign_items_are_refused(key: str) -> None:
    with pytest.raises(FedbenchError, match=f"shapes has no image '{key}'"):
        Shapes(Path()).open(Item(key, 0))


def test_parts_are_the_photos_and_the_other_domains_are_to_be_asked_for() -> None:
    dataset = Shapes(Path())
    assert dataset.domains == DOMAINS == ("photo", "sketch", "negative", "flat")
    assert {item.domain for part in dataset.parts.values() for item in part} == {"photo"}
    assert dataset.domain_parts("photo") == dataset.parts
    sketches = dataset.domain_parts("sketch")
    assert sketches["test"][57] == Item(f"sketch/{CLASSNAMES[1]}/test/0007", 1, "sketch")
    drawn = np.asarray(dataset.open(sketches["test"][57]))
    assert np.array_equal(drawn, np.asarray(render_benchmark(CLASSNAMES[1], "sketch", "test", 7)))
    with pytest.raises(FedbenchError, match=r"unknown domain of shapes 'scetch'; did you mean sketch\?"):
        dataset.domain_parts("scetch")


def test_the_photo_only_task_is_what_it_was() -> None:
    """Recorded before the other domains were added: results of base-to-novel on shapes stay comparable."""
    task = BaseToNovel(BaseToNovel.Options()).make(Shapes(Path()), seed=1)
    assert task.hash == "3841692193beae6e"


def test_the_fingerprint_changes_with_the_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    item = Shapes(Path()).parts["train"][0]
    before = Shapes(Path()).fingerprint(item)
    assert Shapes(Path()).fingerprint(item) == before
    monkeypatch.setattr(
        shapes,
        "render_benchmark",
        lambda *where: render_benchmark(*where).transpose(method=0),  # mirrored
    )
    assert Shapes(Path()).fingerprint(item) != before


def test_base_is_the_first_half_of_the_world_and_clients_are_alike() -> None:
    task = BaseToNovel(BaseToNovel.Options()).make(Shapes(Path()), seed=1)
    assert task.classnames == CLASSNAMES[:20]
    assert task.pools["novel"].classnames == CLASSNAMES[20:]
    assert task.counts.tolist() == [32] * 10
    assert [len(rows) for rows in task.metrics["local"].rows or ()] == [100] * 10
    assert task.notes == ()
