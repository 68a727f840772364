"""Datasets by name: registered ones, and `folder:PATH` with its canonical name."""

import shutil
from pathlib import Path

import pytest

from fedbench.datasets.shapes import Shapes
from fedbench.errors import FedbenchError
from fedbench.named import digest, make_dataset, resolve
from fedbench.registry import DATASETS
from tests.helpers.trees import class_folders, image, plant


def made(name: str, root: Path = Path()):  # type: ignore[no-untyped-def]
    return make_dataset(name, root, allow_missing=False)


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    class_folders(tmp_path / "my birds", "owl", "snowy_owl", count=10)
    return tmp_path / "my birds"


def test_a_registered_name_is_that_dataset() -> None:
    assert resolve("shapes", Path()) == ("shapes", None)
    assert isinstance(made("shapes"), Shapes)
    for use in (lambda: resolve("shape", Path()), lambda: made("shape")):
        with pytest.raises(FedbenchError, match=r"unknown dataset 'shape'; did you mean shapes\?"):
            use()


def test_class_folders(birds: Path) -> None:
    dataset = made(f"folder:{birds}")
    assert (dataset.source, dataset.classnames, dataset.domains) == ("own", ("owl", "snowy_owl"), ())
    assert [len(dataset.parts[part]) for part in ("train", "val", "test")] == [10, 4, 6]
    assert all(i.key.startswith(f"{dataset.classnames[i.label]}/") for i in dataset.parts["train"])
    assert dataset.open(dataset.parts["test"][0]).mode == "RGB"


def test_domains_of_class_folders(tmp_path: Path) -> None:
    for domain, classes in (("night", ("owl",)), ("day", ("owl", "hen"))):
        class_folders(tmp_path / "birds" / domain, *classes, count=10)
    dataset = made(f"folder:{tmp_path / 'birds'}")
    assert (dataset.source, dataset.classnames, dataset.domains) == ("own", ("hen", "owl"), ("day", "night"))
    assert {d: len(dataset.domain_parts(d)["train"]) for d in dataset.domains} == {"day": 16, "night": 8}
    assert all(i.key.startswith(f"{i.domain}/{dataset.classnames[i.label]}/") for i in dataset.parts["test"])


def test_train_and_test_folders_are_a_split_and_no_domains(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 2)):
        class_folders(tmp_path / "birds" / part, "owl", "hen", count=count)
    dataset = made(f"folder:{tmp_path / 'birds'}")
    assert (dataset.source, dataset.classnames, dataset.domains) == ("official", ("hen", "owl"), ())
    assert [len(dataset.parts[part]) for part in ("train", "val", "test")] == [12, 0, 4]
    assert all(item.key.startswith("test/") for item in dataset.parts["test"])
    (tmp_path / "birds/test").rename(tmp_path / "birds/valid")
    with pytest.raises(
        FedbenchError, match=r"its folders are train, valid; for a split, name them train, test"
    ):
        made(f"folder:{tmp_path / 'birds'}")


def test_the_canonical_name_has_no_path_and_follows_the_images(birds: Path, tmp_path: Path) -> None:
    name, path = resolve(f"folder:{birds}", Path())
    assert name.startswith("folder-my_birds-")
    assert path == birds
    assert made(f"folder:{birds}").name == name
    copy = tmp_path / "elsewhere/my birds"
    class_folders(copy, "snowy_owl", "owl", count=10)
    assert resolve(f"folder:{copy}", Path())[0] == name
    assert made(f"folder:{copy}").parts == made(f"folder:{birds}").parts
    assert digest(made(f"folder:{copy}")) == digest(made(f"folder:{birds}"))
    image(copy / "owl/one more.jpg")
    assert resolve(f"folder:{copy}", Path())[0] != name


