"""Caltech101: 100 object categories as CoOp and the federated prompt-learning papers use it."""

from fedbench.data.folders import FolderDataset
from fedbench.registry import DATASETS

DROPPED = {"BACKGROUND_Google", "Faces_easy"}  # no class, and the faces of `Faces` once more
RENAMED = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}


@DATASETS.register("caltech101")
class Caltech101(FolderDataset):
    """Labels follow the sorted folders, capitals first: face, leopard, motorbike, accordion, airplane, ..."""

    title = "Caltech101"
    bibtex = """@inproceedings{feifei2004learning,
        author = {Fei-Fei, Li and Fergus, Rob and Perona, Pietro},
        title = {Learning Generative Visual Models from Few Training Examples: An Incremental {Bayesian}
                 Approach Tested on 101 Object Categories},
        booktitle = {CVPR Workshop on Generative-Model Based Vision},
        year = {2004},
    }"""

    image_folders = (
        "caltech-101/101_ObjectCategories",  # CoOp
        "caltech101/101_ObjectCategories",  # torchvision
    )
    split_file = "split_zhou_Caltech101.json"
    size = 8242
    n_classes = 100
    published = (4128, 1649, 2465)
    torchvision = "Caltech101"
    download = (
        "caltech-101.zip from https://data.caltech.edu/records/mzrjq-6wc02; unpack it and the "
        "101_ObjectCategories.tar.gz inside"
    )

    def classname(self, folder: str) -> str | None:
        """The class name of a folder; None for the two that the benchmark leaves out."""
        return None if folder in DROPPED else RENAMED.get(folder, folder)
