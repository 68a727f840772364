"""Accuracies by hand: pools, rows, personal and shared models, in the tower and behind it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedbench.data.dataset import Item
from fedbench.engine import evaluate
from fedbench.engine.evaluate import TOWER_IMAGES, Evaluator, summary
from fedbench.task import Metric, Pool, Task
from tests.helpers.tinyclip import random_clip
from tests.helpers.worlds import NAMES, federation, make_method

COUNT = TOWER_IMAGES + 9  # more than one piece


class PixelCache:
    """Random images by their number, as far as the method wants them."""

    def __init__(self, method):
        self.method = method
        self.sizes = []

    def ensure(self, items, views):
        pass

    def pieces(self, items, view, *, size):
        for start in range(0, len(items), size):
            self.sizes.append(len(items[start : start + size]))
            yield self.rows(items[start : start + size], view)

    def rows(self, items, view):
        rng = torch.Generator().manual_seed(3)
        pixels = torch.randn(COUNT, 3, 32, 32, generator=rng)[[int(i.key) for i in items]]
        return self.method.clip.image_input(pixels, self.method.image_input)


def task(**metrics):
    items = tuple(Item(str(n), n % len(NAMES)) for n in range(COUNT))
    return Task(
        "p", SimpleNamespace(notes=list), tuple(NAMES), (), {"base": Pool(tuple(NAMES), items)}, metrics, ()
    )


def by_hand(fed, cache, rows):
    """One client and one image at a time."""
    found = []
    for k in range(3):
        right = []
        for n in range(COUNT) if rows is None else rows[k]:
            image = cache.rows([Item(str(n), 0)], None)[None]
            with torch.no_grad():
                right.append(int(fed.method.logits(fed.model([k]), image, NAMES).argmax()) == n % len(NAMES))
        found.append(100 * np.mean(right))
    return np.array(found)


@pytest.mark.parametrize("name", ["PromptFL", "FedPGP", "CLIP", "FedOTP", "pFedMMA", "FedMaPLe"])
@pytest.mark.parametrize("rows", [None, ((0, 1, 2, 40), (7,), (3, 30, 39))], ids=["all", "own rows"])
def test_accuracy_is_the_share_of_right_answers(name, rows):
    method = make_method(name, random_clip())
    fed = federation(method) if method.trains else federation_of_clip(method)
    if method.trains:
        fed.run_round(0)
    cache = PixelCache(method)
    metrics = {"asked": Metric("base", rows)}
    accuracy = Evaluator(task(**metrics), cache, device="cpu")(fed)["asked"]
    np.testing.assert_allclose(accuracy, by_hand(fed, cache, rows), atol=1e-9)


def federation_of_clip(method):
    from fedbench.engine.federation import Federation

    return Federation(method, None, counts=[1, 1, 1], seed=0)


def test_several_metrics_share_a_pool():
    method = make_method("FedPGP", random_clip())
    fed = federation(method)
    metrics = {"local": Metric("base", ((0, 5), (1, 6), (2, 7))), "base": Metric("base")}
    found = Evaluator(task(**metrics), PixelCache(method), device="cpu")(fed)
    assert set(found) == {"local", "base"}
    assert all(x.shape == (3,) for x in found.values())


def test_the_mean_over_clients_is_unweighted():
    told = summary({"local": np.array([100.0, 50.0, 0.0])})
    assert told == {"local": {"mean": 50.0, "clients": [100.0, 50.0, 0.0]}}


@pytest.mark.parametrize("name", ["FedPGP", "pFedMMA"])
def test_a_model_that_all_clients_hold_is_tested_once(name, monkeypatch):
    method = make_method(name, random_clip())
    fed, cache, seen = federation(method), PixelCache(method), []
    plain = method.logits
    monkeypatch.setattr(method, "logits", lambda p, x, names: seen.append(len(x)) or plain(p, x, names))
    evaluator = Evaluator(task(asked=Metric("base")), cache, device="cpu")
    np.testing.assert_allclose(evaluator(fed)["asked"], by_hand(fed, cache, None), atol=1e-9)
    start = seen[: -3 * COUNT]
    assert set(start) == {1}, "all clients start alike"
    fed.run_round(0)
    seen.clear()
    evaluator(fed)
    assert sum(seen) == 3 * len(start), "and differ after a round"


@pytest.mark.parametrize("name", ["PromptFL", "FedPGP", "FedOTP", "pFedMMA", "FedMaPLe", "pLoRA"])
@pytest.mark.parametrize("rows", [None, (tuple(range(35)), (7,), (3, 30, 39))], ids=["all", "own rows"])
@pytest.mark.parametrize("images", [1, 5, 33, 1000])
def test_pools_that_are_walked_in_pieces_give_the_same_scores(name, rows, images, monkeypatch):
    """To the last bit, and in the same passes where a pass fits into a piece."""
    method = make_method(name, random_clip())
    fed, cache = federation(method), PixelCache(method)
    fed.run_round(0)
    monkeypatch.setattr(
        evaluate, "LOGITS_AT_ONCE", 4 * 3 * len(NAMES) * 5
    )  # text side: some images in a pass

    def scores():
        found, plain = [], method.logits
        monkeypatch.setattr(
            method, "logits", lambda p, x, names: found.append(plain(p, x, names)) or found[-1]
        )
        accuracy = Evaluator(task(asked=Metric("base", rows)), cache, device="cpu")(fed)["asked"]
        monkeypatch.setattr(method, "logits", plain)
        return accuracy, found

    held, passes = scores()
    assert cache.sizes == []
    one = cache.rows([Item("0", 0)], None).nbytes
    monkeypatch.setattr(evaluate, "HELD_BYTES", COUNT * one - 1)
    monkeypatch.setattr(evaluate, "PIECE_BYTES", images * one)
    walked, found = scores()
    assert max(cache.sizes) <= images
    assert np.array_equal(walked, held)
    if images >= TOWER_IMAGES:
        assert len(found) == len(passes)
        # in another order: pieces are the outer loop, clients the inner one
        assert sorted(x.flatten().tolist() for x in found) == sorted(x.flatten().tolist() for x in passes)


def test_a_mean_over_no_client_is_not_there():
    found = summary({"local": np.array([np.nan, 50.0]), "novel": np.array([np.nan, np.nan])})
    assert found["local"] == {"mean": 50.0, "clients": [None, 50.0]}
    assert found["novel"] == {"mean": None, "clients": [None, None]}
