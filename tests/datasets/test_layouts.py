"""Every dataset in every layout: small trees in the true formats give the same classes and items."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS
from tests.helpers import trees

LAYOUTS = [(name, folder) for name in trees.TREES for folder in DATASETS[name].image_folders]

# name: source, class names (all, or the number), images in train, val and test
EXPECTED: dict[str, tuple[str, tuple[str, ...] | int, tuple[int, int, int]]] = {
    "caltech101": ("own", ("face", "leopard", "accordion", "airplane"), (8, 4, 4)),
    "cifar10": ("official", 10, (20, 0, 4)),
    "cifar100": ("official", 100, (100, 0, 20)),
    "domainnet": ("official", 10, (240, 0, 60)),
    "dtd": ("own", ("banded", "zigzagged"), (4, 2, 2)),
    "eurosat": ("own", ("Annual Crop Land", "Forest", "Sea or Lake"), (6, 3, 3)),
    "fgvc_aircraft": ("official", ("707-320", "F/A-18", "Cessna 172"), (6, 3, 6)),
    "flowers102": ("own", 102, (204, 102, 102)),
    "food101": ("own", ("apple_pie", "waffles"), (4, 2, 2)),
    "imagenet": ("official", ("tench", "goldfish", "kit fox"), (9, 0, 6)),
    "office_caltech10": ("official", 10, (160, 0, 40)),
    "oxford_pets": ("official", 37, (24, 6, 9)),
    "pacs": ("own", 7, (112, 0, 28)),
    "stanford_cars": (
        "official",
        ("2000 AM General Hummer SUV", "2012 Acura RL Sedan", "2012 Ram C/V Cargo Van Minivan"),
        (15, 3, 6),
    ),
    "sun397": ("official", ("abbey", "outdoor apartment_building", "shop bakery"), (9, 3, 12)),
    "ucf101": ("official", ("Hammering", "Hammer_Throw", "Yo_Yo"), (9, 3, 6)),
}


def rows(dataset: Dataset) -> list[tuple[str, str, str, str]]:
    """(part, key, class name, domain) of every item."""
    return [
        (part, item.key, dataset.classnames[item.label], item.domain)
        for part, items in dataset.parts.items()
        for item in items
    ]


def made(name: str, root: Path) -> Dataset:
    dataset = DATASETS[name](root, allow_missing=True)
    assert isinstance(dataset, Dataset)
    return dataset


def test_every_dataset_has_a_tree() -> None:
    assert set(EXPECTED) == set(trees.TREES) == {name for name in DATASETS if DATASETS[name].image_folders}


@pytest.mark.parametrize(("name", "folder"), LAYOUTS)
def test_classes_counts_and_source(name: str, folder: str, tmp_path: Path) -> None:
    dataset = made(name, trees.plant(name, folder, tmp_path))
    source, classes, counts = EXPECTED[name]
    names: tuple[str, ...] | int = (
        dataset.classnames if isinstance(classes, tuple) else len(dataset.classnames)
    )
    assert (dataset.source, names) == (source, classes)
    assert tuple(len(dataset.parts[part]) for part in ("train", "val", "test")) == counts
    assert dataset.unreadable == 0
    keys = [key for _, key, _, _ in rows(dataset)]
    assert len(set(keys)) == len(keys)
    assert dataset.open(dataset.parts["test"][-1]).mode == "RGB"


@pytest.mark.parametrize(
    ("name", "folder"), [(n, f) for n, f in LAYOUTS if f != DATASETS[n].image_folders[0]]
)
def test_all_layouts_give_the_same_items(name: str, folder: str, tmp_path: Path) -> None:
    first = made(name, trees.plant(name, DATASETS[name].image_folders[0], tmp_path / "first"))
    other = made(name, trees.plant(name, folder, tmp_path / "other"))
    assert rows(other) == rows(first)


@pytest.mark.parametrize("name", sorted(trees.TREES))
def test_counts_of_the_published_split_add_up(name: str) -> None:
    cls = DATASETS[name]
    assert cls.n_classes > 1
    if name not in (
        "pacs",
        "sun397",
        "cifar10",
        "cifar100",
    ):  # no published split; 100 of each class; no size
        assert sum(cls.published) == cls.size


@pytest.mark.parametrize("name", ["oxford_pets", "flowers102", "fgvc_aircraft", "stanford_cars"])
def test_images_without_any_list_name_the_lists(name: str, tmp_path: Path) -> None:
    trees.image(tmp_path / DATASETS[name].image_folders[0] / "cars_train/1.jpg")
    with pytest.raises(
        FedbenchError, match=rf"^{name}: images are in .*\.(txt|mat).*; get: .*https://"
    ) as refused:
        made(name, tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("oxford_pets", "oxford_pets/annotations/test.txt"),
        ("fgvc_aircraft", "fgvc_aircraft/images_variant_val.txt"),
        ("stanford_cars", "stanford_cars/cars_test_annos_withlabels.mat"),
        ("sun397", "sun397/Testing_01.txt"),
        ("office_caltech10", "office_caltech_10/dslr_test.pkl"),
    ],
)
def test_a_part_of_the_lists_is_refused_by_name(name: str, gone: str, tmp_path: Path) -> None:
    trees.plant(name, DATASETS[name].image_folders[0], tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(FedbenchError, match=Path(gone).name):
        made(name, tmp_path)


@pytest.mark.parametrize("name", ["oxford_pets", "fgvc_aircraft", "stanford_cars", "sun397"])
def test_an_image_of_the_lists_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    folder = DATASETS[name].image_folders[0]
    trees.plant(name, folder, tmp_path)
    whole = DATASETS[name](tmp_path)  # the lists are complete, so nothing needs to be allowed
    gone = whole.parts["test"][0].key
    (tmp_path / folder / gone).unlink()
    total = sum(EXPECTED[name][2])
    with pytest.raises(FedbenchError, match=rf"{name}: 1 of {total} images are missing .*\({gone}\)"):
        DATASETS[name](tmp_path)
    partial = made(name, tmp_path)
    assert partial.missing == 1
    assert [key for _, key, _, _ in rows(partial)] == [key for _, key, _, _ in rows(whole) if key != gone]


def test_pets_labels_are_the_official_ones_and_the_split_is_stratified(tmp_path: Path) -> None:
    dataset = made("oxford_pets", trees.plant("oxford_pets", "oxford_pets/images", tmp_path))
    assert {dataset.classnames[i.label] for i in dataset.parts["train"]} == {
        "abyssinian", "american_bulldog", "bengal",
    }  # fmt: skip
    assert {i.label for i in dataset.parts["test"]} == {0, 1, 5}
    assert Counter(i.label for i in dataset.parts["val"]) == {0: 2, 1: 2, 5: 2}


def test_a_pets_list_that_contradicts_the_file_names_is_refused(tmp_path: Path) -> None:
    trees.plant("oxford_pets", "oxford_pets/images", tmp_path)
    trees.lines(tmp_path / "oxford_pets/annotations/test.txt", "Bengal_11 5 1 1")
    with pytest.raises(
        FedbenchError, match=r"oxford_pets: 'Bengal_11 5 1 1' in its lists is no image of that"
    ):
        made("oxford_pets", tmp_path)


def test_the_official_flowers_split_has_no_effect(tmp_path: Path) -> None:
    trees.plant("flowers102", "flowers-102/jpg", tmp_path)
    before = rows(made("flowers102", tmp_path))
    (tmp_path / "flowers-102/setid.mat").unlink()
    assert rows(made("flowers102", tmp_path)) == before
    assert {part for part, _, _, _ in before} == {"train", "val", "test"}


def test_flowers_split_files_are_checked_against_imagelabels(tmp_path: Path) -> None:
    trees.plant("flowers102", "oxford_flowers/jpg", tmp_path)  # image 1 has label 1, pink primrose
    wrong = {
        "train": [("image_00001.jpg", 0, "tiger lily")],
        "val": [],
        "test": [("image_00002.jpg", 1, "moon orchid")],
    }
    trees.zhou(tmp_path / "oxford_flowers/split_zhou_OxfordFlowers.json", wrong)
    with pytest.raises(
        FedbenchError,
        match=r"'image_00001.jpg' is of class 'pink primrose' by its path, .*'tiger lily' by the",
    ):
        made("flowers102", tmp_path)


def test_damaged_flower_labels_are_refused(tmp_path: Path) -> None:
    from scipy.io import savemat

    trees.plant("flowers102", "oxford_flowers/jpg", tmp_path)
    path = tmp_path / "oxford_flowers/imagelabels.mat"
    for content, message in (
        ({"labels": np.array([[1, 103]], dtype=np.uint8)}, "other labels than 1 to 102"),
        ({"other": np.zeros((1, 2))}, "no variable 'labels'"),
    ):
        savemat(path, content)
        with pytest.raises(FedbenchError, match=message):
            made("flowers102", tmp_path)
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(FedbenchError, match=r"imagelabels.mat is damaged, it is no Matlab file"):
        made("flowers102", tmp_path)


def test_ucf_follows_the_datasets_own_lists(tmp_path: Path) -> None:
    dataset = made("ucf101", trees.plant("ucf101", "ucf101/UCF-101-midframes", tmp_path))
    lists = tmp_path / "ucf101/ucfTrainTestlist"
    listed = {Path(line).stem for line in (lists / "testlist01.txt").read_text().split()}
    assert {Path(item.key).stem for item in dataset.parts["test"]} == listed
    order = [line.split()[1] for line in (lists / "classInd.txt").read_text().splitlines()]
    assert [name.replace("_", "") for name in dataset.classnames] == order
    trees.image(tmp_path / "ucf101/UCF-101-midframes/Yo_Yo/frame.jpg")
    with pytest.raises(FedbenchError, match=r"'Yo_Yo/frame.jpg' has no group in its name"):
        made("ucf101", tmp_path)


def test_sun_without_a_partition_pools_all_images(tmp_path: Path) -> None:
    trees.sun397(tmp_path / "SUN397", partition=False)  # as torchvision unpacks it
    dataset = made("sun397", tmp_path)
    assert (dataset.source, dataset.missing) == ("own", 108_754 - 24)
    assert dataset.classnames == ("abbey", "outdoor apartment_building", "shop bakery")
    assert [len(dataset.parts[part]) for part in ("train", "val", "test")] == [12, 6, 6]
    (tmp_path / "SUN397/ClassName.txt").unlink()
    assert rows(made("sun397", tmp_path)) == rows(dataset)


def test_imagenet_as_its_archive_unpacks_is_to_be_sorted(tmp_path: Path) -> None:
    trees.plant("imagenet", "imagenet/images", tmp_path)
    trees.image(tmp_path / "imagenet/images/val/ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(
        FedbenchError, match=r"imagenet: 1 images of .*/val are in no class folder; sort .* val/n01440764$"
    ):
        made("imagenet", tmp_path)


def test_imagenet_needs_the_names_and_knows_their_ids(tmp_path: Path) -> None:
    trees.plant("imagenet", "imagenet/images", tmp_path)
    trees.image(tmp_path / "imagenet/images/val/n99999999/1.JPEG")
    with pytest.raises(FedbenchError, match=r"imagenet: folder .*n99999999 is of no class of classnames.txt"):
        made("imagenet", tmp_path)
    (tmp_path / "imagenet/classnames.txt").unlink()
    with pytest.raises(FedbenchError, match=r"imagenet: images are in .* but not classnames.txt beside them"):
        made("imagenet", tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        ("caltech101", "Faces/1.jpg", "face"),
        ("eurosat", "SeaLake/1.jpg", "Sea or Lake"),
        ("food101", "apple_pie/1.jpg", "apple_pie"),
        ("dtd", "banded/1.jpg", "banded"),
        ("ucf101", "Yo_Yo/1.jpg", "Yo_Yo"),
        ("sun397", "a/apartment_building/outdoor/1.jpg", "outdoor apartment_building"),
        ("oxford_pets", "Bengal_1.jpg", "bengal"),
    ],
)
def test_a_split_file_must_agree_with_the_paths(name: str, key: str, said: str, tmp_path: Path) -> None:
    cls = DATASETS[name]
    images, split = (
        tmp_path / cls.image_folders[0],
        tmp_path / Path(cls.image_folders[0]).parts[0] / cls.split_file,
    )
    for other in (key, f"{key[:-4]}2.jpg"):
        trees.image(images / other)
    trees.zhou(split, {"train": [(key, 0, said)], "val": [], "test": [(f"{key[:-4]}2.jpg", 0, said)]})
    assert DATASETS[name](tmp_path).classnames == (said,)
    trees.zhou(split, {"train": [(key, 0, "zebra")], "val": [], "test": [(f"{key[:-4]}2.jpg", 0, "zebra")]})
    with pytest.raises(
        FedbenchError, match=rf"'{key}' is of class '{said}' by its path, and of class 'zebra' by"
    ):
        DATASETS[name](tmp_path)


def test_cars_take_the_split_file_beside_the_images(tmp_path: Path) -> None:
    trees.plant("stanford_cars", "stanford_cars", tmp_path)
    rows_ = [
        (f"cars_{part}/1000{n}.jpg", 0, "2000 AM General Hummer SUV")
        for part in ("train", "test")
        for n in (0, 1)
    ]
    trees.zhou(
        tmp_path / "stanford_cars/split_zhou_StanfordCars.json",
        {"train": rows_[:2], "val": [], "test": rows_[2:]},
    )
    dataset = DATASETS["stanford_cars"](tmp_path)
    assert (dataset.source, len(dataset.parts["test"])) == ("zhou", 2)


def test_a_folder_too_many_is_refused_and_a_hidden_one_is_no_class(tmp_path: Path) -> None:
    images = tmp_path / "eurosat/2750"
    trees.class_folders(images, ".ipynb_checkpoints", "__MACOSX", *(f"Land{n}" for n in range(10)), count=4)
    assert len(made("eurosat", tmp_path).classnames) == 10
    trees.class_folders(images, "backup")
    with pytest.raises(
        FedbenchError, match=r"eurosat: .*/2750 has 11 class folders and the dataset 10 classes"
    ):
        made("eurosat", tmp_path)
