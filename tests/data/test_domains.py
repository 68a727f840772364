"""Domain datasets: FedBN's pickles and plain folders, in the spellings of mirrors."""

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedbench.data.dataset import Item
from fedbench.data.domains import DomainDataset
from fedbench.datasets.office_caltech10 import OfficeCaltech10
from fedbench.errors import FedbenchError
from tests.helpers.trees import class_folders, domain_folders, fedbn_pickles, image


class Pens(DomainDataset):
    """Two classes in two domains, five images each."""

    name = "pens"
    title = "Pens"
    bibtex = "none."
    image_folders = ("pens", "pens-mirror")
    size = 20
    n_classes = 2
    download = "pens.zip from https://example.org"
    domains = ("ink", "lead")
    classnames = ("ball_pen", "quill")
    aliases = {"ballpen": "ball_pen", "graphite": "lead"}


@pytest.fixture
def fedbn(tmp_path: Path) -> Path:
    domain_folders(tmp_path / "pens", Pens.domains, Pens.classnames)
    fedbn_pickles(tmp_path / "pens", Pens.domains, Pens.classnames)
    return tmp_path


def write(root: Path, pair: Any, file: str = "ink_train.pkl") -> None:
    (root / "pens" / file).write_bytes(pickle.dumps(pair))


def paths(dataset: DomainDataset, part: str) -> list[tuple[str, int, str]]:
    return [(item.key, item.label, item.domain) for item in dataset.parts[part]]


def test_pickles_give_the_split_in_their_order(fedbn: Path) -> None:
    pair = (
        np.array(["pens/ink/quill/image_0002.jpg", "pens/ink/ball_pen/image_0000.jpg"]),
        ["quill", "ball_pen"],
    )
    write(fedbn, pair)
    dataset = Pens(fedbn)
    assert (dataset.source, dataset.missing, dataset.domains) == ("official", 0, ("ink", "lead"))
    assert paths(dataset, "train")[:3] == [
        ("ink/quill/image_0002.jpg", 1, "ink"),
        ("ink/ball_pen/image_0000.jpg", 0, "ink"),
        ("lead/ball_pen/image_0000.jpg", 0, "lead"),
    ]
    assert [len(dataset.parts[part]) for part in ("train", "val", "test")] == [10, 0, 4]
    assert dataset.open(dataset.parts["train"][0]).mode == "RGB"


@pytest.mark.parametrize(
    "container",
    [
        lambda column: np.array(column),
        lambda column: np.array(column, dtype=object),
        lambda column: np.array(column, dtype="S"),
        list,
        tuple,
    ],
    ids=["text", "objects", "bytes", "list", "tuple"],
)
@pytest.mark.parametrize("outer", [tuple, list, lambda pair: np.array(list(map(list, pair)), dtype=object)])
def test_any_container_of_strings_is_read(container: Any, outer: Any, fedbn: Path) -> None:
    expected = paths(Pens(fedbn), "train")
    rows = [(f"pens/{key}", Pens.classnames[label]) for key, label, domain in expected if domain == "ink"]
    write(fedbn, outer(tuple(container(column) for column in zip(*rows, strict=True))))
    assert paths(Pens(fedbn), "train") == expected


def test_domain_parts_divide_the_parts(fedbn: Path) -> None:
    dataset = Pens(fedbn)
    parts = {domain: dataset.domain_parts(domain) for domain in dataset.domains}
    for part in ("train", "val", "test"):
        assert parts["ink"][part] + parts["lead"][part] == dataset.parts[part]
        assert {item.domain for item in parts["lead"][part]} <= {"lead"}
    with pytest.raises(FedbenchError, match=r"unknown domain of pens 'inc'; did you mean ink\?"):
        dataset.domain_parts("inc")


