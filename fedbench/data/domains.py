"""Datasets of several domains with the same classes: FedBN's pickles, or domain folders of class folders."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedbench.data import safe_pickle
from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.images import class_folders, images
from fedbench.data.parts import Parts, own_domain_split
from fedbench.errors import FedbenchError

NESTED = "images"
"""Office trees as first published have this folder between domain and classes."""


class DomainDataset(FolderDataset):
    """Images in `domain/class/` folders, whose spellings differ between mirrors.

    Keys use the canonical spelling, `domain/class/file`, so that an image has one key in every tree. Split:
    FedBN's `<domain>_{train,test}.pkl` if they are there (`source == "official"`), else fedbench's own 80/20
    split per domain and class. Both have an empty validation part. `parts` has all domains, one after
    another.

    Attributes:
        classnames: fixed; their order is the label order.
        aliases: other spellings of folders, to the canonical one. Case, blanks and hyphens never matter.
    """

    classnames: tuple[str, ...]
    aliases: ClassVar[Mapping[str, str]] = {}

    def canonical(self, folder: str) -> str:
        """The canonical spelling of a domain's or a class's folder."""
        plain = folder.lower().replace("-", "_").replace(" ", "_")
        return self.aliases.get(plain, plain)

    def classname_of(self, key: str) -> str | None:
        """The class that the key names."""
        return key.split("/")[1]

    def location(self, key: str) -> str:
        """Where the image is below the image folder, in the spelling found there."""
        folder, _, file = key.rpartition("/")
        return f"{self._folders.get(folder, folder)}/{file}"

    @cached_property
    def _folders(self) -> dict[str, str]:
        """`domain/class` to the folder on disk, for those of the benchmark; others are not part of it.

        Raises:
            FedbenchError: two folders are the same class of the same domain.
        """
        found: dict[str, str] = {}
        for domain_folder in class_folders(self.image_root):
            domain = self.canonical(domain_folder)
            if domain not in self.domains:
                continue
            nested = (self.image_root / domain_folder / NESTED).is_dir()
            base = f"{domain_folder}/{NESTED}" if nested else domain_folder
            for folder in class_folders(self.image_root / base):
                name = f"{domain}/{self.canonical(folder)}"
                if name.split("/")[1] not in self.classnames:
                    continue
                if name in found:
                    raise FedbenchError(
                        f"{self.name}: '{found[name]}' and '{base}/{folder}' in {self.image_root} are both "
                        f"{name}; "
                        "keep one"
                    )
                found[name] = f"{base}/{folder}"
        return found

    def from_folders(self) -> Found:
        """Fedbench's own split of the domain folders.

        Raises:
            FedbenchError: as the constructor.
        """
        groups = {}
        for domain in self.domains:
            for name in self.classnames:
                folder = self._folders.get(f"{domain}/{name}")
                files = images(self.image_root / folder) if folder else []
                groups[domain, name] = [f"{domain}/{name}/{file}" for file in files]
        self.count_found(sum(map(len, groups.values())))
        return "own", self.classnames, own_domain_split(self.name, groups, self.classnames)

    def from_lists(self) -> Found | None:
        """FedBN's pickles, in the order of the domains.

        Raises:
            FedbenchError: some of them are not there; one is damaged, refused or disagrees with itself.
        """
        files = {
            (domain, part): self.image_root / f"{domain}_{part}.pkl"
            for domain in self.domains
            for part in ("train", "test")
        }
        absent = [path for path in files.values() if not path.is_file()]
        if len(absent) == len(files):
            return None
        if absent:
            named = ", ".join(path.name for path in absent)
            raise FedbenchError(
                f"{self.name}: {named} missing in {self.image_root}; get them, or remove the others"
            )
        parts: Parts = {"train": (), "val": (), "test": ()}
        seen: set[str] = set()
        for (domain, part), path in files.items():
            parts[part] += tuple(self._items(domain, path, seen))
        return "official", self.classnames, parts

    def _items(self, domain: str, path: Path, seen: set[str]) -> list[Item]:
        """The images of one pickle; adds their keys to `seen`."""
        items = []
        for listed, text in zip(*read_string_pair(path), strict=True):
            name = self.canonical(text)
            if name not in self.classnames:
                raise FedbenchError(f"{path}: '{text}' is no class of {self.name}; get the file again")
            key = self._key(domain, name, listed, path)
            if key in seen:
                raise FedbenchError(f"{path}: image '{listed}' is listed twice; get the file again")
            seen.add(key)
            items.append(Item(key, self.classnames.index(name), domain))
        return items

    def _key(self, domain: str, name: str, listed: str, path: Path) -> str:
        """The key of `office_caltech_10/amazon/backpack/frame_0001.jpg`, whose folders must say the same."""
        top, *folders = listed.replace("\\", "/").split("/")
        known = {self.image_root.name.lower(), *(folder.lower() for folder in self.image_folders)}
        if top.lower() not in known or len(folders) < 3 or {"", ".", ".."} & set(folders):
            raise FedbenchError(
                f"{path}: path '{listed[:120]}' is not {self.image_root.name}/DOMAIN/CLASS/FILE; get the "
                f"file again"
            )
        found = self.canonical(folders[0]), self.canonical(folders[-2])
        if found != (domain, name):
            raise FedbenchError(
                f"{path}: image '{listed}' is listed as {domain}, {name}, and lies in {found[0]}, "
                f"{found[1]}; "
                "labels and folders must agree"
            )
        return f"{domain}/{name}/{folders[-1]}"


def read_string_pair(path: Path) -> tuple[list[str], list[str]]:
    """A pickle of two lists of text of one length: the paths and the class names of FedBN's files.

    Raises:
        FedbenchError: the file cannot be read, is damaged, or holds anything else.
    """
    content = safe_pickle.load(path)
    if isinstance(content, np.ndarray):
        content = list(content) if content.ndim else []
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise FedbenchError(f"{path} does not hold a pair (paths, class names); get it again")
    paths, texts = (_strings(column, path) for column in content)
    if len(paths) != len(texts) or not paths:
        raise FedbenchError(f"{path} has {len(paths)} paths and {len(texts)} class names; get it again")
    return paths, texts


def _strings(column: object, path: Path) -> list[str]:
    try:
        entries = column.tolist() if isinstance(column, np.ndarray) else column
        if isinstance(entries, list | tuple):
            texts = [entry.decode() if isinstance(entry, bytes) else entry for entry in entries]
            if all(isinstance(text, str) for text in texts):
                return texts
    except ValueError as error:  # bytes that are no text
        raise FedbenchError(f"{path} is damaged, its text is none ({error}); get it again") from error
    raise FedbenchError(f"{path} holds something else than lists of text; get it again")
