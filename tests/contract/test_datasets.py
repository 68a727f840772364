"""What every registered dataset must keep to: with real images, else on a small tree in the true format."""

from pathlib import Path

import pytest

from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS
from tests.helpers import trees
from tests.helpers.shared import SHARED

DATA = SHARED / "data"


@pytest.fixture(scope="module", params=[name for name in DATASETS if DATASETS[name].n_classes])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A dataset, and a data root where it is."""
    folders = DATASETS[request.param].image_folders
    if not folders or any((DATA / folder).is_dir() for folder in folders):
        return request.param, DATA
    if request.param not in trees.TREES:
        pytest.skip(
            f"no images of {request.param} on this machine, and no tree of it in tests/datasets/trees.py"
        )
    return request.param, trees.plant(request.param, folders[0], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def dataset(root: tuple[str, Path]) -> Dataset:
    made = DATASETS[root[0]](root[1], allow_missing=True)
    assert isinstance(made, Dataset)
    return made


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
        assert DATASETS[name].download in str(error)
        assert "https://" in str(error) or not DATASETS[name].download
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", list(DATASETS))
def test_states_its_name_and_title(name: str) -> None:
    cls = DATASETS[name]
    assert cls.name == name
    assert cls.title


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


def test_domains_divide_the_items(dataset: Dataset) -> None:
    with pytest.raises(FedbenchError, match=r"no domains|unknown domain of "):
        dataset.domain_parts("no such domain")
    assert len(set(dataset.domains)) == len(dataset.domains)
    seen: set[str] = set()
    for domain in dataset.domains:
        parts = dataset.domain_parts(domain)
        assert set(parts) == {"train", "val", "test"}
        items = [item for part in parts.values() for item in part]
        assert {item.domain for item in items} == {domain}
        assert not seen & {item.key for item in items}
        assert dataset.open(items[0]).mode == "RGB"
        seen |= {item.key for item in items}
    if dataset.domains:
        assert {item.key for part in dataset.parts.values() for item in part} <= seen


def test_facts_are_those_of_the_instance(dataset: Dataset) -> None:
    assert len(dataset.published) in (0, 3)
    assert len(dataset.classnames) <= dataset.n_classes
    assert dataset.notes() == [note for note in dataset.notes() if note]
    assert any("missing" in note for note in dataset.notes()) == bool(dataset.missing)


def test_takes_its_quirks_and_refuses_others(dataset: Dataset, root: tuple[str, Path]) -> None:
    cls = type(dataset)
    assert dataset.active_quirks == frozenset()
    made = cls(root[1], allow_missing=True, quirks=tuple(cls.quirks))
    assert made.active_quirks == frozenset(cls.quirks)
    assert made.parts == dataset.parts
    with pytest.raises(FedbenchError, match="'gray'"):
        cls(root[1], allow_missing=True, quirks=("gray",))
    with pytest.raises(FedbenchError, match="'gray'"):
        dataset.quirk("gray")


def test_two_constructions_agree(dataset: Dataset, root: tuple[str, Path]) -> None:
    again = type(dataset)(root[1], allow_missing=True)
    assert again.classnames == dataset.classnames
    assert again.parts == dataset.parts
