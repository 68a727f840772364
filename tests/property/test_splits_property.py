"""What holds for every task of the protocols beside base-to-novel, whatever the dataset, the options and the seed."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.splits.blocks import published_blocks
from fedbench.task import Task

PARTS = ("train", "val", "test")
seeds = st.integers(0, 2**32 - 1)


class Domains(Dataset):
    """Lists only: `counts[domain][label]` is the number of (train, val, test) images."""

    name = "domains"

    def __init__(self, counts: list[list[tuple[int, int, int]]]):
        self.domains = tuple(f"d{k}" for k in range(len(counts)))
        self.classnames = tuple(f"class_{k}" for k in range(len(counts[0])))
        self.superclasses = tuple(label // 2 for label in range(len(self.classnames)))
        self.source = "official"
        self.parts = {
            part: tuple(
                Item(f"{domain}/class_{label}/{part}_{i}.jpg", label, domain)
                for domain, classes in zip(self.domains, counts, strict=True)
                for label, sizes in enumerate(classes)
                for i in range(sizes[position])
            )
            for position, part in enumerate(PARTS)
        }

    def open(self, item: Item) -> Any:
        raise AssertionError("a split must not open images")

    def fingerprint(self, item: Item) -> str:
        raise AssertionError("a split must not read files")


@st.composite
def datasets(draw: st.DrawFn, *, least: int = 1, most: int = 5) -> Domains:
    """Two to four domains with the same two to six classes."""
    classes = draw(st.integers(2, 6))
    sizes = st.tuples(st.integers(least, most), st.integers(0, 2), st.integers(least, most))
    domain = st.lists(sizes, min_size=classes, max_size=classes)
    return Domains(draw(st.lists(domain, min_size=2, max_size=4)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Any], Domains]:
    """A protocol, options under which a task exists, and a dataset."""
    protocol = draw(
        st.sampled_from(["class-disjoint", "leave-one-domain-out", "dirichlet", "domain-label-skew"])
    )
    shots = draw(st.integers(1, 4))
    if protocol == "class-disjoint":
        dataset = draw(datasets())
        clients, partition = (
            draw(st.integers(1, len(dataset.classnames))),
            draw(st.sampled_from(["published", "balanced"])),
        )
        if partition == "published":
            assume(all(published_blocks(len(dataset.classnames), clients=clients, rng=random.Random(0))))
        return protocol, {"clients": clients, "shots": shots, "partition": partition}, dataset
    if protocol == "leave-one-domain-out":
        dataset = draw(datasets())
        options = {
            "target": draw(st.sampled_from(dataset.domains)),
            "target_eval": draw(st.sampled_from(["all", "test"])),
        }
        return protocol, options | {"shots": draw(st.sampled_from([None, shots]))}, dataset
    dataset = draw(datasets(least=8, most=20))
    beta = draw(st.sampled_from([0.5, 1.0, 10.0]))
    if protocol == "domain-label-skew":
        return protocol, {"clients_per_domain": draw(st.integers(1, 2)), "beta": beta, "min_size": 1}, dataset
    scheme, compat = (
        draw(st.sampled_from(["labeldir", "labeldir100"])),
        draw(st.sampled_from(["independent", "published"])),
    )
    return (
        protocol,
        {"scheme": scheme, "compat": compat, "clients": draw(st.integers(1, 3)), "beta": beta, "min_size": 1},
        dataset,
    )


def make(case: tuple[str, dict[str, Any], Domains], seed: int) -> Task:
    protocol, options, dataset = case
    split = SPLITS[protocol]
    try:
        return split(split.Options(**options)).make(dataset, seed=seed)
    except FedbenchError as error:  # a draw of labeldir100 may leave a client without a test image
        assume("labeldir100" not in str(error))
        raise


def keys(items: Any) -> list[str]:
    return [item.key for item in items]


def trained(task: Task) -> list[str]:
    return [key for client in task.clients for key in keys(client.train)]


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=seeds)
def test_clients_are_disjoint_and_nothing_of_the_tests_is_trained_on(case, seed: int) -> None:
    task = make(case, seed)
    everything = trained(task) + [key for pool in task.pools.values() for key in keys(pool.items)]
    assert len(set(everything)) == len(everything)
    part = {item.key: name for name in PARTS for item in task.dataset.parts[name]}
    assert {part[key] for key in trained(task)} == {"train"}
    assert {part[key] for key in keys(task.pools["val"].items)} <= {"val"} if "val" in task.pools else True
    assert all(client.train for client in task.clients)


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=seeds)
def test_label_name_and_folder_agree_for_every_item(case, seed: int) -> None:
    task = make(case, seed)
    for names, items in (
        *((task.classnames, client.train) for client in task.clients),
        *((pool.classnames, pool.items) for pool in task.pools.values()),
    ):
        assert all(names[item.label] == item.key.split("/")[1] for item in items)


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=seeds)
def test_tasks_are_complete(case, seed: int) -> None:
    protocol, options, dataset = case
    task = make(case, seed)
    if protocol == "leave-one-domain-out":
        held_out = dataset.domain_parts(options["target"])
        wanted = (
            (*held_out["train"], *held_out["test"]) if options["target_eval"] == "all" else held_out["test"]
        )
        assert task.pools["target"].items == wanted
        assert [client.name for client in task.clients] == [
            d for d in dataset.domains if d != options["target"]
        ]
        elsewhere = {i.domain for c in task.clients for i in c.train}
        elsewhere |= {i.domain for i in task.pools["val"].items} if "val" in task.pools else set()
        assert options["target"] not in elsewhere
        assert all({i.domain for i in c.train} == {c.name} for c in task.clients)
    elif options.get("scheme") != "labeldir100":
        assert sorted(keys(task.pools["test"].items)) == sorted(keys(dataset.parts["test"]))
    if "shots" in options and options["shots"] is not None:
        drawn = Counter(
            (item.domain if protocol != "class-disjoint" else "", item.label)
            for c in task.clients
            for item in c.train
        )
        assert set(drawn.values()) <= set(range(1, options["shots"] + 1))
    elif protocol == "leave-one-domain-out":
        assert sorted(trained(task)) == sorted(
            keys(i for i in dataset.parts["train"] if i.domain != options["target"])
        )
    elif options.get("scheme") == "labeldir100":
        each = (len(dataset.parts["train"]) + len(dataset.parts["test"])) // options["clients"]
        assert {
            len(c.train) + len(r) for c, r in zip(task.clients, task.metrics["local"].rows, strict=True)
        } == {each}
        left = sum(len(dataset.parts[part]) for part in ("train", "test")) - each * options["clients"]
        assert any("left over" in note for note in task.notes) == (left > 0)
    else:
        assert sorted(trained(task)) == sorted(keys(dataset.parts["train"]))


@settings(max_examples=100, deadline=None)
@given(case=cases(), seed=seeds)
def test_rows_are_the_clients_own_and_cover_the_pool_once(case, seed: int) -> None:
    protocol, _, _ = case
    task = make(case, seed)
    assert set(task.columns) == set(task.metrics) - {"val"}
    for metric in task.metrics.values():
        if metric.rows is None:
            assert protocol == "leave-one-domain-out"
            continue
        items = task.pools[metric.pool].items
        assert sorted(row for rows in metric.rows for row in rows) == list(range(len(items)))
        for client, rows in zip(task.clients, metric.rows, strict=True):
            assert rows
            if protocol == "class-disjoint":
                assert {items[row].label for row in rows} <= {item.label for item in client.train}
            if protocol == "domain-label-skew":
                assert {items[row].domain for row in rows} == {client.name.split()[0]}


@settings(max_examples=100, deadline=None)
@given(case=cases(), seed=seeds, noise=st.integers(0, 2**32 - 1))
def test_is_pure_and_leaves_global_generators_alone(case, seed: int, noise: int) -> None:
    task = make(case, seed)
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(noise)
        np.random.seed(noise)
        torch.manual_seed(noise)
        before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
        again = make(case, seed)
        after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
    assert again.description() == task.description()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


@settings(max_examples=60, deadline=None)
@given(dataset=datasets(least=8, most=20), seed=seeds)
def test_the_quirks_change_what_they_say_and_nothing_else(dataset: Domains, seed: int) -> None:
    split = SPLITS["domain-label-skew"]
    options = split.Options(clients_per_domain=2, beta=10.0, min_size=1)
    plain = split(options).make(dataset, seed=seed)
    named = split(options, ("unordered-classnames",)).make(dataset, seed=seed)
    assert sorted(named.classnames) == sorted(plain.classnames)
    assert named.clients == plain.clients
    mixed = split(options, ("mismatched-labels",)).make(dataset, seed=seed)
    assert mixed.classnames == plain.classnames
    for ours, theirs in zip(plain.clients, mixed.clients, strict=True):
        domain = dataset.domain_parts(ours.name.split()[0])["train"]
        assert [i.label for i in theirs.train] == [i.label for i in ours.train]
        assert keys(theirs.train) == keys(domain[: len(ours.train)])
    tested = {
        client.name: rows for client, rows in zip(mixed.clients, mixed.metrics["local"].rows, strict=True)
    }
    items = mixed.pools["test"].items
    first, second = (keys(items[row] for row in tested[f"d0 {k}"]) for k in (0, 1))
    assert first[: len(second)] == second[: len(first)], "all clients of a domain see the same first images"


@pytest.mark.parametrize("protocol", ["leave-one-domain-out", "domain-label-skew"])
def test_domain_protocols_need_domains(listed, protocol: str) -> None:
    split = SPLITS[protocol]
    options = split.Options(**({"target": "photo"} if protocol == "leave-one-domain-out" else {}))
    with pytest.raises(FedbenchError, match="needs a dataset of two or more domains; listed has none"):
        split(options).make(listed([(4, 1, 1)] * 4), seed=1)
