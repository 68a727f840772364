"""shapes: 40 compositional classes of the built-in world, drawn on the fly. A miniature; needs no files."""

import hashlib
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

from PIL import Image as PILImage

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError, unknown
from fedbench.registry import DATASETS
from fedbench.world import CLASSNAMES, DOMAINS, render_benchmark

PER_CLASS = {"train": 40, "val": 8, "test": 50}


@DATASETS.register("shapes")
class Shapes(Dataset):
    """`parts` are the photos, `domain_parts` has four domains. A key: `photo/striped red star/train/0003`."""

    title = "Shapes (built-in miniature)"
    bibtex = """@misc{fedbench,
        author = {{The fedbench maintainers}},
        title = {{fedbench}: The Referee for Federated Adaptation of Vision-Language Models},
        note = {Its images are rendered; there is no publication},
        year = {2026},
    }"""

    n_classes = len(CLASSNAMES)
    published = tuple(count * len(CLASSNAMES) for count in PER_CLASS.values())

    domains = DOMAINS

    def __init__(self, root: Path, *, allow_missing: bool = False, quirks: Collection[str] = ()):
        """Nothing is read: `root` and `allow_missing` have no effect."""
        super().__init__(root, allow_missing=allow_missing, quirks=quirks)
        self.classnames = CLASSNAMES
        self.source = "built-in"
        self.parts = self.domain_parts("photo")

    def domain_parts(self, domain: str) -> Mapping[str, tuple[Item, ...]]:
        """The parts of one domain.

        Raises:
            FedbenchError: there is no such domain.
        """
        if domain not in self.domains:
            raise unknown("domain of shapes", domain, self.domains)
        return {
            part: tuple(
                Item(key=f"{domain}/{name}/{part}/{index:04d}", label=label, domain=domain)
                for label, name in enumerate(CLASSNAMES)
                for index in range(count)
            )
            for part, count in PER_CLASS.items()
        }

    def open(self, item: Item) -> PILImage.Image:
        """Draw the image.

        Raises:
            FedbenchError: the item is not of this dataset.
        """
        try:
            domain, name, part, index = item.key.split("/")
            return render_benchmark(name, domain, part, int(index))
        except (ValueError, KeyError) as error:
            raise FedbenchError(f"shapes has no image '{item.key}'") from error

    def fingerprint(self, item: Item) -> str:
        """The same for all images: changes with the renderer and with the libraries that it draws with."""
        return self._renderer

    @cached_property
    def _renderer(self) -> str:
        # measured on one image a class and domain instead of declared: a version number can be forgotten
        digest = hashlib.sha256()
        for domain in DOMAINS:
            for name in CLASSNAMES:
                digest.update(render_benchmark(name, domain, "train", 0).tobytes())
        return f"shapes-{digest.hexdigest()[:16]}"
