"""What the registry says about the datasets: the rows of `bench data list`, and docs/datasets.md."""

from collections.abc import Iterator
from pathlib import Path

from fedbench.data.dataset import Dataset
from fedbench.registry import DATASETS

PAGE = """\
# Datasets

Written by `python -m fedbench.data.facts > docs/datasets.md` from the classes in `datasets/`; a test
compares. Counts are those of the published split: CoOp's `split_zhou_*.json`, else the dataset's own. Where
a split file is missing, `bench data verify` says which split is used instead ([protocols](protocols.md)).

| name | title | classes | train / val / test | folders below the data root | split file | `prepare` |
|---|---|---|---|---|---|---|
"""
NOTES = """
Splits where there is no split file:

- all images of a class, shuffled with a fixed seed and cut 50/20/30 (`own`): Caltech101, DTD, EuroSAT,
  Flowers102, Food101, and SUN397 without its lists;
- the official test images, and a fifth of the official training images for validation (`official`):
  OxfordPets, StanfordCars, SUN397 (partition 01), UCF101 (split 01);
- the official split (`official`): FGVCAircraft, CIFAR-10, CIFAR-100, ImageNet (`val` is the test set);
- FedBN's pickles (`official`), else 80/20 per domain and class (`own`): Office-Caltech10, DomainNet; PACS is
  always `own`.

Domains, in their fixed order (`parts` have all of them, except that those of `shapes` are its photos):

"""
FOLDER = """
`folder:PATH` is any folder of class folders, of domains of class folders, or of `train`, (`val`) and `test`
of class folders. See [adding a dataset](adding-a-dataset.md).

## Where to get them

What `bench data prepare NAME` cannot download, it asks for:

"""


def datasets() -> list[type[Dataset]]:
    """Every registered dataset, by name."""
    return [DATASETS[name] for name in DATASETS]


def facts(dataset: type[Dataset], root: Path | None = None) -> dict[str, str]:
    """A dataset in words, by column; with `root`, also where its images are."""
    row = {
        "name": dataset.name if dataset.image_folders or dataset.n_classes else f"{dataset.name}:PATH",
        "title": dataset.title,
        "classes": str(dataset.n_classes or "any"),
        "train / val / test": counts(dataset),
        "folders": ", ".join(dataset.image_folders) or "none",
        "split file": dataset.split_file,
        "prepare": "downloads" if dataset.torchvision else "says how" if dataset.image_folders else "",
    }
    if root is not None:
        row["on disk"] = on_disk(dataset, root)
    return row


def on_disk(dataset: type[Dataset], root: Path) -> str:
    """The image folder that is there, below `root`; "built-in", or empty."""
    if not dataset.image_folders:
        return "built-in" if dataset.n_classes else ""
    return next((folder for folder in dataset.image_folders if (root / folder).is_dir()), "")


def counts(dataset: type[Dataset]) -> str:
    """`4128 / 1649 / 2465`, or nothing; "about", where nobody could check it."""
    about = "" if dataset.published_sure else "about "
    return about + " / ".join(map(str, dataset.published)) if dataset.published else ""


def page() -> str:
    """The content of docs/datasets.md: the datasets of this project, not those of plug-ins."""
    own = [dataset for dataset in datasets() if dataset.__module__.startswith("fedbench.datasets.")]
    return PAGE + "".join(_lines(own)) + NOTES + "".join(_domains(own)) + FOLDER + "".join(_downloads(own))


def _lines(own: list[type[Dataset]]) -> Iterator[str]:
    for dataset in own:
        row = facts(dataset)
        for code in ("name", "split file"):
            row[code] = f"`{row[code]}`" if row[code] else ""
        row["folders"] = "<br>".join(f"`{folder}/`" for folder in dataset.image_folders) or "none"
        yield f"| {' | '.join(row.values())} |\n"


def _domains(own: list[type[Dataset]]) -> Iterator[str]:
    for dataset in own:
        if dataset.domains:
            yield f"- `{dataset.name}`: {', '.join(dataset.domains)}\n"


def _downloads(own: list[type[Dataset]]) -> Iterator[str]:
    for dataset in own:
        if dataset.download and not dataset.torchvision:
            yield f"- `{dataset.name}`: {dataset.download}\n"


if __name__ == "__main__":
    print(page(), end="")
