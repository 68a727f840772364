"""Which image is in train, val and test: CoOp's `split_zhou_*.json`, or a split made by fedbench itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedbench.data.dataset import Item
from fedbench.errors import FedbenchError
from fedbench.seeds import stream

PARTS = ("train", "val", "test")
TRAIN_SHARE, VAL_SHARE = 0.5, 0.2  # CoOp's shares; test is the rest
HELD_OUT_SHARE = (
    0.2  # of an official training list, for validation (CoOp), and of a domain, for its test (FedBN)
)

Parts = dict[str, tuple[Item, ...]]


def read_zhou(path: Path) -> tuple[tuple[str, ...], Parts]:
    """Class names in label order, and the parts in the file's order, of a `split_zhou_*.json`.

    The order is kept because few-shot draws depend on it. A file that Windows wrote may begin with a byte
    order mark and have backslashes in its paths, the first one included.

    Raises:
        FedbenchError: unreadable or damaged file; entries that are no [path, label, name]; a path that
            leaves the image folder, has an empty folder in it or comes twice; labels other than 0..n-1; a
            label with two names, or a name with two labels; no training or no test image.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FedbenchError(f"split file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FedbenchError(f"split file {path} is damaged, it is no JSON ({error}); get it again") from error
    if not isinstance(content, dict) or set(content) != set(PARTS):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise FedbenchError(
            f"split file {path} must have exactly the keys train, val, test; it has: {found[:80]}"
        )

    names: dict[int, str] = {}
    seen: set[str] = set()
    parts: Parts = {}
    for part in PARTS:
        if not isinstance(content[part], list):
            raise FedbenchError(f"split file {path}: '{part}' is no list")
        parts[part] = tuple(
            _item(entry, names=names, seen=seen, where=f"split file {path}: {part}[{position}]")
            for position, entry in enumerate(content[part])
        )
    if sorted(names) != list(range(len(names))):
        absent = sorted(set(range(max(names) + 1)) - set(names))
        raise FedbenchError(f"split file {path}: labels must be 0..n-1 without gaps; absent: {absent[:5]}")
    if not parts["train"] or not parts["test"]:
        raise FedbenchError(f"split file {path} lists no {'test' if parts['train'] else 'training'} image")
    classnames = tuple(names[label] for label in range(len(names)))
    twice = sorted({name for name in classnames if classnames.count(name) > 1})
    if twice:
        raise FedbenchError(f"split file {path}: class name '{twice[0]}' belongs to more than one label")
    return classnames, parts


def _item(entry: object, *, names: dict[int, str], seen: set[str], where: str) -> Item:
    """One checked entry; adds to `names` (label to name) and `seen` (paths)."""
    if not isinstance(entry, list) or len(entry) != 3:
        raise FedbenchError(f"{where} is no [path, label, class name]: {str(entry)[:80]}")
    key, label, name = entry
    # type(...) is int: True is an int to isinstance
    if not isinstance(key, str) or type(label) is not int or not isinstance(name, str) or not key or not name:
        raise FedbenchError(f"{where} is no [path, label, class name]: {str(entry)[:80]}")
    if label < 0:
        raise FedbenchError(f"{where}: label {label} is negative")
    if "\\" in key:
        key = key.replace("\\", "/").removeprefix("/")
    if key.startswith("/") or ".." in key.split("/"):
        raise FedbenchError(f"{where}: path '{key}' leaves the image folder")
    if {"", "."} & set(key.split("/")):  # else one image could be in two parts under two names
        raise FedbenchError(f"{where}: path '{key}' has an empty or '.' folder in it; get the file again")
    if key in seen:
        raise FedbenchError(f"{where}: image '{key}' is listed twice")
    seen.add(key)
    if names.setdefault(label, name) != name:
        raise FedbenchError(f"{where}: label {label} is called '{name}' here and '{names[label]}' before")
    return Item(key=key, label=label)


def own_split(dataset: str, classes: Mapping[str, Sequence[str]]) -> Parts:
    """A 50/20/30 split per class, the same on every machine and for every run seed.

    Args:
        dataset: its name, which the random stream is named after.
        classes: image keys by class name, in label order.

    Raises:
        FedbenchError: a class has too few images for one in each part.
    """
    parts: dict[str, list[Item]] = {part: [] for part in PARTS}
    for label, (name, keys) in enumerate(classes.items()):
        if len(keys) < 4:
            raise FedbenchError(
                f"{dataset}: class '{name}' has {len(keys)} of the 4 images that fedbench's own "
                "50/20/30 split needs at least; get the images or the published split file"
            )
        # sorted first: the order of a directory listing depends on the file system
        order = stream(0, "own-split", dataset=dataset, name=name).permutation(len(keys))
        shuffled = [sorted(keys)[position] for position in order]
        train, val = round(TRAIN_SHARE * len(keys)), round(VAL_SHARE * len(keys))
        cuts = (shuffled[:train], shuffled[train : train + val], shuffled[train + val :])
        for part, chosen in zip(PARTS, cuts, strict=True):
            parts[part] += [Item(key=key, label=label) for key in chosen]
    return {part: tuple(items) for part, items in parts.items()}


def cut_val(dataset: str, trainval: Sequence[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Training and validation lists from an official list of both: 80/20 per class, in the list's order."""
    groups: dict[int, list[Item]] = {}
    for item in trainval:
        groups.setdefault(item.label, []).append(item)
    val: set[str] = set()
    for label, group in groups.items():
        keys = sorted(item.key for item in group)
        order = stream(0, "own-val", dataset=dataset, label=label).permutation(len(keys))
        val.update(keys[position] for position in order[: round(HELD_OUT_SHARE * len(keys))])
    return (
        tuple(item for item in trainval if item.key not in val),
        tuple(item for item in trainval if item.key in val),
    )


def own_domain_split(
    dataset: str, groups: Mapping[tuple[str, str], Sequence[str]], classnames: Sequence[str]
) -> Parts:
    """An 80/20 train/test split per domain and class, as in FedBN's files; no validation part.

    Args:
        dataset: its name, which the random streams are named after.
        groups: image keys by (domain, class name), domain after domain; a group may be empty.
        classnames: in label order.

    Raises:
        FedbenchError: a group has a single image, which cannot be in both parts.
    """
    train: list[Item] = []
    test: list[Item] = []
    for (domain, name), keys in groups.items():
        if len(keys) == 1:
            raise FedbenchError(
                f"{dataset}: class '{name}' has 1 of the 2 images that fedbench's own 80/20 split needs at "
                f"least "
                f"in domain '{domain}'; get the images, or remove that one"
            )
        order = stream(0, "own-split", dataset=dataset, domain=domain, name=name).permutation(len(keys))
        items = [Item(sorted(keys)[position], classnames.index(name), domain) for position in order]
        cut = min(round((1 - HELD_OUT_SHARE) * len(items)), max(len(items) - 1, 0))
        train += items[:cut]
        test += items[cut:]
    return {"train": tuple(train), "val": (), "test": tuple(test)}
