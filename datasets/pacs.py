"""PACS: 7 classes as art painting, cartoon, photo and sketch."""

from fedbench.data.domains import DomainDataset
from fedbench.registry import DATASETS


@DATASETS.register("pacs")
class PACS(DomainDataset):
    """Images in domain folders, split by fedbench: the official lists are not read."""

    title = "PACS"
    bibtex = """@inproceedings{li2017deeper,
        author = {Li, Da and Yang, Yongxin and Song, Yi-Zhe and Hospedales, Timothy M.},
        title = {Deeper, Broader and Artier Domain Generalization},
        booktitle = {IEEE International Conference on Computer Vision},
        year = {2017},
    }"""

    image_folders = ("pacs/images", "pacs", "PACS/kfold", "PACS")  # Dassl; plain; DomainBed; plain
    size = 9991
    n_classes = 7
    download = "PACS.zip, linked in https://domaingeneralization.github.io"

    domains = ("art_painting", "cartoon", "photo", "sketch")
    classnames = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
