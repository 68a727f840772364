"""OxfordPets: 37 breeds of cats and dogs."""

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.lists import read_columns
from fedbench.data.parts import cut_val
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

BREEDS = (
    "abyssinian", "american_bulldog", "american_pit_bull_terrier", "basset_hound", "beagle", "bengal",
    "birman", "bombay", "boxer", "british_shorthair", "chihuahua", "egyptian_mau", "english_cocker_spaniel",
    "english_setter", "german_shorthaired", "great_pyrenees", "havanese", "japanese_chin", "keeshond",
    "leonberger", "maine_coon", "miniature_pinscher", "newfoundland", "persian", "pomeranian", "pug",
    "ragdoll", "russian_blue", "saint_bernard", "samoyed", "scottish_terrier", "shiba_inu", "siamese",
    "sphynx", "staffordshire_bull_terrier", "wheaten_terrier", "yorkshire_terrier",
)  # fmt: skip
LISTS = ("annotations/trainval.txt", "annotations/test.txt")


@DATASETS.register("oxford_pets")
class OxfordPets(FolderDataset):
    """An image's name says its breed: `Abyssinian_100.jpg`. All images lie in one folder."""

    title = "OxfordPets"
    bibtex = """@inproceedings{parkhi2012cats,
        author = {Parkhi, Omkar M. and Vedaldi, Andrea and Zisserman, Andrew and Jawahar, C. V.},
        title = {Cats and Dogs},
        booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2012},
    }"""

    image_folders = (
        "oxford_pets/images",  # CoOp
        "oxford-iiit-pet/images",  # torchvision
    )
    split_file = "split_zhou_OxfordPets.json"
    size = 7349
    n_classes = 37
    published = (2944, 736, 3669)
    torchvision = "OxfordIIITPet"
    quirks = {
        "fixed-shots": "in base-to-novel (partition=published), the training images are drawn after the generator's "
        "reset to 2023: the same for all seeds"
    }
    download = "images.tar.gz and annotations.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/pets/"

    @property
    def fixed_shots(self) -> bool:
        """Under its quirk."""
        return self.quirk("fixed-shots")

    def classname_of(self, key: str) -> str | None:
        """The breed in the file's name."""
        return key.rpartition("_")[0].lower()

    def from_lists(self) -> Found | None:
        """The official test list, and a fifth of the official training list for validation."""
        paths = self.listed(*LISTS)
        if paths is None:
            return None
        trainval, test = ([self._item(row) for row in read_columns(path, 4)] for path in paths)
        train, val = cut_val(self.name, trainval)
        return "official", BREEDS, {"train": train, "val": val, "test": tuple(test)}

    def from_folders(self) -> Found:
        """Impossible: the images are not in class folders."""
        raise self.unsplit(*LISTS)

    def _item(self, row: list[str]) -> Item:
        key = f"{row[0]}.jpg"
        breed = self.classname_of(key)
        if breed not in BREEDS or row[1] != str(BREEDS.index(breed) + 1):
            raise FedbenchError(
                f"oxford_pets: '{' '.join(row)}' in its lists is no image of that class; get the lists again"
            )
        return Item(key, BREEDS.index(breed))
