"""CIFAR-10: 10 classes of 32 x 32 images."""

from fedbench.data.cifar import BatchDataset
from fedbench.registry import DATASETS


@DATASETS.register("cifar10")
class CIFAR10(BatchDataset):
    """torchvision's files, read without running them."""

    title = "CIFAR-10"
    image_folders = (
        "cifar-10/cifar-10-batches-py",  # FedPGP
        "cifar-10-batches-py",  # torchvision
    )
    n_classes = 10
    published = (50_000, 0, 10_000)
    torchvision = "CIFAR10"
    download = "cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"

    classnames = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    statistics = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    files = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
    meta = ("batches.meta", "label_names")
    label_key = "labels"
