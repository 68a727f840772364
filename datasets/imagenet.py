"""ImageNet: 1000 classes (ILSVRC 2012); its validation images are the test set."""

from functools import cached_property

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.images import class_folders, images
from fedbench.data.lists import read_columns
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

NAMES = "classnames.txt"


@DATASETS.register("imagenet")
class ImageNet(FolderDataset):
    """A folder is a WordNet id; labels follow the sorted ids, names are CLIP's, from CoOp's `classnames.txt`.

    Two of those names stand for two classes each: their prompts are the same, as published.
    """

    title = "ImageNet"
    bibtex = """@inproceedings{deng2009imagenet,
        author = {Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li},
        title = {{ImageNet}: A Large-Scale Hierarchical Image Database},
        booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2009},
    }"""

    image_folders = (
        "imagenet/images",  # CoOp
        "imagenet",  # torchvision
    )
    size = 1_331_167
    n_classes = 1000
    published = (1_281_167, 0, 50_000)
    download = (
        "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org/download (sorted "
        "into "
        "train/ID and val/ID), and classnames.txt from "
        "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
    )

    def classname_of(self, key: str) -> str | None:
        """The name of the folder's WordNet id."""
        return self._names.get(key.split("/")[1])

    def from_folders(self) -> Found:
        """The images in `train/` and `val/`, in sorted order."""
        train, test = self._items("train"), self._items("val")
        self.count_found(len(train) + len(test))
        return "official", tuple(self._names.values()), {"train": train, "val": (), "test": test}

    @cached_property
    def _names(self) -> dict[str, str]:
        """Class name by WordNet id, sorted by id."""
        paths = self.listed(NAMES)
        if paths is None:
            raise self.unsplit(NAMES)
        return dict(sorted(read_columns(paths[0], 2)))

    def _items(self, part: str) -> tuple[Item, ...]:
        folder = self.image_root / part
        labels = {wordnet: label for label, wordnet in enumerate(self._names)}
        found = class_folders(folder) if folder.is_dir() else []
        if folder.is_dir() and (loose := images(folder)):  # as ILSVRC2012_img_val.tar unpacks
            raise FedbenchError(
                f"imagenet: {len(loose)} images of {folder} are in no class folder; sort them into "
                f"{part}/ID, for example {part}/{next(iter(self._names), 'n01440764')}"
            )
        if unknown := [wordnet for wordnet in found if wordnet not in labels]:
            raise FedbenchError(
                f"imagenet: folder {folder / unknown[0]} is of no class of {NAMES}; move it away"
            )
        return tuple(Item(f"{part}/{w}/{file}", labels[w]) for w in found for file in images(folder / w))
