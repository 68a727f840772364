"""DomainNet, the 10 classes that FedBN chose, in six domains."""

from fedbench.data.domains import DomainDataset
from fedbench.registry import DATASETS


@DATASETS.register("domainnet")
class DomainNet(DomainDataset):
    """FedBN's files with the images of the six archives, whose other 335 classes are not part of it."""

    title = "DomainNet (10 classes)"
    bibtex = """@inproceedings{peng2019moment,
        author = {Peng, Xingchao and Bai, Qinxun and Xia, Xide and Huang, Zijun and Saenko, Kate and Wang, Bo},
        title = {Moment Matching for Multi-Source Domain Adaptation},
        booktitle = {IEEE/CVF International Conference on Computer Vision},
        year = {2019},
    }"""

    image_folders = ("DomainNet", "domainnet")  # FedBN; mirrors
    size = 22_850
    n_classes = 10
    published = (18_277, 0, 4573)
    published_sure = False
    download = (
        "domainnet_dataset.zip (the split) from https://huggingface.co/datasets/Jemary/FedBN_Dataset, and "
        "the six "
        "archives of images from csr.bu.edu/ftp/visda/2019/multi-source"
    )

    domains = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
    classnames = (
        "bird", "feather", "headphones", "ice_cream", "teapot", "tiger", "whale", "windmill", "wine_glass",
        "zebra",
    )  # fmt: skip
