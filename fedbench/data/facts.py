"""What the registry says about the datasets: for `bench data list`, `bench list datasets` and docs/datasets.md."""

from pathlib import Path

from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS


def datasets() -> list[type[Dataset]]:
    """Every registered dataset, by name."""
    return [DATASETS[name] for name in DATASETS]


def facts(dataset: type[Dataset], root: Path | None = None) -> dict[str, str]:
    """A dataset in words, by column; with `root`, also where its images are and whether they are all there."""
    row = {
        "name": dataset.name if dataset.image_folders or dataset.n_classes else f"{dataset.name}:PATH",
        "title": dataset.title,
        "classes": str(dataset.n_classes or "any"),
        "train / val / test": counts(dataset),
        "folders": ", ".join(dataset.image_folders) or "none",
        "split file": dataset.split_file,
        "prepare": "downloads" if dataset.torchvision else "says how" if dataset.image_folders else "",
    }
    if dataset.domains:
        row["domains"] = ", ".join(dataset.domains)
    if dataset.download:
        row["download"] = dataset.download
    if root is not None:
        row |= {"on disk": on_disk(dataset, root), "state": state(dataset, root)}
    return row


def on_disk(dataset: type[Dataset], root: Path) -> str:
    """The image folder that is there, below `root`; "built-in", or empty."""
    if not dataset.image_folders:
        return "built-in" if dataset.n_classes else ""
    return next((folder for folder in dataset.image_folders if (root / folder).is_dir()), "")


def state(dataset: type[Dataset], root: Path) -> str:
    """What `root` has of the dataset's images: all, some, none, or nothing that can be used, and why.

    Nothing is decoded; `bench data verify` does that.
    """
    if on_disk(dataset, root) in ("", "built-in"):
        return on_disk(dataset, root) or ("absent" if dataset.image_folders else "")
    try:
        found = dataset(root, allow_missing=True)
    except FedbenchError as error:
        return f"unusable: {error}"
    wanted = found.missing + sum(map(len, found.parts.values()))
    return f"{found.missing:,} of {wanted:,} missing" if found.missing else "complete"


def counts(dataset: type[Dataset]) -> str:
    """`4128 / 1649 / 2465`, or nothing; "about", where nobody could check it."""
    about = "" if dataset.published_sure else "about "
    return about + " / ".join(map(str, dataset.published)) if dataset.published else ""