def test_other_images_with_the_same_names_are_another_dataset(birds: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere/my birds"
    class_folders(other, "snowy_owl", "owl", count=10)
    (other / "owl/image_0003.jpg").write_bytes(b"another image")
    assert resolve(f"folder:{other}", Path())[0] != resolve(f"folder:{birds}", Path())[0]


def test_a_canonical_name_finds_its_folder_again(birds: Path) -> None:
    name, path = resolve(f"folder:{birds}", Path())
    assert path is not None
    again = make_dataset(name, Path(), allow_missing=False, folders={name: path})
    assert (again.name, again.parts) == (name, made(f"folder:{birds}").parts)
    with pytest.raises(
        FedbenchError, match=rf"dataset {name}: its folder is not known here; name it: --datasets f"
    ):
        made(name)
    image(birds / "owl/one more.jpg")
    with pytest.raises(
        FedbenchError, match=rf"dataset {name}: the images in its folder have changed, it is folder-"
    ):
        make_dataset(name, Path(), allow_missing=False, folders={name: path})


def test_a_relative_path_is_looked_for_here_and_below_the_data_root(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("folder:my birds", Path("nowhere"))[1] == birds
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert resolve("folder:my birds", tmp_path)[1] == birds
    for bad in ("folder:my bird", "folder:"):
        with pytest.raises(FedbenchError, match=r"there is no folder '.*', neither here nor below"):
            resolve(bad, tmp_path)


def test_adding_images_of_one_class_leaves_the_split_of_the_others(birds: Path) -> None:
    before = made(f"folder:{birds}").parts
    image(birds / "owl/one more.jpg")
    after = made(f"folder:{birds}").parts
    for part, items in before.items():
        assert [i for i in after[part] if i.label == 1] == [i for i in items if i.label == 1]


def test_unreadable_images_are_left_out_under_the_same_name(birds: Path) -> None:
    size = (birds / "owl/image_0000.jpg").stat().st_size
    (birds / "owl/image_0000.jpg").write_bytes(b"x" * size)
    dataset = make_dataset(f"folder:{birds}", Path(), allow_missing=True)
    assert dataset.unreadable == 1
    assert dataset.name == resolve(f"folder:{birds}", Path())[0]


def test_other_layouts_are_refused(birds: Path, tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(FedbenchError) as refused:
            made(f"folder:{path}")
        assert "\n" not in str(refused.value)
        return str(refused.value)

    assert "has one folder, 'my birds', with folders in it: a single domain" in refusal(tmp_path)
    class_folders(birds / "day", "owl", count=1)
    assert "has images in 'owl' and folders in 'day': either all" in refusal(birds)
    assert "has no folders; put the images of each class into one" in refusal(birds / "owl")
    image(tmp_path / "loose/1.jpg")
    (tmp_path / "loose/hen").mkdir()
    assert "1 images lie in no class folder (1.jpg)" in refusal(tmp_path / "loose")
    (tmp_path / "loose/1.jpg").unlink()
    assert "has no image in class folders" in refusal(tmp_path / "loose")
    for parts in (("Train", "Test"), ("Training", "Testing")):
        tree = tmp_path / parts[0]
        class_folders(tree / parts[0], "owl", "hen")
        class_folders(tree / parts[1], "owl", "hen")
        assert "for a split, name them train, test and" in refusal(tree)
    class_folders(tmp_path / "domains/day", "owl", "hen")
    class_folders(tmp_path / "domains/night", "owl", "hen")
    (tmp_path / "domains/labels").mkdir()
    assert "its folder 'labels' has no images in class folders" in refusal(tmp_path / "domains")
    with pytest.raises(FedbenchError, match="folder: give the folder of your images"):
        made("folder")


def test_the_digest_tells_splits_apart(tmp_path: Path) -> None:
    plant("caltech101", "caltech-101/101_ObjectCategories", tmp_path)
    dataset = make_dataset("caltech101", tmp_path, allow_missing=True)
    first = digest(dataset)
    assert len(first) == 16
    dataset.parts = {**dataset.parts, "test": dataset.parts["test"][:-1]}
    assert digest(dataset) != first


def test_real_images_as_folders(shared: Path) -> None:
    pacs = make_dataset(f"folder:{shared / 'data/pacs'}", Path(), allow_missing=True)
    assert pacs.domains == ("art_painting", "cartoon", "photo", "sketch")
    assert (len(pacs.classnames), sum(map(len, pacs.parts.values())), pacs.unreadable) == (7, 168, 0)
    cifar = make_dataset("folder:cifar-10-jpeg", shared / "data", allow_missing=True)
    assert [len(cifar.parts[part]) for part in ("train", "val", "test")] == [600, 0, 200]


def test_a_class_that_was_defined_anew_is_not_the_one_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook one process sees several versions of a data set under one name."""
    from fedbench.config import Runtime
    from fedbench.named import make_task, run_config

    list(DATASETS)
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    config = run_config(method="CLIP", dataset="anew", backbone="tiny", split_options={"shots": 1})
    seen = []
    for _ in range(2):
        monkeypatch.delitem(DATASETS._entries, "anew", raising=False)
        cls = type("Anew", (DATASETS["shapes"],), {})
        DATASETS.register("anew")(cls)
        seen.append(type(make_task(config, Runtime(data_root=tmp_path)).dataset) is cls)
    assert seen == [True, True]


def test_a_new_run_lists_the_images_anew(tmp_path: Path) -> None:
    """A long-lived process must see the images that its user has added meanwhile."""
    from fedbench.grid.planning import Wish, planned
    from fedbench.named import make_task

    plant("eurosat", "eurosat/2750", tmp_path)
    grid = {
        "methods": ["CLIP"],
        "datasets": ["eurosat"],
        "backbone": "tiny",
        "seeds": [1],
        "split": "dirichlet",
        "split_options": {"clients": 2, "min_size": 1},
    }

    def missing() -> int:
        ready = planned(
            Wish(grid=grid, out=tmp_path / "out", runtime={"data_root": tmp_path, "allow_missing": True})
        )
        return make_task(ready.cells[0].config, ready.runtime).dataset.missing

    before = missing()
    there = next((tmp_path / "eurosat/2750").rglob("*.jpg"))
    shutil.copy(there, there.with_name(there.name.replace("_", "_9")))
    assert missing() == before - 1
