"""CIFAR's batches: read as torchvision reads them, but without running them."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from fedbench.data.dataset import Item
from fedbench.datasets.cifar10 import CIFAR10
from fedbench.datasets.cifar100 import CIFAR100
from fedbench.errors import FedbenchError
from tests.helpers.trees import batch, plant, python2_pickle

FOLDER = "cifar-10-batches-py"


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    return plant("cifar10", FOLDER, tmp_path)


def test_items_and_pixels_are_torchvisions(cifar: Path) -> None:
    dataset = CIFAR10(cifar, allow_missing=True)
    raw = [
        pickle.loads((cifar / FOLDER / f"data_batch_{n}").read_bytes(), encoding="latin1")
        for n in range(1, 6)
    ]
    data = np.vstack([entry["data"] for entry in raw]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    targets = [label for entry in raw for label in entry["labels"]]
    assert [item.label for item in dataset.parts["train"]] == targets
    for item, pixels in zip(dataset.parts["train"], data, strict=True):
        image = dataset.open(item)
        assert (image.mode, image.size) == ("RGB", (32, 32))
        assert np.array_equal(np.asarray(image), pixels)
    assert dataset.parts["train"][5] == Item("data_batch_2/00001", targets[5])
    assert dataset.fingerprint(dataset.parts["test"][0]) != dataset.fingerprint(dataset.parts["train"][0])
    assert [len(dataset.parts[part]) for part in ("train", "val", "test")] == [20, 0, 4]


def test_missing_images_are_counted_and_missing_batches_named(cifar: Path) -> None:
    with pytest.raises(FedbenchError, match=r"cifar10: 59976 of 60000 images are missing in .*; complete"):
        CIFAR10(cifar)
    (cifar / FOLDER / "data_batch_3").unlink()
    with pytest.raises(
        FedbenchError, match=r"59980 of 60000 images are missing in .* \(data_batch_3\); .*allow-m"
    ):
        CIFAR10(cifar)
    dataset = CIFAR10(cifar, allow_missing=True)
    assert dataset.missing == 59980
    assert {item.key.split("/")[0] for item in dataset.parts["train"]} == {
        f"data_batch_{number}" for number in (1, 2, 4, 5)
    }
    (cifar / FOLDER / "test_batch").unlink()
    with pytest.raises(FedbenchError, match=r"cifar10: no test batch in .*; get the images: .*https://"):
        CIFAR10(cifar, allow_missing=True)


def test_class_names_are_checked_against_the_meta_file(cifar: Path) -> None:
    names = [*CIFAR10.classnames[:-2], "truck", "ship"]
    (cifar / FOLDER / "batches.meta").write_bytes(python2_pickle({"label_names": names}))
    with pytest.raises(
        FedbenchError, match=r"'label_names' in .*batches.meta are not this dataset's 10 class names"
    ):
        CIFAR10(cifar, allow_missing=True)
    (cifar / FOLDER / "batches.meta").unlink()
    with pytest.raises(FedbenchError, match=r"cifar10: no file .*batches.meta; get the images: .*https:"):
        CIFAR10(cifar, allow_missing=True)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {**batch("labels", [1, 2]), "labels": [1]},
        {**batch("labels", [1, 2]), "labels": [1, 10]},
        {**batch("labels", [1, 2]), "labels": ["1", "2"]},
        {**batch("labels", [1, 2]), "data": np.zeros((2, 100), np.uint8)},
        {**batch("labels", [1, 2]), "data": np.zeros((2, 3072), np.int64)},
        {**batch("labels", [1, 2]), "data": [1, 2]},
    ],
)
def test_a_damaged_batch_is_refused(content: dict[str, Any], cifar: Path) -> None:
    (cifar / FOLDER / "data_batch_2").write_bytes(pickle.dumps(content))
    with pytest.raises(
        FedbenchError, match=r"cifar10: batch .*data_batch_2 is damaged: no \(images, 3072\) bytes"
    ):
        CIFAR10(cifar, allow_missing=True)


def test_a_truncated_batch_is_refused(cifar: Path) -> None:
    path = cifar / FOLDER / "data_batch_2"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FedbenchError, match=r"data_batch_2 is damaged, it is no pickle of plain data"):
        CIFAR10(cifar, allow_missing=True)


def test_a_malicious_batch_does_not_run(cifar: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {cifar / 'trace'}",)

    (cifar / FOLDER / "data_batch_1").write_bytes(pickle.dumps({"data": Payload()}))
    with pytest.raises(FedbenchError, match=r"data_batch_1 is refused: it asks for posix.system"):
        CIFAR10(cifar, allow_missing=True)
    assert not (cifar / "trace").exists()


def test_foreign_items_are_refused(cifar: Path) -> None:
    dataset = CIFAR10(cifar, allow_missing=True)
    for key in ("data_batch_1/00004", "data_batch_9/00000", "data_batch_1/x", "data_batch_1"):
        with pytest.raises(FedbenchError, match=f"cifar10 has no image '{key}'"):
            dataset.open(Item(key, 0))


def test_superclasses_are_what_the_files_say(tmp_path: Path) -> None:
    plant("cifar100", "cifar-100-python", tmp_path)
    assert CIFAR100(tmp_path, allow_missing=True).superclasses == tuple(label // 5 for label in range(100))
    content = batch("fine_labels", [3, 3], coarse_labels=[4, 5])
    (tmp_path / "cifar-100-python/test").write_bytes(python2_pickle(content))
    with pytest.raises(FedbenchError, match=r"class 'bear' has two superclasses"):
        CIFAR100(tmp_path, allow_missing=True)


def test_real_images_packed_into_batches(shared: Path, tmp_path: Path) -> None:
    """The pack `cifar-10-jpeg` in torchvision's format, as users make it today (numpy 2, any protocol)."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    originals = {}
    for part, file in (("train", "data_batch_1"), ("test", "test_batch")):
        paths = sorted((shared / "data/cifar-10-jpeg" / part).glob("*/*.jpg"))
        pixels = [np.asarray(PILImage.open(path).convert("RGB")) for path in paths]
        labels = [CIFAR10.classnames.index(path.parent.name) for path in paths]
        data = np.stack(pixels).transpose(0, 3, 1, 2).reshape(len(paths), 3072)
        (folder / file).write_bytes(pickle.dumps({"data": data, "labels": labels}))
        originals[part] = list(zip(pixels, labels, strict=True))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.classnames)}))
    dataset = CIFAR10(tmp_path, allow_missing=True)
    assert (dataset.missing, len(dataset.parts["train"]), len(dataset.parts["test"])) == (59200, 600, 200)
    for part, pairs in originals.items():
        for item, (pixels, label) in zip(dataset.parts[part], pairs, strict=True):
            assert item.label == label
            assert np.array_equal(np.asarray(dataset.open(item)), pixels)
