"""Office-Caltech10: 10 office objects in four domains."""

from fedbench.data.domains import DomainDataset
from fedbench.registry import DATASETS


@DATASETS.register("office_caltech10")
class OfficeCaltech10(DomainDataset):
    """FedBN's files, or the images of any mirror in domain folders."""

    title = "Office-Caltech10"
    citation = (
        "B. Gong, Y. Shi, F. Sha, K. Grauman. Geodesic flow kernel for unsupervised domain adaptation. CVPR, "
        "2012."
    )

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
