"""Food101: 101 dishes."""

from fedbench.data.folders import FolderDataset
from fedbench.registry import DATASETS


@DATASETS.register("food101")
class Food101(FolderDataset):
    """Class names are the folders' (`apple_pie`). CoOp pools the official 750/250 a class and splits anew."""

    title = "Food101"
    bibtex = """@inproceedings{bossard2014food,
        author = {Bossard, Lukas and Guillaumin, Matthieu and Van Gool, Luc},
        title = {Food-101 -- Mining Discriminative Components with Random Forests},
        booktitle = {European Conference on Computer Vision},
        year = {2014},
    }"""

    image_folders = ("food-101/images",)  # CoOp and torchvision
    split_file = "split_zhou_Food101.json"
    size = 101_000
    n_classes = 101
    published = (50_500, 20_200, 30_300)
    torchvision = "Food101"
    download = "food-101.tar.gz from https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
