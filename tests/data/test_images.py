"""Unreadable images: found under `--allow-missing` only, left out, counted and named."""

from pathlib import Path

import pytest
from PIL import Image as PILImage

from fedbench.data.images import class_folders, images, unreadable
from fedbench.errors import FedbenchError
from tests.data.test_folders import Small, fill, put_split


@pytest.fixture
def coop(tmp_path: Path) -> Path:
    """A data root with the small dataset and its split file."""
    fill(tmp_path / "small/images")
    put_split(tmp_path / "small")
    return tmp_path


def damage(path: Path, how: str) -> None:
    """Make an image unreadable in one of the ways that occur."""
    if how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("<html>404 not found</html>")
    else:  # cut off within the pixels; JPEG decoders could fill up what is missing
        PILImage.effect_noise((400, 300), 90).save(path, format=how)
        path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize("how", ["empty", "text", "png", "jpeg"])
def test_unreadable_images_are_left_out_and_counted_under_allow_missing_only(coop: Path, how: str) -> None:
    damage(coop / "small/images/bee/3.png", how)
    (coop / "small/images/Ants/2.png").unlink()
    dataset = Small(coop, allow_missing=True)
    assert (dataset.missing, dataset.unreadable) == (1, 1)
    assert [item.key for item in dataset.parts["test"]] == ["Ants/3.png", "Ants/4.png", "bee/4.png"]
    assert dataset.left_out == {"Ants/2.png": "missing", "bee/3.png": "unreadable"}
    assert dataset.notes() == [
        "1 images of the split are missing and were left out",
        "1 images of the split are unreadable and were left out",
    ]


def test_without_allow_missing_nothing_is_decoded(coop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(coop / "small/images/bee/3.png", "text")
    opened = []
    monkeypatch.setattr(PILImage, "open", lambda *args: opened.append(args))
    dataset = Small(coop)
    assert (dataset.unreadable, len(dataset.parts["test"]), opened) == (0, 4, [])


def test_an_image_is_decoded_once_a_process_unless_it_changes(
    coop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Small(coop, allow_missing=True).unreadable == 0
    opened: list[str] = []
    original = PILImage.open
    monkeypatch.setattr(PILImage, "open", lambda path: (opened.append(Path(path).name), original(path))[1])
    assert Small(coop, allow_missing=True).unreadable == 0
    assert opened == []
    damage(coop / "small/images/bee/3.png", "text")
    assert Small(coop, allow_missing=True).unreadable == 1
    assert opened == ["3.png"]


def test_unreadable_images_of_an_own_split_are_left_out_of_it(tmp_path: Path) -> None:
    images = fill(tmp_path / "small/images")
    whole = Small(tmp_path).parts
    damage(images / "bee/3.png", "jpeg")
    dataset = Small(tmp_path, allow_missing=True)
    assert dataset.unreadable == 1
    for part, items in whole.items():  # the others are where they were
        assert dataset.parts[part] == tuple(item for item in items if item.key != "bee/3.png")


def test_losing_all_test_images_to_damage_is_refused(coop: Path) -> None:
    for key in ("Ants/3", "Ants/4", "bee/3", "bee/4"):
        damage(coop / f"small/images/{key}.png", "empty")
    with pytest.raises(FedbenchError, match=r"small: not one test image of the split is in"):
        Small(coop, allow_missing=True)


def test_a_progressive_or_grey_jpeg_is_readable(coop: Path) -> None:
    noise = PILImage.effect_noise((400, 300), 90)
    noise.save(coop / "small/images/bee/3.png", format="jpeg", progressive=True)
    noise.convert("CMYK").save(coop / "small/images/bee/4.png", format="jpeg")
    assert Small(coop, allow_missing=True).unreadable == 0


def test_what_a_mac_leaves_behind_is_no_class(tmp_path: Path) -> None:
    for name in ("bee", "__MACOSX", ".hidden", "ant"):
        (tmp_path / name).mkdir()
    assert class_folders(tmp_path) == ["ant", "bee"]


def test_images_of_the_formats_that_torchvision_takes(tmp_path: Path) -> None:
    for suffix in ("webp", "BMP", "tif", "ppm"):
        PILImage.new("RGB", (6, 4)).save(tmp_path / f"1.{suffix}")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "Thumbs.db").touch()
    names = images(tmp_path)
    assert names == ["1.BMP", "1.ppm", "1.tif", "1.webp"]
    assert unreadable(names, lambda name: tmp_path / name) == []


@pytest.mark.filterwarnings("error")
def test_transparent_palette_images_are_read_without_a_warning(coop: Path) -> None:
    image = PILImage.effect_noise((6, 4), 90).convert("P")
    image.save(coop / "small/images/bee/3.png", transparency=bytes(range(10)))
    dataset = Small(coop, allow_missing=True)
    assert dataset.unreadable == 0
    assert dataset.open(dataset.parts["test"][2]).mode == "RGB"
