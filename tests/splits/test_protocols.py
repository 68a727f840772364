"""Class-disjoint, leave-one-domain-out and domain-label-skew on lists of known content."""

import json
import random
from pathlib import Path

import pytest

from fedbench.data.dataset import Dataset, Item
from fedbench.datasets.shapes import Shapes
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.task import Task

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "partitions.json").read_text())


def make(protocol: str, dataset: Dataset, *, seed: int = 1, quirks: tuple[str, ...] = (), **options) -> Task:
    split = SPLITS[protocol]
    return split(split.Options(**options), quirks).make(dataset, seed=seed)


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes(Path())


# -- class-disjoint ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", ["37", "47", "101", "102"])
def test_published_clients_own_the_recorded_classes(listed, classes: str) -> None:
    task = make("class-disjoint", listed([(3, 1, 1)] * int(classes)), shots=2)
    assert [sorted({i.label for i in c.train}) for c in task.clients] == GOLDEN["class_blocks"][classes]
    assert (task.columns, task.summary, len(task.classnames)) == (("local",), "", int(classes))


def test_published_images_are_drawn_after_the_reset_and_not_from_the_seed(listed) -> None:
    """An independent derivation of the released split (all classes), with the global generator, as there."""
    dataset = listed([(6, 1, 1)] * 4, order=[2, 0, 3, 1])
    state = random.getstate()
    random.seed(2023)
    order = [0, 1, 2, 3]
    random.shuffle(order)
    expected = []
    for block in (order[:2], order[2:]):
        own = [label for label in (2, 0, 3, 1) if label in block]
        expected.append(
            [i for k in own for i in random.sample([x for x in dataset.parts["train"] if x.label == k], 3)]
        )
    random.setstate(state)
    tasks = [make("class-disjoint", dataset, seed=seed, clients=2, shots=3) for seed in (1, 2)]
    for task in tasks:
        assert [list(client.train) for client in task.clients] == expected
    assert {
        make("class-disjoint", dataset, seed=s, clients=2, shots=3, partition="balanced").hash
        for s in range(6)
    } != {tasks[0].hash}


def test_class_disjoint_says_what_is_wrong(listed) -> None:
    with pytest.raises(FedbenchError, match="5 classes of listed cannot be dealt to 10 clients"):
        make("class-disjoint", listed([(4, 1, 1)] * 5))
    with pytest.raises(FedbenchError, match="class-disjoint: client 1 of 2 has no test image of its classes"):
        make("class-disjoint", listed([(4, 1, 1), (4, 1, 0)]), clients=2, partition="published")
    task = make("class-disjoint", listed([(4, 0, 1), (0, 0, 1), (2, 0, 1)]), clients=1, shots=4)
    assert task.classnames == ("class_0", "class_2")
    assert [note.split(",")[0] for note in task.notes] == [
        "1 class (class_1) without a training image",
        "1 of 2 classes have fewer than 4 training images and give all they have (fewest: 2",
        "no validation images",
    ]


# -- leave-one-domain-out ---------------------------------------------------------------------------------


def test_clients_are_the_other_domains_and_all_see_the_target(shapes: Shapes) -> None:
    task = make("leave-one-domain-out", shapes, target="sketch")
    assert [c.name for c in task.clients] == ["photo", "negative", "flat"]
    assert [len(c.train) for c in task.clients] == [1600] * 3
    assert len(task.pools["target"].items) == 1600 + 2000
    assert {i.domain for i in task.pools["target"].items} == {"sketch"}
    assert task.metrics["target"].rows is None
    assert (task.columns, task.summary) == (("target",), "")
    assert (
        len(make("leave-one-domain-out", shapes, target="sketch", target_eval="test").pools["target"].items)
        == 2000
    )


def test_few_shots_of_a_domain_are_its_own_draw_and_nested(shapes: Shapes) -> None:
    four, two = (make("leave-one-domain-out", shapes, target="photo", shots=shots) for shots in (4, 2))
    assert [len(c.train) for c in four.clients] == [160] * 3
    assert set(two.clients[0].train) < set(four.clients[0].train)
    names = [[i.key.partition("/")[2] for i in c.train] for c in four.clients]
    assert names[0] != names[1]
    other = make("leave-one-domain-out", shapes, target="flat", shots=4)
    assert {c.name: c.train for c in other.clients}["sketch"] == {c.name: c.train for c in four.clients}[
        "sketch"
    ]


