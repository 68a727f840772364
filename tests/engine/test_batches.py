"""Local batches: the papers' loader rules, the same for every method and in any company."""

from types import SimpleNamespace

import pytest
import torch

from fedbench.config import RunConfig
from fedbench.data.dataset import Item, Preparation
from fedbench.engine import batches
from fedbench.engine.batches import FeatureBatches
from fedbench.engine.transforms import TEST_VIEW
from fedbench.task import Client, Task


class NumberedCache:
    """Features that say which image and view they are."""

    def __init__(self):
        self.asked, self.most = [], 0

    def rows(self, items, view):
        self.most = max(self.most, len(items))
        return torch.tensor([[float(item.key), float(view)] for item in items])

    def ensure(self, items, views):
        self.asked += views


def data(counts, *, epochs=2, preparation=None, **settings):
    clients = tuple(
        Client(f"client {k}", tuple(Item(str(100 * k + i), i % 5) for i in range(n)))
        for k, n in enumerate(counts)
    )
    dataset = SimpleNamespace(notes=list, preparation=preparation)
    task = Task("p", dataset, tuple("abcde"), clients, {}, {}, ())
    config = RunConfig(
        method="m", dataset="d", **{"batch_size": 4, "rounds": 3, "local_epochs": epochs} | settings
    )
    return FeatureBatches(task, NumberedCache(), config, epochs=epochs, device="cpu")


def images(step, k):
    return step.images[k, step.valid[k], 0].int().tolist()


def test_each_epoch_goes_over_the_images_once_and_drops_the_last_short_batch():
    steps = list(data([10]).steps(0, [0]))
    assert [s.epoch for s in steps] == [0, 0, 1, 1]
    for epoch in (0, 1):
        seen = [i for s in steps if s.epoch == epoch for i in images(s, 0)]
        assert len(seen) == len(set(seen)) == 8
        assert set(seen) <= set(range(10))
    assert [images(s, 0) for s in steps[:2]] != [images(s, 0) for s in steps[2:]]


def test_a_client_with_less_than_a_batch_has_one_short_batch():
    (step, _) = data([3]).steps(0, [0])
    assert sorted(images(step, 0)) == [0, 1, 2]
    assert step.valid.sum() == 3
    assert step.images.shape == (1, 4, 2)


def test_clients_without_a_batch_left_sit_out():
    steps = [s for s in data([12, 5, 2]).steps(1, [0, 1, 2]) if s.epoch == 0]
    assert [s.active.tolist() for s in steps] == [[True] * 3, [True, False, False], [True, False, False]]
    assert all(s.valid.any(dim=1).all() for s in steps), "fillers must be harmless, not empty"


def test_labels_belong_to_their_images():
    for step in data([12, 9]).steps(2, [0, 1]):
        for k in (0, 1):
            assert step.labels[k, step.valid[k]].tolist() == [i % 100 % 5 for i in images(step, k)]


def test_batches_do_not_depend_on_the_company_or_the_method():
    together = list(data([12, 9]).steps(2, [0, 1]))
    alone = list(data([12, 9]).steps(2, [1]))
    assert [images(s, 1) for s in together if s.active[1]] == [images(s, 0) for s in alone]


def test_other_seeds_rounds_and_clients_have_other_orders():
    orders = {
        tuple(images(next(iter(data([12, 12], seed=seed).steps(r, [c]))), 0)[:4])
        for seed in (0, 1)
        for r in (0, 1)
        for c in (0, 1)
    }
    assert len(orders) == 8


def test_every_epoch_of_a_run_reads_its_own_view_unless_capped():
    def views(**settings):
        d = data([4], **settings)
        for r in range(3):
            list(d.steps(r, [0]))
        return d.cache.asked, d.views

    assert views() == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])
    assert views(views=4) == ([0, 1, 2, 3, 0, 1], [0, 1, 2, 3])
    assert views(views=0) == ([TEST_VIEW] * 6, [TEST_VIEW])
    assert views(preparation=Preparation((0.0,), (1.0,))) == ([TEST_VIEW] * 6, [TEST_VIEW])


@pytest.mark.parametrize("counts", [[12, 5, 2], [3], [40, 40]])
def test_features_that_are_too_many_come_batch_by_batch_and_are_the_same(counts, monkeypatch):
    whole = data(counts)
    expected = list(whole.steps(1, range(len(counts))))
    monkeypatch.setattr(batches, "HELD_BYTES", 8 * sum(counts) - 1)  # two numbers of 4 bytes an image
    pieces = data(counts)
    found = list(pieces.steps(1, range(len(counts))))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(parts(a), parts(b), strict=True))
    assert whole.cache.most == sum(counts)
    assert pieces.cache.most == 4 * len(counts), "a batch of four of each client"


def parts(step):
    return step.images, step.labels, step.valid, step.active
