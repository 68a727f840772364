"""CIFAR-100: 100 classes of 32 x 32 images in 20 superclasses."""

from fedbench.data.cifar import BatchDataset
from fedbench.registry import DATASETS


@DATASETS.register("cifar100")
class CIFAR100(BatchDataset):
    """torchvision's files, read without running them. `superclasses` is what the files say."""

    title = "CIFAR-100"
    image_folders = (
        "cifar-100/cifar-100-python",  # FedPGP
        "cifar-100-python",  # torchvision
    )
    n_classes = 100
    published = (50_000, 0, 10_000)
    torchvision = "CIFAR100"
    download = "cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"

    classnames = (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
        "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
        "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
        "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
        "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew",
        "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
        "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout",
        "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    )  # fmt: skip
    statistics = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
    files = {"train": ("train",), "test": ("test",)}
    meta = ("meta", "fine_label_names")
    label_key = "fine_labels"
    group_key = "coarse_labels"
