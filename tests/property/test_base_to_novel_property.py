"""What holds for every base-to-novel task, whatever the dataset, the options and the seed."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedbench.data.dataset import Item
from fedbench.errors import FedbenchError
from fedbench.splits.base_to_novel import BaseToNovel
from fedbench.splits.blocks import published_blocks
from fedbench.task import Task

counts = st.lists(st.tuples(st.integers(1, 7), st.integers(0, 3), st.integers(1, 4)), min_size=2, max_size=16)
partitions = st.sampled_from(["published", "balanced"])
seeds = st.integers(0, 2**32)


@st.composite
def cases(draw: st.DrawFn) -> dict:
    """A dataset's counts, a list order of its classes, and options with no more clients than base classes."""
    sizes = draw(counts)
    base = (len(sizes) + 1) // 2
    clients, partition = draw(st.integers(1, base)), draw(partitions)
    if partition == "published":  # its rule leaves clients empty for some counts
        assume(all(published_blocks(base, clients=clients, rng=random.Random(0))))
    return {
        "counts": sizes,
        "order": draw(st.permutations(range(len(sizes)))),
        "options": BaseToNovel.Options(clients=clients, shots=draw(st.integers(1, 6)), partition=partition),
    }


def make(listed, case: dict, seed: int) -> Task:
    return BaseToNovel(case["options"]).make(listed(case["counts"], order=case["order"]), seed=seed)


def folder(item: Item) -> str:
    return item.key.split("/")[0]


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=seeds)
def test_invariants(listed, case: dict, seed: int) -> None:
    task = make(listed, case, seed)
    options = case["options"]
    base, novel = task.pools["base"], task.pools["novel"]

    owned = [{item.label for item in client.train} for client in task.clients]
    assert len(task.clients) == options.clients
    assert (
        sum(map(len, owned)) == len(set().union(*owned)) == len(task.classnames)
    )  # disjoint, and all of base
    assert set().union(*owned) == set(range(len(task.classnames)))

    assert len(base.classnames) == -(-len(case["counts"]) // 2)
    assert not set(base.classnames) & set(novel.classnames)
    assert set(base.classnames) | set(novel.classnames) == {f"class_{k}" for k in range(len(case["counts"]))}

    for names, items in (
        *((task.classnames, client.train) for client in task.clients),
        *((pool.classnames, pool.items) for pool in task.pools.values()),
    ):
        assert all(names[item.label] == folder(item) for item in items)

    keys = [item.key for client in task.clients for item in client.train]
    tested = [item.key for pool in task.pools.values() for item in pool.items]
    assert len(set(keys + tested)) == len(keys + tested)

    drawn = Counter(folder(item) for client in task.clients for item in client.train)
    assert drawn == {
        f"class_{k}": min(options.shots, case["counts"][k][0]) for k in range(len(task.classnames))
    }


@settings(max_examples=80, deadline=None)
@given(case=cases(), seed=seeds)
def test_rows_are_of_own_classes_and_cover_the_pool_once(listed, case: dict, seed: int) -> None:
    task = make(listed, case, seed)
    for name in {"local", "val"} & set(task.metrics):
        metric = task.metrics[name]
        items = task.pools[metric.pool].items
        assert metric.rows is not None
        assert sorted(row for rows in metric.rows for row in rows) == list(range(len(items)))
        for client, rows in zip(task.clients, metric.rows, strict=True):
            assert rows
            assert {items[row].label for row in rows} <= {item.label for item in client.train}


@settings(max_examples=80, deadline=None)
@given(case=cases(), seed=seeds, noise=st.integers(0, 2**32 - 1))
def test_is_pure_and_leaves_global_generators_alone(listed, case: dict, seed: int, noise: int) -> None:
    task = make(listed, case, seed)
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(noise)
        np.random.seed(noise)
        torch.manual_seed(noise)
        before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
        again = make(listed, case, seed)
        after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
    assert again.description() == task.description()
    assert again.hash == task.hash
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


@pytest.mark.parametrize("partition", ["published", "balanced"])
@settings(max_examples=30, deadline=None)
@given(sizes=counts, extra=st.integers(1, 20))
def test_more_clients_than_base_classes_are_always_refused(
    listed, partition: str, sizes: list, extra: int
) -> None:
    clients = (len(sizes) + 1) // 2 + extra
    split = BaseToNovel(BaseToNovel.Options(clients=clients, partition=partition))
    with pytest.raises(FedbenchError, match=f"cannot be dealt to {clients} clients"):
        split.make(listed(sizes), seed=1)
