"""Flowers102: 102 flowers that are common in the United Kingdom."""

from functools import cached_property

from fedbench.data.folders import FolderDataset, Found
from fedbench.data.lists import read_matlab
from fedbench.data.parts import own_split
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

FLOWERS = (
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold",
    "tiger lily", "moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon",
    "colt's foot", "king protea", "spear thistle", "yellow iris", "globe-flower", "purple coneflower",
    "peruvian lily", "balloon flower", "giant white arum lily", "fire lily", "pincushion flower",
    "fritillary", "red ginger", "grape hyacinth", "corn poppy", "prince of wales feathers",
    "stemless gentian", "artichoke", "sweet william", "carnation", "garden phlox", "love in the mist",
    "mexican aster", "alpine sea holly", "ruby-lipped cattleya", "cape flower", "great masterwort",
    "siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia",
    "bolero deep blue", "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia",
    "wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium",
    "orange dahlia", "pink-yellow dahlia", "cautleya spicata", "japanese anemone", "black-eyed susan",
    "silverbush", "californian poppy", "osteospermum", "spring crocus", "bearded iris", "windflower",
    "tree poppy", "gazania", "azalea", "water lily", "rose", "thorn apple", "morning glory",
    "passion flower", "lotus", "toad lily", "anthurium", "frangipani", "clematis", "hibiscus", "columbine",
    "desert-rose", "tree mallow", "magnolia", "cyclamen", "watercress", "canna lily", "hippeastrum",
    "bee balm", "ball moss", "foxglove", "bougainvillea", "camellia", "mallow", "mexican petunia",
    "bromelia", "blanket flower", "trumpet creeper", "blackberry lily",
)  # fmt: skip
"""In the order of cat_to_name.json, in CoOp's spelling."""
LABELS = "imagelabels.mat"


@DATASETS.register("flowers102")
class Flowers102(FolderDataset):
    """Labels are in `imagelabels.mat`, image by image. The split file's classes start with label 76.

    The official split (`setid.mat`) has 10 training images a class and is not used: without CoOp's split
    file, all images are pooled and split anew, as CoOp did.
    """

    title = "Flowers102"
    bibtex = """@inproceedings{nilsback2008automated,
        author = {Nilsback, Maria-Elena and Zisserman, Andrew},
        title = {Automated Flower Classification over a Large Number of Classes},
        booktitle = {Indian Conference on Computer Vision, Graphics and Image Processing},
        year = {2008},
    }"""

    image_folders = (
        "oxford_flowers/jpg",  # CoOp
        "flowers-102/jpg",  # torchvision
    )
    split_file = "split_zhou_OxfordFlowers.json"
    size = 8189
    n_classes = 102
    published = (4093, 1633, 2463)
    torchvision = "Flowers102"
    download = "102flowers.tgz and imagelabels.mat from https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"

    def classname_of(self, key: str) -> str | None:
        """What `imagelabels.mat` says, where it is there."""
        label = self._labels.get(key)
        return None if label is None else FLOWERS[label]

    def from_lists(self) -> Found | None:
        """Fedbench's own split of all images that `imagelabels.mat` lists."""
        if not self._labels:
            return None
        classes: dict[str, list[str]] = {name: [] for name in FLOWERS}
        for key, label in self._labels.items():
            classes[FLOWERS[label]].append(key)
        return "own", FLOWERS, own_split(self.name, classes)

    def from_folders(self) -> Found:
        """Impossible: the images are not in class folders."""
        raise self.unsplit(LABELS)

    @cached_property
    def _labels(self) -> dict[str, int]:
        """Label by key; empty if the list is not there."""
        paths = self.listed(LABELS)
        if paths is None:
            return {}
        labels = read_matlab(paths[0], "labels")
        if labels.dtype.kind not in "iu" or not ((labels >= 1) & (labels <= len(FLOWERS))).all():
            raise FedbenchError(f"list {paths[0]} has other labels than 1 to {len(FLOWERS)}; get it again")
        return {f"image_{number:05d}.jpg": int(label) - 1 for number, label in enumerate(labels, start=1)}
