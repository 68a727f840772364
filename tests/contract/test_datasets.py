"""What every registered dataset must keep to; one without images on this machine must say how to get them."""

from pathlib import Path

import pytest

from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS
from fedbench.task import Dataset

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(params=list(DATASETS))
def dataset(request: pytest.FixtureRequest) -> Dataset:
    try:
        return DATASETS[request.param](DATA, allow_missing=True)
    except FedbenchError as error:
        if "--data-root" not in str(error):  # its folder is there, so it should have worked
            raise
        pytest.skip(f"the real images of ../shared are not on this machine ({error})")


def refusal(name: str, root: Path) -> FedbenchError | None:
    """The error of a construction; None if it worked."""
    try:
        DATASETS[name](root)
    except FedbenchError as error:
        return error
    return None


@pytest.mark.parametrize("name", list(DATASETS))
def test_constructs_without_files_or_says_how_to_get_them(name: str, tmp_path: Path) -> None:
    error = refusal(name, tmp_path)
    if error is not None:
        assert str(error).startswith(f"{name}: ")
        assert "--data-root" in str(error)
        assert "https://" in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", list(DATASETS))
def test_states_its_name_title_and_citation(name: str) -> None:
    cls = DATASETS[name]
    assert cls.name == name
    assert cls.title
    assert cls.citation.endswith(".")


def test_class_names_are_ordered_and_unique(dataset: Dataset) -> None:
    assert isinstance(dataset.classnames, tuple)
    assert len(set(dataset.classnames)) == len(dataset.classnames) >= 2
    assert all(name == name.strip() != "" for name in dataset.classnames)
    assert dataset.source in ("zhou", "official", "own", "built-in")


def test_labels_are_in_range_and_no_image_is_in_two_parts(dataset: Dataset) -> None:
    assert set(dataset.parts) == {"train", "val", "test"}
    items = [item for part in dataset.parts.values() for item in part]
    assert dataset.parts["train"]
    assert dataset.parts["test"]
    assert {item.label for item in items} <= set(range(len(dataset.classnames)))
    assert len({item.key for item in items}) == len(items)
    assert not any(item.key.startswith("/") or "\\" in item.key for item in items)


def test_images_are_rgb_and_fingerprints_stable(dataset: Dataset) -> None:
    for part in dataset.parts.values():
        for item in part[:: max(len(part) // 5, 1)]:
            image = dataset.open(item)
            assert image.mode == "RGB"
            assert min(image.size) > 0
            assert dataset.fingerprint(item) == dataset.fingerprint(item) != ""


def test_two_constructions_agree(dataset: Dataset) -> None:
    again = type(dataset)(DATA, allow_missing=True)
    assert again.classnames == dataset.classnames
    assert again.parts == dataset.parts
