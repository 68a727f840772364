"""SUN397: 397 scenes."""

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.images import class_folders, images
from fedbench.data.lists import read_lines
from fedbench.data.parts import cut_val
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

SCENES = "ClassName.txt"
LISTS = ("Training_01.txt", "Testing_01.txt")


@DATASETS.register("sun397")
class SUN397(FolderDataset):
    """A class is a path: `a/apartment_building/outdoor` is called `outdoor apartment_building`.

    The published split has 100 of each class's images; without lists, all 108 754 are split.
    """

    title = "SUN397"
    bibtex = """@inproceedings{xiao2010sun,
        author = {Xiao, Jianxiong and Hays, James and Ehinger, Krista A. and Oliva, Aude and Torralba, Antonio},
        title = {{SUN} Database: Large-Scale Scene Recognition from Abbey to Zoo},
        booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2010},
    }"""

    image_folders = (
        "sun397/SUN397",  # CoOp
        "SUN397/SUN397",  # pFedMMA
        "SUN397",  # torchvision
    )
    split_file = "split_zhou_SUN397.json"
    size = 108_754
    n_classes = 397
    published = (15_880, 3970, 19_850)
    torchvision = "SUN397"
    download = "SUN397.tar.gz and Partitions.zip from https://vision.princeton.edu/projects/2010/SUN/"

    def classname_of(self, key: str) -> str | None:
        """The folders after the letter, last first."""
        return " ".join(reversed(key.split("/")[1:-1]))

    def from_lists(self) -> Found | None:
        """Partition 01, with a fifth of its training list for validation."""
        paths = self.listed(*LISTS)
        if paths is None:
            return None
        names = tuple(self._scenes())
        labels = {name: label for label, name in enumerate(names)}
        trainval, test = (self._items(read_lines(path), labels) for path in paths)
        train, val = cut_val(self.name, trainval)
        return "official", names, {"train": train, "val": val, "test": tuple(test)}

    def classes(self) -> dict[str, list[str]]:
        """Image keys by class, in the order of `ClassName.txt`, else of the sorted folders."""
        found: dict[str, list[str]] = {}
        waiting = class_folders(self.image_root)[::-1]
        while waiting:
            folder = waiting.pop()
            if files := images(self.image_root / folder):
                found[self.classname_of(f"{folder}/") or folder] = [f"{folder}/{file}" for file in files]
            waiting += [f"{folder}/{inner}" for inner in class_folders(self.image_root / folder)[::-1]]
        order = {name: label for label, name in enumerate(self._scenes())} or dict.fromkeys(found, 0)
        return {name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))}

    def _scenes(self) -> list[str]:
        """Class names in label order; empty if the list is not there."""
        paths = self.listed(SCENES)
        return (
            [self.classname_of(f"{line.strip('/')}/") or "" for line in read_lines(paths[0])] if paths else []
        )

    def _items(self, lines: list[str], labels: dict[str, int]) -> list[Item]:
        items = []
        for line in lines:
            name = self.classname_of(line.strip("/")) or ""
            if name not in labels:
                raise FedbenchError(
                    f"sun397: '{line}' in its lists is of no class of {SCENES}; get both again"
                )
            items.append(Item(line.strip("/"), labels[name]))
        return items
