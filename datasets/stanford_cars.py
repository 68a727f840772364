"""StanfordCars: 196 cars by make, model and year."""

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.lists import read_matlab
from fedbench.data.parts import cut_val
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

TRAIN, TEST, META = "devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat", "devkit/cars_meta.mat"


@DATASETS.register("stanford_cars")
class StanfordCars(FolderDataset):
    """The year comes first in a class name: `2012 Acura TL Sedan`."""

    title = "StanfordCars"
    bibtex = """@inproceedings{krause20133d,
        author = {Krause, Jonathan and Stark, Michael and Deng, Jia and Fei-Fei, Li},
        title = {{3D} Object Representations for Fine-Grained Categorization},
        booktitle = {IEEE Workshop on 3D Representation and Recognition},
        year = {2013},
    }"""

    image_folders = ("stanford_cars",)  # CoOp and torchvision; with cars_train/ and cars_test/ in it
    split_file = "split_zhou_StanfordCars.json"
    size = 16_185
    n_classes = 196
    published = (6509, 1635, 8041)
    download = (
        "cars_train, cars_test, devkit and cars_test_annos_withlabels.mat: no longer at "
        "https://ai.stanford.edu/~jkrause/cars/car_dataset.html; "
        "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md says where"
    )

    def classname_of(self, key: str) -> str | None:
        """Nothing: images are not in class folders."""
        return None

    def from_lists(self) -> Found | None:
        """The official test images, and a fifth of the official training images for validation."""
        paths = self.listed(TRAIN, TEST, META)
        if paths is None:
            return None
        names = tuple(map(_year_first, read_matlab(paths[2], "class_names").tolist()))
        trainval, test = (
            self._items(folder, read_matlab(path, "annotations"), len(names))
            for folder, path in (("cars_train", paths[0]), ("cars_test", paths[1]))
        )
        train, val = cut_val(self.name, trainval)
        return "official", names, {"train": train, "val": val, "test": tuple(test)}

    def from_folders(self) -> Found:
        """Impossible: the images are not in class folders."""
        raise self.unsplit(TRAIN, TEST, META)

    def _items(self, folder: str, rows: object, classes: int) -> list[Item]:
        items = []
        try:
            for row in rows:  # type: ignore[attr-defined]
                items.append(Item(f"{folder}/{row['fname']}", int(row["class"]) - 1))
        except (IndexError, TypeError, ValueError) as error:
            raise FedbenchError(
                f"stanford_cars: damaged list of {folder} ({error}); get the devkit again"
            ) from error
        if not {item.label for item in items} <= set(range(classes)):
            raise FedbenchError(
                f"stanford_cars: labels of {folder} are not those of {META}; get the devkit again"
            )
        return items


def _year_first(name: object) -> str:
    *words, year = str(name).split(" ")
    return " ".join([year, *words])
