"""A dataset without images, on which splits are checked."""

from collections.abc import Iterable

from PIL import Image as PILImage

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError


class Listed(Dataset):
    """A dataset that is only lists: `classes` of uneven sizes, each in all of its domains, with missing images."""

    name = "listed"
    title = "Listed"
    bibtex = ""
    domains: tuple[str, ...] = ("photo", "sketch", "painting", "cartoon")

    def __init__(
        self, *, classes: int = 24, parts: Iterable[str] = ("train", "val", "test"), domains: bool = True
    ):
        self.classnames = tuple(f"class {label}" for label in range(classes))
        self.superclasses = tuple(label // 4 for label in range(classes))
        self.source, self.missing = "own", 3
        self.domains = self.domains if domains else ()
        self.parts = {
            part: tuple(
                Item(f"{domain}/class_{label}/{part}_{index}.jpg", label, domain)
                for domain in self.domains or ("",)
                for label in range(classes)
                for index in range(count + (7 * label) % 5 if part in parts else 0)
            )
            for part, count in (("train", 6), ("val", 2), ("test", 4))
        }

    def open(self, item: Item) -> PILImage.Image:
        """There are no images."""
        raise FedbenchError("a split is made from lists; it does not open images")

    def fingerprint(self, item: Item) -> str:
        """There are no files."""
        raise FedbenchError("a split is made from lists; it does not look at files")