def test_a_mirrors_spelling_is_the_same_dataset(tmp_path: Path) -> None:
    domain_folders(tmp_path / "a/pens", Pens.domains, Pens.classnames)
    domain_folders(tmp_path / "b/pens-mirror", ("Ink", "Graphite"), ("Ballpen", "quill"))
    domain_folders(tmp_path / "c/pens", ("ink", "lead"), ("ball-pen", "Quill"))
    nested = tmp_path / "d/pens"
    for domain in Pens.domains:
        class_folders(nested / domain / "images", *Pens.classnames, count=5)
    datasets = [Pens(tmp_path / letter) for letter in "abcd"]
    assert [dataset.source for dataset in datasets] == ["own"] * 4
    for other in datasets[1:]:
        assert other.parts == datasets[0].parts
        assert other.open(other.parts["test"][0]).size == (8, 6)
        assert other.fingerprint(other.parts["test"][0])


def test_pickles_find_the_images_of_a_mirror(fedbn: Path) -> None:
    expected = Pens(fedbn).parts
    (fedbn / "pens/lead").rename(fedbn / "pens/graphite")
    (fedbn / "pens/ink/ball_pen").rename(fedbn / "pens/ink/ballpen")
    dataset = Pens(fedbn)
    assert dataset.parts == expected
    for item in (dataset.parts["train"][0], dataset.parts["test"][-1]):
        assert dataset.open(item).mode == "RGB"


def test_the_own_split_is_80_20_in_every_domain_and_class_and_never_changes(tmp_path: Path) -> None:
    domain_folders(tmp_path / "pens", Pens.domains, Pens.classnames)
    dataset = Pens(tmp_path)
    counts = Counter((item.domain, item.label) for item in dataset.parts["train"])
    assert set(counts.values()) == {4}
    assert len(counts) == 4
    assert paths(dataset, "test") == [
        ("ink/ball_pen/image_0000.jpg", 0, "ink"),
        ("ink/quill/image_0001.jpg", 1, "ink"),
        ("lead/ball_pen/image_0004.jpg", 0, "lead"),
        ("lead/quill/image_0004.jpg", 1, "lead"),
    ]


def test_an_incomplete_tree_needs_allow_missing(tmp_path: Path) -> None:
    domain_folders(tmp_path / "pens", ("ink",), Pens.classnames)
    with pytest.raises(
        FedbenchError, match=r"pens: 10 of 20 images are missing .* 10 that exist: --allow-missing"
    ):
        Pens(tmp_path)
    dataset = Pens(tmp_path, allow_missing=True)
    assert (dataset.missing, len(dataset.domain_parts("lead")["train"])) == (10, 0)
    (tmp_path / "pens/lead").mkdir()
    image(tmp_path / "pens/lead/quill/only.jpg")
    with pytest.raises(FedbenchError, match=r"class 'quill' has 1 of the 2 images .* in domain 'lead'"):
        Pens(tmp_path, allow_missing=True)


def test_listed_images_that_are_missing_are_named(fedbn: Path) -> None:
    (fedbn / "pens/lead/quill/image_0004.jpg").unlink()
    with pytest.raises(
        FedbenchError, match=r"pens: 1 of 20 images are missing .*\(lead/quill/image_0004.jpg\)"
    ):
        Pens(fedbn)
    dataset = Pens(fedbn, allow_missing=True)
    assert (dataset.missing, len(dataset.parts["test"])) == (1, 3)


def test_two_folders_of_one_class_are_refused(fedbn: Path) -> None:
    image(fedbn / "pens/ink/ballpen/x.jpg")
    with pytest.raises(
        FedbenchError, match=r"'ink/ball_?pen' and 'ink/ball_?pen' in .* are both ink/ball_pen"
    ):
        Pens(fedbn)


