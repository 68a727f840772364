"""Small trees of every dataset in the formats on users' disks. `plant(name, folder, root)` makes one."""

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from scipy.io import savemat

WORDNET = {"n01440764": "tench", "n01443537": "goldfish", "n02119789": "kit fox"}
VARIANTS = ("707-320", "F/A-18", "Cessna 172")
SCENES = ("a/abbey", "a/apartment_building/outdoor", "b/bakery/shop")
ACTIONS = ("Hammering", "HammerThrow", "YoYo")
CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012")
PETS = {"Abyssinian": 1, "american_bulldog": 2, "Bengal": 6}


def _encoded(format_: str) -> bytes:
    stream = io.BytesIO()
    PILImage.linear_gradient("L").resize((8, 6)).convert("RGB").save(stream, format=format_)
    return stream.getvalue()


JPEG = _encoded("jpeg")


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(JPEG)


def lines(path: Path, *text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")


def class_folders(images: Path, *names: str, count: int = 4) -> None:
    for name in names:
        for index in range(count):
            image(images / name / f"image_{index:04d}.jpg")


def caltech101(images: Path) -> None:
    class_folders(images, "BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "accordion", "airplanes")


def dtd(images: Path) -> None:
    class_folders(images, "banded", "zigzagged")


def eurosat(images: Path) -> None:
    class_folders(images, "AnnualCrop", "Forest", "SeaLake")


def food101(images: Path) -> None:
    class_folders(images, "apple_pie", "waffles")


def oxford_pets(images: Path) -> None:
    rows = {
        part: [f"{breed}_{n} {label} 1 1" for breed, label in PETS.items() for n in numbers]
        for part, numbers in (("trainval", range(1, 11)), ("test", range(11, 14)))
    }
    for part, text in rows.items():
        lines(images.parent / f"annotations/{part}.txt", *text)
        for row in text:
            image(images / f"{row.split()[0]}.jpg")
    (images / "Abyssinian_100.mat").write_bytes(b"not an image, and in the published archive")


def flowers102(images: Path) -> None:
    labels = np.array([1 + (number * 7) % 102 for number in range(408)], dtype=np.uint8)
    for number in range(1, 409):
        image(images / f"image_{number:05d}.jpg")
    savemat(images.parent / "imagelabels.mat", {"labels": labels[None]})
    official = {"trnid": np.arange(1, 103), "valid": np.arange(103, 205), "tstid": np.arange(205, 409)}
    savemat(images.parent / "setid.mat", {key: ids.astype(np.uint16)[None] for key, ids in official.items()})


def fgvc_aircraft(images: Path) -> None:
    lines(images.parent / "variants.txt", *VARIANTS)
    number = 0
    for part, count in (("train", 2), ("val", 1), ("test", 2)):
        rows = []
        for variant in VARIANTS:
            for _ in range(count):
                number += 1
                rows.append(f"{number:07d} {variant}")
                image(images / f"{number:07d}.jpg")
        lines(images.parent / f"images_variant_{part}.txt", *rows)


def sun397(images: Path, *, partition: bool = True) -> None:
    beside = images if images.parent.name not in ("sun397", "SUN397") else images.parent
    lines(beside / "ClassName.txt", *(f"/{scene}" for scene in SCENES))
    keys = [f"{scene}/sun_{index}.jpg" for scene in SCENES for index in range(8)]
    for key in keys:
        image(images / key)
    if partition:
        for file, chosen in (("Training_01.txt", keys[::2]), ("Testing_01.txt", keys[1::2])):
            lines(beside / file, *(f"/{key}" for key in chosen))


def ucf101(images: Path) -> None:
    train, test = [], []
    for label, action in enumerate(ACTIONS, start=1):
        words = {"HammerThrow": "Hammer_Throw", "YoYo": "Yo_Yo"}.get(action, action)
        for group in (1, 7, 8, 9, 10, 25):
            video = f"v_{action}_g{group:02d}_c01"
            image(images / words / f"{video}.jpg")
            (test if group <= 7 else train).append(
                f"{action}/{video}.avi" + (f" {label}" if group > 7 else "")
            )
    lists = images.parent / "ucfTrainTestlist"
    lines(lists / "classInd.txt", *(f"{label} {action}" for label, action in enumerate(ACTIONS, start=1)))
    lines(lists / "trainlist01.txt", *train)
    lines(lists / "testlist01.txt", *test)


def stanford_cars(images: Path) -> None:
    fields = [(f"bbox_{corner}", "O") for corner in ("x1", "y1", "x2", "y2")] + [
        ("class", "O"),
        ("fname", "O"),
    ]
    for part, count in (("train", 6), ("test", 2)):
        rows = []
        for label in range(1, len(CARS) + 1):
            for index in range(count):
                name = f"{label}{index:04d}.jpg"
                image(images / f"cars_{part}/{name}")
                rows.append((1, 2, 3, 4, label, name))
        file = "devkit/cars_train_annos.mat" if part == "train" else "cars_test_annos_withlabels.mat"
        (images / file).parent.mkdir(exist_ok=True)
        savemat(images / file, {"annotations": np.array(rows, dtype=fields)[None]})
    savemat(images / "devkit/cars_meta.mat", {"class_names": np.array(CARS, dtype=object)[None]})


def imagenet(images: Path) -> None:
    beside = images.parent if images.name == "images" else images
    lines(beside / "classnames.txt", *(f"{wordnet} {name}" for wordnet, name in reversed(WORDNET.items())))
    for part, count in (("train", 3), ("val", 2)):
        for wordnet in WORDNET:
            for index in range(count):
                image(images / f"{part}/{wordnet}/{wordnet}_{index}.JPEG")


def python2_pickle(content: dict[str, object]) -> bytes:
    """What Python 2's cPickle, protocol 2, wrote: text as byte strings, arrays through numpy.core."""

    def write(value: object) -> bytes:
        if isinstance(value, str):
            raw = value.encode("latin1")
            return b"T" + len(raw).to_bytes(4, "little") + raw
        if isinstance(value, int):
            return b"J" + value.to_bytes(4, "little", signed=True)
        if isinstance(value, list):
            return b"](" + b"".join(map(write, value)) + b"e"
        assert isinstance(value, np.ndarray)
        dtype = b"cnumpy\ndtype\n" + write(value.dtype.str[1:]) + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + write("|") + b"NNN" + write(-1) + write(-1) + b"K\x00tb"
        shape = b"(" + b"".join(write(side) for side in value.shape) + b"t"
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + write("b") + b"\x87R"
        return start + b"(K\x01" + shape + dtype + b"\x89" + write(value.tobytes().decode("latin1")) + b"tb"

    pairs = b"".join(write(key) + write(value) for key, value in content.items())
    return b"\x80\x02}(" + pairs + b"u."


def batch(label_key: str, labels: list[int], *, first: int = 0, **more: object) -> dict[str, object]:
    pixels = np.arange(first, first + 3072 * len(labels)).astype(np.uint8).reshape(len(labels), 3072)
    names = [f"{label}.png" for label in labels]
    return {"data": pixels, label_key: labels, "filenames": names, "batch_label": "batch", **more}


def cifar10(images: Path) -> None:
    from fedbench.datasets.cifar10 import CIFAR10

    images.mkdir(parents=True)
    for number, file in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = [(number + 3 * index) % 10 for index in range(4)]
        (images / file).write_bytes(python2_pickle(batch("labels", labels, first=number)))
    meta = {"num_cases_per_batch": 10000, "label_names": list(CIFAR10.classnames)}
    (images / "batches.meta").write_bytes(python2_pickle(meta))


def cifar100(images: Path) -> None:
    from fedbench.datasets.cifar100 import CIFAR100

    images.mkdir(parents=True)
    for file, count in (("train", 100), ("test", 20)):
        fine = [(7 * index) % 100 for index in range(count)]
        content = batch("fine_labels", fine, coarse_labels=[label // 5 for label in fine])
        (images / file).write_bytes(python2_pickle(content))
    meta = {"fine_label_names": list(CIFAR100.classnames), "coarse_label_names": ["x"] * 20}
    (images / "meta").write_bytes(python2_pickle(meta))


def domain_folders(images: Path, domains: tuple[str, ...], classes: tuple[str, ...], count: int = 5) -> None:
    for domain in domains:
        class_folders(images / domain, *classes, count=count)


def fedbn_pickles(
    images: Path, domains: tuple[str, ...], classes: tuple[str, ...], *, protocol: int = 2
) -> None:
    """`<domain>_{train,test}.pkl` over `domain_folders`: four images of a class train, one tests."""
    for domain in domains:
        for part, indices in (("train", range(4)), ("test", range(4, 5))):
            rows = [
                (f"{images.name}/{domain}/{name}/image_{i:04d}.jpg", name)
                for name in classes
                for i in indices
            ]
            pair = tuple(np.array(column) for column in zip(*rows, strict=True))
            (images / f"{domain}_{part}.pkl").write_bytes(pickle.dumps(pair, protocol=protocol))


def office_caltech10(images: Path) -> None:
    from fedbench.datasets.office_caltech10 import OfficeCaltech10 as Office

    domain_folders(images, Office.domains, Office.classnames)
    fedbn_pickles(images, Office.domains, Office.classnames)


def domainnet(images: Path) -> None:
    from fedbench.datasets.domainnet import DomainNet

    domain_folders(images, DomainNet.domains, (*DomainNet.classnames, "aircraft_carrier"))
    fedbn_pickles(images, DomainNet.domains, DomainNet.classnames)


def pacs(images: Path) -> None:
    from fedbench.datasets.pacs import PACS

    domain_folders(images, PACS.domains, PACS.classnames)


TREES: dict[str, Callable[[Path], None]] = {
    tree.__name__: tree
    for tree in (
        caltech101, cifar10, cifar100, domainnet, dtd, eurosat, fgvc_aircraft, flowers102, food101, imagenet,
        office_caltech10, oxford_pets, pacs, stanford_cars, sun397, ucf101,
    )
}  # fmt: skip


def plant(name: str, folder: str, root: Path) -> Path:
    """The tree of a dataset with its images in `folder` below `root`, which is returned."""
    TREES[name](root / folder)
    return root


def zhou(path: Path, parts: dict[str, list[tuple[str, int, str]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts))
