"""FGVCAircraft: 100 variants of aircraft, with the official split."""

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.lists import read_columns, read_lines
from fedbench.data.parts import PARTS
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

LISTS = ("variants.txt", *(f"images_variant_{part}.txt" for part in PARTS))


@DATASETS.register("fgvc_aircraft")
class FGVCAircraft(FolderDataset):
    """Labels are the lines of `variants.txt`; CoOp has no split file of its own."""

    title = "FGVCAircraft"
    bibtex = """@misc{maji2013fine,
        author = {Maji, Subhransu and Rahtu, Esa and Kannala, Juho and Blaschko, Matthew and Vedaldi, Andrea},
        title = {Fine-Grained Visual Classification of Aircraft},
        eprint = {1306.5151},
        archiveprefix = {arXiv},
        year = {2013},
    }"""

    image_folders = (
        "fgvc_aircraft/images",  # CoOp
        "fgvc-aircraft-2013b/data/images",  # torchvision
    )
    size = 10_000
    n_classes = 100
    published = (3334, 3333, 3333)
    torchvision = "FGVCAircraft"
    download = "fgvc-aircraft-2013b.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"

    def from_lists(self) -> Found | None:
        """The official lists: image number, blank, variant."""
        paths = self.listed(*LISTS)
        if paths is None:
            return None
        variants = tuple(read_lines(paths[0]))
        labels = {variant: label for label, variant in enumerate(variants)}
        parts = {}
        for part, path in zip(PARTS, paths[1:], strict=True):
            rows = read_columns(path, 2)
            for _, variant in rows:
                if variant not in labels:
                    raise FedbenchError(
                        f"list {path}: '{variant}' is not in variants.txt; get the lists again"
                    )
            parts[part] = tuple(Item(f"{image}.jpg", labels[variant]) for image, variant in rows)
        return "official", variants, parts

    def from_folders(self) -> Found:
        """Impossible: the images are not in class folders."""
        raise self.unsplit(*LISTS)