def test_without_validation_images_a_note_says_so(shapes: Shapes, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Shapes.domain_parts
    monkeypatch.setattr(Shapes, "domain_parts", lambda self, d: {**parts(self, d), "val": ()})
    for protocol, options in (("leave-one-domain-out", {"target": "flat"}), ("domain-label-skew", {})):
        task = make(protocol, shapes, **options)
        assert "val" not in task.metrics
        assert task.notes == ("no validation images, so no val metric and no best-val selection",)


def test_a_wrong_target_is_answered_with_the_nearest_domain(shapes: Shapes) -> None:
    with pytest.raises(FedbenchError, match=r"unknown domain of shapes 'skech'; did you mean sketch\?"):
        make("leave-one-domain-out", shapes, target="skech")


def test_an_empty_domain_is_refused(shapes: Shapes, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Shapes.domain_parts
    empty: dict[str, tuple[Item, ...]] = {"train": (), "val": (), "test": ()}
    monkeypatch.setattr(Shapes, "domain_parts", lambda self, d: empty if d == "flat" else parts(self, d))
    with pytest.raises(FedbenchError, match="domain flat of shapes has no training image"):
        make("leave-one-domain-out", shapes, target="photo")
    with pytest.raises(FedbenchError, match="the target flat of shapes has no image to test on"):
        make("leave-one-domain-out", shapes, target="flat")
    with pytest.raises(FedbenchError, match="domain-label-skew on domain flat of shapes: no draw"):
        make("domain-label-skew", shapes)


# -- domain-label-skew ------------------------------------------------------------------------------------


def test_every_domain_has_its_clients_in_order(shapes: Shapes) -> None:
    task = make("domain-label-skew", shapes, clients_per_domain=2)
    assert [c.name for c in task.clients] == [f"{d} {k}" for d in shapes.domains for k in (0, 1)]
    assert sum(len(c.train) for c in task.clients) == 4 * 1600
    shares = [[[i.label for i in c.train].count(k) for k in range(40)] for c in task.clients]
    assert shares[0] != shares[2], "each domain has its own draw"
    assert make("domain-label-skew", shapes, clients_per_domain=2, seed=2).hash != task.hash


def test_labels_and_images_disagree_under_the_quirk(shapes: Shapes) -> None:
    """About one in forty agrees by chance; without the quirk all do."""
    task = make("domain-label-skew", shapes, quirks=("mismatched-labels",))
    agree = [task.classnames[i.label] == i.key.split("/")[1] for c in task.clients for i in c.train]
    assert sum(agree) / len(agree) < 0.2
    distinct = {i.key for c in task.clients[:3] for i in c.train}
    assert len(distinct) == max(len(c.train) for c in task.clients[:3])


def test_unordered_names_are_another_order_of_the_same_names(shapes: Shapes) -> None:
    tasks = [
        make(
            "leave-one-domain-out",
            shapes,
            seed=seed,
            quirks=("unordered-classnames",),
            target="flat",
            shots=1,
        )
        for seed in (1, 1, 2)
    ]
    assert tasks[0].classnames == tasks[1].classnames != tasks[2].classnames
    assert sorted(tasks[0].classnames) == sorted(shapes.classnames)
    assert sum(a == b for a, b in zip(tasks[0].classnames, shapes.classnames, strict=True)) < 5


def test_reseeded_classes_are_the_same_for_all_seeds(shapes: Shapes) -> None:
    made = {
        (quirk, seed): make("domain-label-skew", shapes, seed=seed, quirks=(quirk,) if quirk else ())
        for quirk in ("", "reseeded-classes")
        for seed in (1, 2)
    }

    def counts(task: Task) -> list[list[int]]:
        return [[[i.label for i in c.train].count(k) for k in range(40)] for c in task.clients]

    assert counts(made["", 1]) != counts(made["", 2])
    found = counts(made["reseeded-classes", 1])
    assert found == counts(made["reseeded-classes", 2])
    # 40 images of every class: nobody is full after the first two, so both are cut at the same places
    assert [client[0] for client in found[:3]] == [client[1] for client in found[:3]]
    assert counts(made["", 1])[0][0] != counts(made["", 1])[0][1]


def test_reseeded_classes_fail_at_once_where_the_released_code_never_ends(shapes: Shapes) -> None:
    with pytest.raises(FedbenchError, match=r"\(1 draws, the best gave \d+\)"):
        make("domain-label-skew", shapes, min_size=500, quirks=("reseeded-classes",))


def test_eight_users_leave_the_last_domain_out(shapes: Shapes) -> None:
    task, whole = (make("domain-label-skew", shapes, quirks=q) for q in (("eight-users",), ()))
    assert [c.name for c in task.clients] == [c.name for c in whole.clients][:8]
    assert {i.domain for i in task.pools["test"].items} == set(shapes.domains[:3])
    assert len(task.metrics["local"].rows or ()) == 8


def test_the_second_domain_is_tested_on_its_training_images(shapes: Shapes) -> None:
    task = make("domain-label-skew", shapes, quirks=("tests-on-training",))
    trained = {i.key for c in task.clients for i in c.train}
    both = {i.domain for i in task.pools["test"].items if i.key in trained}
    assert both == {shapes.domains[1]}


def test_unknown_quirks_are_refused(shapes: Shapes) -> None:
    with pytest.raises(
        FedbenchError,
        match=r"unknown quirk of domain-label-skew 'mismatched-label'; did you mean mismatched-labels\?",
    ):
        make("domain-label-skew", shapes, quirks=("mismatched-label",))
    with pytest.raises(
        FedbenchError, match="class-disjoint has no quirks: 'mismatched-labels' does not apply"
    ):
        make("class-disjoint", shapes, quirks=("mismatched-labels",))


@pytest.mark.parametrize(
    ("protocol", "options", "digest"),
    [
        ("class-disjoint", {"shots": 4}, "86eb44d1a4768ed9"),
        ("class-disjoint", {"shots": 4, "partition": "balanced"}, "70e8dba8d0725b70"),
        ("leave-one-domain-out", {"target": "flat", "shots": 2}, "f360a3297ddd8d0e"),
        ("dirichlet", {"clients": 10}, "aaaf4cd1bfe6ad8d"),
        ("dirichlet", {"clients": 10, "compat": "published"}, "3cdef148700ff241"),
        ("domain-label-skew", {}, "4338f14db0fc58d3"),
    ],
)
def test_tasks_are_pinned(shapes: Shapes, protocol: str, options: dict, digest: str) -> None:
    """A changed draw changes every result: if this fails on purpose, say so in the change log."""
    assert make(protocol, shapes, **options).hash == digest
