"""DTD: 47 textures, named by adjectives."""

from fedbench.data.folders import FolderDataset
from fedbench.registry import DATASETS


@DATASETS.register("dtd")
class DTD(FolderDataset):
    """Class names are the folders'. CoOp pools the official 40/40/40 images a class and splits 60/24/36."""

    title = "DTD (DescribableTextures)"
    bibtex = """@inproceedings{cimpoi2014describing,
        author = {Cimpoi, Mircea and Maji, Subhransu and Kokkinos, Iasonas and Mohamed, Sammy and Vedaldi, Andrea},
        title = {Describing Textures in the Wild},
        booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2014},
    }"""

    image_folders = (
        "dtd/images",  # CoOp
        "dtd/dtd/images",  # torchvision
    )
    split_file = "split_zhou_DescribableTextures.json"
    size = 5640
    n_classes = 47
    published = (2820, 1128, 1692)
    torchvision = "DTD"
    download = "dtd-r1.0.1.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/dtd/"
