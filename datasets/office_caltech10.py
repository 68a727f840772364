"""Office-Caltech10: 10 office objects in four domains."""

from fedbench.data.domains import DomainDataset
from fedbench.registry import DATASETS


@DATASETS.register("office_caltech10")
class OfficeCaltech10(DomainDataset):
    """FedBN's files, or the images of any mirror in domain folders."""

    title = "Office-Caltech10"
    bibtex = """@inproceedings{gong2012geodesic,
        author = {Gong, Boqing and Shi, Yuan and Sha, Fei and Grauman, Kristen},
        title = {Geodesic Flow Kernel for Unsupervised Domain Adaptation},
        booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2012},
    }"""

    image_folders = ("office_caltech_10", "office-caltech-10", "OfficeCaltech10")  # FedBN; mirrors
    size = 2533
    n_classes = 10
    published = (2025, 0, 508)
    published_sure = False
    download = "office_caltech_10_dataset.zip (images and split) from https://huggingface.co/datasets/Jemary/FedBN_Dataset"

    domains = ("amazon", "caltech", "dslr", "webcam")
    classnames = (
        "back_pack", "bike", "calculator", "headphones", "keyboard", "laptop_computer", "monitor", "mouse",
        "mug", "projector",
    )  # fmt: skip
    aliases = {"caltech10": "caltech", "backpack": "back_pack", "laptop": "laptop_computer"}
