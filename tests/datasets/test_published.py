"""Full published split files: the specification's counts. And the real images, in the users' layouts."""

from pathlib import Path

import pytest

from fedbench.data.dataset import Dataset
from fedbench.data.parts import read_zhou
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

# dataset: folder with the split file, images of base and of novel classes in the test part, first class names
PUBLISHED = {
    "caltech101": ("caltech-101", (1549, 916), ("face", "leopard", "motorbike")),
    "oxford_pets": ("oxford_pets", (1881, 1788), ("abyssinian", "american_bulldog")),
    "flowers102": ("oxford_flowers", (1053, 1410), ("pink primrose", "hard-leaved pocket orchid")),
    "dtd": ("dtd", (864, 828), ("banded", "blotchy")),
    "eurosat": ("eurosat", (4200, 3900), ("Annual Crop Land", "Forest")),
    "ucf101": ("splits_only/ucf101", (1934, 1849), ("Apply_Eye_Makeup", "Apply_Lipstick")),
    "stanford_cars": ("splits_only/stanford_cars", (4002, 4039), ("2000 AM General Hummer SUV",)),
}
REAL = {  # images on disk in train, val, test
    "caltech101": (500, 188, 312),
    "oxford_pets": (54, 20, 1),
    "flowers102": (210, 83, 115),
    "dtd": (36, 16, 28),
    "eurosat": (190, 85, 125),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_counts_of_the_split_files(name: str, shared: Path) -> None:
    cls = DATASETS[name]
    folder, (base, novel), first = PUBLISHED[name]
    names, parts = read_zhou(shared / "data" / folder / cls.split_file)
    assert tuple(len(parts[part]) for part in ("train", "val", "test")) == cls.published
    assert len(names) == cls.n_classes
    assert names[: len(first)] == first
    half = (len(names) + 1) // 2
    assert sum(item.label < half for item in parts["test"]) == base
    assert sum(item.label >= half for item in parts["test"]) == novel


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_name_in_a_split_file_is_what_the_path_says(name: str, shared: Path, tmp_path: Path) -> None:
    """The rules by which labels are made without a split file, on every image of the published one."""
    cls = DATASETS[name]
    source = shared / "data" / PUBLISHED[name][0]
    names, parts = read_zhou(source / cls.split_file)
    dataset = cls.__new__(cls)
    dataset.image_root, dataset._data_root = source / "images", shared / "data"
    said = {item.key: dataset.classname_of(item.key) for items in parts.values() for item in items}
    if name == "stanford_cars":
        assert set(said.values()) == {None}
        return
    for items in parts.values():
        for item in items:
            assert said[item.key] == names[item.label]


def test_the_ucf_rule_gives_the_published_test_images(shared: Path) -> None:
    names, parts = read_zhou(shared / "data/splits_only/ucf101/split_zhou_UCF101.json")
    for part, items in parts.items():
        groups = {int(item.key.split("_g")[-1][:2]) for item in items}
        assert groups == (set(range(1, 8)) if part == "test" else set(range(8, 26)))
    assert list(names) == sorted(names, key=lambda name: name.replace("_", "").lower())


def test_fixed_names_are_those_of_the_split_files(shared: Path) -> None:
    from fedbench.datasets.flowers102 import FLOWERS
    from fedbench.datasets.oxford_pets import BREEDS

    for fixed, file in (
        (BREEDS, "oxford_pets/split_zhou_OxfordPets.json"),
        (FLOWERS, "oxford_flowers/split_zhou_OxfordFlowers.json"),
    ):
        assert read_zhou(shared / "data" / file)[0] == fixed


@pytest.fixture(params=sorted(REAL))
def real(request: pytest.FixtureRequest, shared: Path) -> Dataset:
    dataset = DATASETS[request.param](shared / "data", allow_missing=True)
    assert isinstance(dataset, Dataset)
    return dataset


def test_real_images(real: Dataset) -> None:
    counts = tuple(len(real.parts[part]) for part in ("train", "val", "test"))
    assert (real.source, counts, real.unreadable) == ("zhou", REAL[real.name], 0)
    assert real.missing == sum(real.published) - sum(counts)
    assert len(real.classnames) == real.n_classes


@pytest.mark.parametrize("name", [*sorted(REAL), "office_caltech10", "pacs"])
def test_incomplete_real_images_are_refused_without_allow_missing(name: str, shared: Path) -> None:
    with pytest.raises(
        FedbenchError, match=rf"^{name}: \d+ of \d+ images are missing in .* --allow-missing$"
    ):
        DATASETS[name](shared / "data")


@pytest.mark.parametrize(
    ("name", "coop", "torchvision"),
    [
        ("oxford_pets", "oxford_pets", "oxford-iiit-pet"),
        ("flowers102", "oxford_flowers", "flowers-102"),
        ("dtd", "dtd", "dtd/dtd"),
    ],
)
def test_real_images_in_torchvisions_layout_are_the_same_dataset(
    name: str, coop: str, torchvision: str, shared: Path, tmp_path: Path
) -> None:
    cls = DATASETS[name]
    (tmp_path / torchvision).mkdir(parents=True)
    for entry in (shared / "data" / coop).iterdir():
        (tmp_path / torchvision / entry.name).symlink_to(entry)
    top = tmp_path / Path(torchvision).parts[0]
    if not (top / cls.split_file).exists():
        (top / cls.split_file).symlink_to(shared / "data" / coop / cls.split_file)
    here, there = cls(shared / "data", allow_missing=True), cls(tmp_path, allow_missing=True)
    assert (there.source, there.parts, there.classnames) == (here.source, here.parts, here.classnames)


def test_real_annotations_of_pets_without_the_split_file(shared: Path, tmp_path: Path) -> None:
    pets = tmp_path / "oxford-iiit-pet"
    pets.mkdir()
    for entry in ("images", "annotations"):
        (pets / entry).symlink_to(shared / "data/oxford_pets" / entry)
    dataset = DATASETS["oxford_pets"](tmp_path, allow_missing=True)
    assert (dataset.source, dataset.missing) == ("official", 598 - 75)
    published = read_zhou(shared / "data/oxford_pets/split_zhou_OxfordPets.json")[1]
    official_test = {item.key for item in published["test"]}
    assert {item.key for item in dataset.parts["test"]} <= official_test
    assert not {item.key for item in (*dataset.parts["train"], *dataset.parts["val"])} & official_test


def test_real_labels_of_flowers_without_the_split_file(shared: Path, tmp_path: Path) -> None:
    flowers = tmp_path / "flowers-102"
    flowers.mkdir()
    for entry in ("jpg", "imagelabels.mat", "setid.mat"):
        (flowers / entry).symlink_to(shared / "data/oxford_flowers" / entry)
    dataset = DATASETS["flowers102"](tmp_path, allow_missing=True)
    assert (dataset.source, dataset.missing) == ("own", 8189 - 408)
    published = read_zhou(shared / "data/oxford_flowers/split_zhou_OxfordFlowers.json")[1]
    labels = {item.key: item.label for items in published.values() for item in items}
    assert all(labels[item.key] == item.label for items in dataset.parts.values() for item in items)
