"""Rewrites docs/methods.md and docs/datasets.md from the registries: `python scripts/pages.py`. A test compares."""

from collections.abc import Iterator
from pathlib import Path

from fedbench.clip.load import skeleton
from fedbench.commands.details import MODEL, needs, quirks
from fedbench.data.dataset import Dataset
from fedbench.data.facts import datasets, facts
from fedbench.method import Method
from fedbench.registry import METHODS
from fedbench.store.files import write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"

METHODS_HEAD = """\
# The zoo

Written by `python scripts/pages.py` from the classes in `methods/`; a test compares. Numbers of parameters are for
ViT-B/16 at the default hyper-parameters; what is shared is sent up and down once per client and round, as 4-byte
floats. `bench list methods NAME` shows one method whole: hyper-parameters, tensors, quirks, BibTeX.

| method | trainable | shared | personal | needs of an image | quirks | paper |
|---|---:|---:|---:|---|---|---|
"""
METHODS_QUIRKS = """
## Quirks

Released behaviours that differ from the papers, off by default: `bench run --quirks NAME`, or `OWNER:NAME`
([footguns](footguns.md)).

"""
DATASETS_HEAD = """\
# Datasets

Written by `python scripts/pages.py` from the classes in `datasets/`; a test compares. Counts are those of the published
split: CoOp's `split_zhou_*.json`, else the dataset's own. Where a split file is missing, `bench data verify` says which
split is used instead ([protocols](protocols.md)).

| name | title | classes | train / val / test | folders below the data root | split file | `prepare` |
|---|---|---|---|---|---|---|
"""
DATASETS_NOTES = """
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
DATASETS_FOLDER = """
`folder:PATH` is any folder of class folders, of domains of class folders, or of `train`, (`val`) and `test`
of class folders. See [adding a dataset](adding-a-dataset.md).

## Where to get them

What `bench data prepare NAME` cannot download, it asks for:

"""


def methods_page() -> str:
    """The methods of this project, not those of plug-ins."""
    clip = skeleton(MODEL)
    own = [METHODS[name] for name in METHODS if METHODS[name].__module__.startswith("fedbench.methods.")]
    rows = (_method_row(cls(clip, ("cat", "dog"))) for cls in own)
    theirs = {quirk for cls in own for quirk in cls.quirks}
    lines = (f"- `{quirk}`: {text}\n" for quirk, text in quirks(METHODS) if quirk in theirs)
    return METHODS_HEAD + "".join(rows) + METHODS_QUIRKS + "".join(lines)


def _method_row(method: Method) -> str:
    sizes = method.payload
    numbers = " | ".join(f"{sizes[key]:,}" for key in ("trainable", "shared", "personal"))
    names = ", ".join(f"`{quirk}`" for quirk in method.quirks)
    return f"| {method.name} | {numbers} | {needs(method.image_input)} | {names} | {method.paper} |\n"


def datasets_page() -> str:
    """The datasets of this project, not those of plug-ins."""
    own = [dataset for dataset in datasets() if dataset.__module__.startswith("fedbench.datasets.")]
    rows, notes = "".join(map(_dataset_row, own)), "".join(_domains(own))
    return DATASETS_HEAD + rows + DATASETS_NOTES + notes + DATASETS_FOLDER + "".join(_downloads(own))


def _dataset_row(dataset: type[Dataset]) -> str:
    row = facts(dataset)
    for code in ("name", "split file"):
        row[code] = f"`{row[code]}`" if row[code] else ""
    row["folders"] = "<br>".join(f"`{folder}/`" for folder in dataset.image_folders) or "none"
    columns = ("name", "title", "classes", "train / val / test", "folders", "split file", "prepare")
    return f"| {' | '.join(row[column] for column in columns)} |\n"


def _domains(own: list[type[Dataset]]) -> Iterator[str]:
    for dataset in own:
        if dataset.domains:
            yield f"- `{dataset.name}`: {', '.join(dataset.domains)}\n"


def _downloads(own: list[type[Dataset]]) -> Iterator[str]:
    for dataset in own:
        if dataset.download and not dataset.torchvision:
            yield f"- `{dataset.name}`: {dataset.download}\n"


PAGES = {DOCS / "methods.md": methods_page, DOCS / "datasets.md": datasets_page}

if __name__ == "__main__":
    for path, page in PAGES.items():
        write_text(path, page())
