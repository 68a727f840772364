"""Folder datasets: layouts, missing and damaged files, own splits."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image as PILImage

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset
from fedbench.errors import FedbenchError


class Small(FolderDataset):
    """Two classes of five images; the folder `junk` is no class."""

    name = "small"
    title = "Small"
    bibtex = "none"
    image_folders = ("small/images", "small-tv/data/images")
    split_file = "split_zhou_Small.json"
    size = 10
    download = "small.zip from https://example.org"

    def classname(self, folder: str) -> str | None:
        return None if folder == "junk" else {"Ants": "ant"}.get(folder, folder)


SPLIT = {
    "train": [
        ["bee/1.png", 1, "bee"],
        ["bee/0.png", 1, "bee"],
        ["Ants/0.png", 0, "ant"],
        ["Ants/1.png", 0, "ant"],
    ],
    "val": [["Ants/2.png", 0, "ant"], ["bee/2.png", 1, "bee"]],
    "test": [
        ["Ants/3.png", 0, "ant"],
        ["Ants/4.png", 0, "ant"],
        ["bee/3.png", 1, "bee"],
        ["bee/4.png", 1, "bee"],
    ],
}


def fill(folder: Path) -> Path:
    for name, colour in (("Ants", 10), ("bee", 200), ("junk", 0)):
        (folder / name).mkdir(parents=True)
        for index in range(5):
            PILImage.new("RGB", (6, 4), (colour, index, 0)).save(folder / name / f"{index}.png")
    return folder


def put_split(folder: Path, content: object = SPLIT) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / Small.split_file).write_text(json.dumps(content))


@pytest.fixture
def coop(tmp_path: Path) -> Path:
    """A data root with the dataset in CoOp's layout."""
    fill(tmp_path / "small/images")
    put_split(tmp_path / "small")
    return tmp_path


def test_coop_layout_follows_the_split_file(coop: Path) -> None:
    dataset = Small(coop)
    assert (dataset.source, dataset.missing, dataset.classnames) == ("zhou", 0, ("ant", "bee"))
    assert [[i.key, i.label, dataset.classnames[i.label]] for i in dataset.parts["train"]] == SPLIT["train"]
    assert dataset.open(dataset.parts["test"][2]).getpixel((0, 0)) == (200, 3, 0)


@pytest.mark.parametrize("split_folder", ["small", "small-tv", "small-tv/data"])
def test_the_other_layout_has_the_same_items_wherever_the_split_file_lies(
    tmp_path: Path, coop: Path, split_folder: str
) -> None:
    other = tmp_path / "other"
    fill(other / "small-tv/data/images")
    put_split(other / split_folder)
    assert Small(other).parts == Small(coop).parts
    assert Small(other).image_root == other / "small-tv/data/images"


def test_without_a_split_file_the_own_split_covers_every_image_once(tmp_path: Path) -> None:
    folder = fill(tmp_path / "small/images")
    (folder / "bee" / ".hidden.png").touch()
    (folder / "bee" / "notes.txt").touch()
    dataset = Small(tmp_path)
    assert (dataset.source, dataset.missing, dataset.classnames) == ("own", 0, ("ant", "bee"))
    assert {part: len(items) for part, items in dataset.parts.items()} == {"train": 4, "val": 2, "test": 4}
    keys = sorted(item.key for items in dataset.parts.values() for item in items)
    assert keys == sorted(f"{name}/{index}.png" for name in ("Ants", "bee") for index in range(5))
    assert all(
        item.label == ["Ants", "bee"].index(item.key.split("/")[0])
        for items in dataset.parts.values()
        for item in items
    )


def test_an_own_split_of_a_part_of_the_dataset_needs_allow_missing(tmp_path: Path) -> None:
    (fill(tmp_path / "small/images") / "bee/4.png").unlink()
    with pytest.raises(FedbenchError) as refused:
        Small(tmp_path)
    assert str(refused.value) == (
        f"small: 1 of 10 images are missing in {tmp_path}/small/images; "
        "complete the folder, or go on with the 9 that exist: --allow-missing"
    )
    dataset = Small(tmp_path, allow_missing=True)
    assert dataset.missing == 1
    assert sum(map(len, dataset.parts.values())) == 9


def test_no_folder_says_where_it_looked_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FedbenchError) as refused:
        Small(tmp_path)
    assert str(refused.value) == (
        f"small: no images: looked for small/images or small-tv/data/images below '{tmp_path}'; name the "
        "folder with --data-root, or get the images: small.zip from https://example.org"
    )


def test_missing_images_are_counted_and_named(coop: Path) -> None:
    for gone in ("bee/1.png", "Ants/2.png", "Ants/3.png", "bee/4.png"):
        (coop / "small/images" / gone).unlink()
    with pytest.raises(FedbenchError) as refused:
        Small(coop)
    assert str(refused.value) == (
        f"small: 4 of 10 images are missing in {coop}/small/images (bee/1.png, Ants/2.png, Ants/3.png, ...); "
        "complete the folder, or go on with the 6 that exist: --allow-missing"
    )


