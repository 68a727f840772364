"""The checks of datasets find what they are for; one fault in each class here."""

import random

import pytest
from PIL import Image as PILImage

from fedbench.data.dataset import Item
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS
from fedbench.testing import datasets
from tests.helpers.found import found

Shapes = DATASETS["shapes"]


def dataset(change=None, **attributes):
    """`shapes` with a fault: `change` is applied to each instance."""

    class Faulty(Shapes):
        def __init__(self, root, *, allow_missing=False):
            super().__init__(root, allow_missing=allow_missing)
            if change:
                change(self)

    for key, value in attributes.items():
        setattr(Faulty, key, value)
    Faulty.name = "faulty"
    return Faulty


def appended(*items):
    def change(self):
        self.parts = {**self.parts, "test": (*self.parts["test"], *items)}

    return change


FIRST = Item("photo/striped red star/train/0000", 0, "photo")
DATASET_FAULTS = {
    "no title": (dataset(title=""), "it says what it is", "`title` is empty"),
    "published": (dataset(published=(1, 2)), "it says what it is", "train, val and test"),
    "list of names": (
        dataset(lambda self: setattr(self, "classnames", list(self.classnames))),
        "class names are ordered and unique",
        "is a list",
    ),
    "one name twice": (
        dataset(lambda self: setattr(self, "classnames", (self.classnames[1], *self.classnames[1:]))),
        "class names are ordered and unique",
        "is the name of two classes",
    ),
    "source": (
        dataset(lambda self: setattr(self, "source", "web")),
        "class names are ordered and unique",
        "`source` is 'web'",
    ),
    "label": (
        dataset(appended(Item("x", 40, "photo"))),
        "labels are in range and no image is in two parts",
        "1 labels are no ints below 40; the first: 40 of x",
    ),
    "two parts": (
        dataset(lambda self: appended(self.parts["train"][0])(self)),
        "labels are in range and no image is in two parts",
        "1 images are listed twice",
    ),
    "backslash": (
        dataset(appended(Item("a\\b", 0, "photo"))),
        "labels are in range and no image is in two parts",
        "keys are relative and have / in them",
    ),
    "no part": (
        dataset(lambda self: setattr(self, "parts", {"train": self.parts["train"]})),
        "labels are in range and no image is in two parts",
        "they must be train, val, test",
    ),
    "grey": (
        dataset(open=lambda self, item: PILImage.new("L", (8, 8))),
        "images are rgb and fingerprints stable",
        "is a L image",
    ),
    "fingerprint": (
        dataset(fingerprint=lambda self, item: str(random.random())),
        "images are rgb and fingerprints stable",
        "another one the second time",
    ),
    "any domain": (
        dataset(domain_parts=lambda self, domain: self.__dict__.get("parts", {})),
        "domains divide the images",
        "a domain that does not exist is no error",
    ),
    "no note": (
        dataset(notes=lambda self: [], missing=7),
        "what was left out is said",
        "7 images are missing",
    ),
    "order": (
        dataset(
            lambda self: setattr(
                self, "parts", {**self.parts, "val": tuple(random.sample(self.parts["val"], 50))}
            )
        ),
        "two constructions agree",
        "in another order",
    ),
}


@pytest.mark.parametrize("fault", DATASET_FAULTS)
def test_a_fault_of_a_dataset_is_found(fault):
    cls, title, words = DATASET_FAULTS[fault]
    texts = found(datasets.CHECKS, datasets.DatasetTrial(cls), title)
    assert any(words in text for text in texts), texts


def test_a_dataset_without_its_images_is_checked_as_far_as_it_goes(tmp_path):
    class Elsewhere(Shapes):
        """Not here."""

        name, image_folders, download = "elsewhere", ("elsewhere",), "it from https://example.org"

        def __init__(self, root, *, allow_missing=False):
            raise FedbenchError("elsewhere: no images; --data-root, or get it from https://example.org")

    (line,) = datasets.examine(Elsewhere, root=tmp_path).lines()
    assert line == f"elsewhere: 2 checks passed; the others need its images, which are not below '{tmp_path}'"
    (tmp_path / "elsewhere").mkdir()
    (line,) = datasets.examine(Elsewhere, root=tmp_path).lines()
    assert line.startswith("elsewhere: it can be made of what is there: elsewhere: no images;")


def test_a_refusal_that_does_not_help_is_found():
    class Curt(Shapes):
        """Says little."""

        name, image_folders, download = "curt", ("curt",), "it from https://example.org"

        def __init__(self, root, *, allow_missing=False):
            raise FedbenchError("no\nimages")

    texts = found(datasets.CHECKS, datasets.DatasetTrial(Curt), "without its files it says how to get them")
    assert [text.partition(":")[0] for text in texts] == [
        "the refusal must begin with 'curt",
        "the refusal has several lines",
        "the refusal does not say where the images are looked for (--data-root)",
        "the refusal does not say how to get the images (`download`)",
    ]
