"""folder: a user's own images in class folders, without writing code: `--datasets folder:PATH`."""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.images import class_folders, images
from fedbench.data.parts import PARTS, Parts, own_domain_split, own_split
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

PART_WORDS = {"train", "training", "test", "testing"}
"""Folders of these names, in any case, are meant as a split, and never as domains."""


@DATASETS.register("folder")
class Folder(FolderDataset):
    """Class folders, domains of class folders, or `train`, (`val`) and `test` of class folders.

    The instance's name is `folder-<name of the folder>-<hash over the images' keys and sizes>`: no path,
    and another name as soon as an image is added. Draws do not depend on that name.
    """

    title = "Your own folder of images (folder:PATH)"
    bibtex = ""  # the user's own images
    size = 0

    def __init__(
        self,
        root: Path,
        *,
        allow_missing: bool = False,
        quirks: Collection[str] = (),
        path: Path | None = None,
    ):
        """Read the images below `path`; `root` is not looked at.

        Raises:
            FedbenchError: no path; folders that are neither of the three layouts; as `FolderDataset`.
        """
        if path is None:
            raise FedbenchError(
                "folder: give the folder of your images, absolute or below --data-root: --datasets "
                "folder:PATH"
            )
        self.given = path
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", path.resolve().name)
        self.name = f"folder-{slug}"
        self._tree = _tree(path)
        keys = sorted(key for classes in self._tree.values() for files in classes.values() for key in files)
        if not keys:
            raise FedbenchError(
                f"folder:{path} has no image in class folders, or in domains of class folders"
            )
        # sizes too: folders of one name with files of the same names must not share results
        content = "".join(f"{key} {(path / key).stat().st_size}\n" for key in keys)
        self.name += f"-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        super().__init__(path.parent, allow_missing=allow_missing, quirks=quirks)

    def _find_images(self, root: Path) -> Path:
        return self.given

    def classname_of(self, key: str) -> str | None:
        """The folder that the image lies in."""
        return key.split("/")[-2]

    def from_lists(self) -> Found | None:
        """The split that folders named train, (val and) test give."""
        if not {"train", "test"} <= set(self._tree) <= set(PARTS):
            if PART_WORDS & {top.lower() for top in self._tree}:
                raise FedbenchError(
                    f"{self.name}: its folders are {', '.join(self._tree)}; for a split, name them train, "
                    f"test and, "
                    "if there is one, val; domains cannot be called so"
                )
            return None
        names = sorted({name for classes in self._tree.values() for name in classes})
        parts: Parts = {
            part: tuple(
                Item(key, names.index(name))
                for name, keys in self._tree.get(part, {}).items()
                for key in keys
            )
            for part in PARTS
        }
        return "official", tuple(names), parts

    def from_folders(self) -> Found:
        """Fedbench's own split: 50/20/30 of class folders, 80/20 of domains."""
        names = sorted({name for classes in self._tree.values() for name in classes})
        self.count_found(sum(len(keys) for classes in self._tree.values() for keys in classes.values()))
        if set(self._tree) == {""}:
            return "own", tuple(names), own_split("folder", self._tree[""])
        if bare := [domain for domain, classes in self._tree.items() if not any(classes.values())]:
            raise FedbenchError(
                f"{self.name}: its folder '{bare[0]}' has no images in class folders, so it is no domain; move "
                "it away"
            )
        self.domains = tuple(self._tree)
        groups = {(domain, name): keys for domain in self._tree for name, keys in self._tree[domain].items()}
        return "own", tuple(names), own_domain_split("folder", groups, names)


def _tree(path: Path) -> dict[str, dict[str, list[str]]]:
    """Image keys by class by domain (or part), all sorted; one domain "" where class folders come first."""
    tops = class_folders(path)
    if not tops:
        raise FedbenchError(f"folder:{path} has no folders; put the images of each class into one")
    if loose := images(path):
        raise FedbenchError(
            f"folder:{path}: {len(loose)} images lie in no class folder ({loose[0]}); move them"
        )
    flat = [top for top in tops if images(path / top)]
    deep = [top for top in tops if class_folders(path / top)]
    if flat and deep:
        raise FedbenchError(
            f"folder:{path} has images in '{flat[0]}' and folders in '{deep[0]}': either all its folders are "
            "classes, or all are domains"
        )
    if not deep:
        return {"": {top: [f"{top}/{file}" for file in images(path / top)] for top in tops}}
    if len(tops) == 1:
        raise FedbenchError(
            f"folder:{path} has one folder, '{tops[0]}', with folders in it: a single domain; name "
            f"{path / tops[0]}"
        )
    return {
        top: {
            name: [f"{top}/{name}/{file}" for file in images(path / top / name)]
            for name in class_folders(path / top)
        }
        for top in tops
    }