GOOD = "pens/ink/quill/image_0000.jpg"


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            ([GOOD], ["ball_pen"]),
            "is listed as ink, ball_pen, and lies in ink, quill; labels and folders must agree",
        ),
        ((["pens/lead/quill/image_0000.jpg"], ["quill"]), "is listed as ink, quill, and lies in lead, quill"),
        (([GOOD], ["crayon"]), "'crayon' is no class of pens"),
        (([GOOD, GOOD], ["quill", "quill"]), "is listed twice"),
        (
            (["pens/ink/quill/image_0004.jpg"], ["quill"]),
            "image_0004.jpg' is listed twice",
        ),  # and in the test
        ((["/etc/ink/quill/x.jpg"], ["quill"]), "is not pens/DOMAIN/CLASS/FILE"),
        ((["pens/../ink/quill/x.jpg"], ["quill"]), "is not pens/DOMAIN/CLASS/FILE"),
        ((["pens/quill/x.jpg"], ["quill"]), "is not pens/DOMAIN/CLASS/FILE"),
        (([GOOD], ["quill", "quill"]), "has 1 paths and 2 class names"),
        (([], []), "has 0 paths and 0 class names"),
        ([GOOD], "does not hold a pair"),
        (([GOOD], [1]), "holds something else than lists of text"),
        (({"a": GOOD}, ["quill"]), "holds something else than lists of text"),
        ((np.array([b"\xff"]), ["quill"]), "is damaged, its text is none"),
    ],
)
def test_pickles_that_disagree_with_themselves_are_refused(pair: Any, message: str, fedbn: Path) -> None:
    write(fedbn, pair)
    with pytest.raises(FedbenchError, match=message) as refused:
        Pens(fedbn, allow_missing=True)
    assert "\n" not in str(refused.value)
    assert str(fedbn / "pens") in str(refused.value)


def test_a_malicious_pickle_does_not_run(fedbn: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {fedbn / 'trace'}",)

    write(fedbn, ([GOOD], Payload()))
    with pytest.raises(FedbenchError, match=r"ink_train.pkl is refused: it asks for posix.system"):
        Pens(fedbn)
    assert not (fedbn / "trace").exists()


def test_unreadable_images_are_left_out_wherever_the_mirror_has_them(tmp_path: Path) -> None:
    domain_folders(tmp_path / "pens", ("ink", "graphite"), Pens.classnames)
    (tmp_path / "pens/graphite/quill/image_0000.jpg").write_bytes(b"no image")
    dataset = Pens(tmp_path, allow_missing=True)
    assert (dataset.missing, dataset.unreadable) == (0, 1)
    assert dataset.left_out == {"lead/quill/image_0000.jpg": "unreadable"}


def test_real_office_images_in_a_mirrors_spelling(shared: Path) -> None:
    with pytest.raises(FedbenchError, match=r"office_caltech10: 2135 of 2533 images are missing"):
        OfficeCaltech10(shared / "data")
    dataset = OfficeCaltech10(shared / "data", allow_missing=True)
    assert (dataset.source, dataset.missing, dataset.unreadable) == ("own", 2135, 0)
    counts = {d: tuple(len(dataset.domain_parts(d)[p]) for p in ("train", "test")) for d in dataset.domains}
    assert counts == {"amazon": (80, 20), "caltech": (80, 20), "dslr": (78, 20), "webcam": (80, 20)}
    items = [item for part in dataset.parts.values() for item in part]
    assert {item.key.split("/")[1] for item in items} == set(dataset.classnames)
    assert all(item.key.split("/")[:2] == [item.domain, dataset.classnames[item.label]] for item in items)
    assert dataset.open(Item(items[-1].key, 0)).mode == "RGB"


def test_real_office_images_with_fedbns_pickles(shared: Path, tmp_path: Path) -> None:
    """Pickles in FedBN's own spelling over a mirror's images."""
    office = tmp_path / "office_caltech_10"
    office.mkdir()
    real = shared / "data/office_caltech_10"
    for folder in real.iterdir():
        (office / folder.name).symlink_to(folder)
    own = OfficeCaltech10(shared / "data", allow_missing=True)
    for domain in own.domains:
        for part in ("train", "test"):
            items = own.domain_parts(domain)[part]
            pair = (
                np.array([f"office_caltech_10/{item.key}" for item in items]),
                np.array([own.classnames[item.label] for item in items]),
            )
            (office / f"{domain}_{part}.pkl").write_bytes(pickle.dumps(pair, protocol=2))
    dataset = OfficeCaltech10(tmp_path)
    assert (dataset.source, dataset.missing) == ("official", 0)
    assert dataset.parts == own.parts
    assert dataset.open(dataset.parts["train"][0]).mode == "RGB"