def test_allow_missing_goes_on_with_what_exists_in_the_same_order(coop: Path) -> None:
    (coop / "small/images/bee/1.png").unlink()
    (coop / "small/images/Ants/4.png").unlink()
    dataset = Small(coop, allow_missing=True)
    assert dataset.missing == 2
    assert [item.key for item in dataset.parts["train"]] == ["bee/0.png", "Ants/0.png", "Ants/1.png"]
    assert [item.key for item in dataset.parts["test"]] == ["Ants/3.png", "bee/3.png", "bee/4.png"]


def test_a_missing_class_folder_and_a_dangling_link_count_as_missing(coop: Path) -> None:
    images = coop / "small/images"
    (images / "bee").rename(coop / "elsewhere")
    (images / "Ants/0.png").unlink()
    (images / "Ants/0.png").symlink_to(coop / "nowhere.png")
    with pytest.raises(
        FedbenchError, match=r"small: 6 of 10 images are missing .*\(bee/1.png, bee/0.png, Ants/0"
    ):
        Small(coop)
    dataset = Small(coop, allow_missing=True)
    assert dataset.classnames == ("ant", "bee")
    assert {item.label for items in dataset.parts.values() for item in items} == {0}


@pytest.mark.parametrize("allow_missing", [False, True])
def test_an_empty_image_folder_is_refused_either_way(tmp_path: Path, allow_missing: bool) -> None:
    (tmp_path / "small/images").mkdir(parents=True)
    put_split(tmp_path / "small")
    with pytest.raises(
        FedbenchError,
        match=r"small: none of 10 images is in .*/images \(bee/1.png, .*, ...\); get them: small.zip",
    ):
        Small(tmp_path, allow_missing=allow_missing)


def test_losing_all_test_images_is_refused_even_under_allow_missing(coop: Path) -> None:
    for index in (3, 4):
        (coop / f"small/images/Ants/{index}.png").unlink()
        (coop / f"small/images/bee/{index}.png").unlink()
    with pytest.raises(FedbenchError, match=r"small: not one test image of the split is in .*/small/images"):
        Small(coop, allow_missing=True)


def test_a_damaged_split_file_is_refused_not_replaced_by_an_own_split(coop: Path) -> None:
    (coop / "small" / Small.split_file).write_text('{"train": [')
    with pytest.raises(FedbenchError, match=r"split file .*split_zhou_Small.json is damaged"):
        Small(coop, allow_missing=True)


def test_two_folders_of_one_class_are_refused(tmp_path: Path) -> None:
    (fill(tmp_path / "small/images") / "ant").mkdir()
    with pytest.raises(FedbenchError, match=r"small: two folders of .* are class 'ant'"):
        Small(tmp_path)


def test_a_folder_without_permission_is_an_error_not_missing_images(
    coop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(folder: Path):
        if Path(folder).name == "bee":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)  # not chmod: root may read everything
    with pytest.raises(FedbenchError, match=r"folder .*/bee cannot be read: Permission denied"):
        Small(coop, allow_missing=True)


def test_grey_and_palette_images_become_rgb_and_exif_orientation_is_ignored(coop: Path) -> None:
    images = coop / "small/images"
    PILImage.new("L", (6, 4), 77).save(images / "Ants/0.png")
    PILImage.new("P", (6, 4)).save(images / "Ants/1.png")
    rotated = PILImage.Exif()
    rotated[0x0112] = 6  # a quarter turn
    PILImage.new("RGB", (6, 4)).save(images / "Ants/2.png", exif=rotated)
    dataset = Small(coop)
    opened = [dataset.open(Item(f"Ants/{index}.png", 0)) for index in range(3)]
    assert [(image.mode, image.size) for image in opened] == [("RGB", (6, 4))] * 3
    assert opened[0].getpixel((5, 3)) == (77, 77, 77)


@pytest.mark.parametrize("damage", ["no image", "", "truncated png", "truncated jpeg"])
def test_an_unreadable_image_is_named_with_the_way_out(coop: Path, damage: str) -> None:
    path = coop / "small/images/bee/3.png"
    if damage.startswith("truncated"):
        PILImage.effect_noise((64, 64), 90).save(path, format=damage.split()[1])
        path.write_bytes(path.read_bytes()[:600])
    else:
        path.write_text(damage)
    with pytest.raises(FedbenchError) as refused:
        Small(coop).open(Item("bee/3.png", 1))
    assert f"small: image {path} cannot be read (" in str(refused.value)
    assert str(refused.value).endswith("; get it again, or go on without: --allow-missing")
    assert "\n" not in str(refused.value)


def test_an_image_that_vanished_is_named(coop: Path) -> None:
    dataset = Small(coop)
    path = coop / "small/images/bee/3.png"
    path.unlink()
    for use in (dataset.open, dataset.fingerprint):
        with pytest.raises(FedbenchError) as refused:
            use(Item("bee/3.png", 1))
        assert str(refused.value) == f"small: image {path} is missing; restore it or use --allow-missing"


def test_the_fingerprint_follows_size_and_time_of_change(coop: Path) -> None:
    dataset, item, path = Small(coop), Item("bee/3.png", 1), coop / "small/images/bee/3.png"
    os.utime(path, ns=(5, 1_000_000_007))
    first = dataset.fingerprint(item)
    assert first == f"{path.stat().st_size}-1000000007"
    os.utime(path, ns=(5, 1_000_000_008))
    assert dataset.fingerprint(item) != first
