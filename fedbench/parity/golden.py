"""Golden folders: a tiny CLIP and numbers that the authors' own code gave on it."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedbench.clip import FrozenCLIP
from fedbench.clip.checkpoints import openai_config
from fedbench.clip.load import from_state_dict
from fedbench.clip.protocol import Backbone
from fedbench.errors import FedbenchError
from fedbench.method import Method
from fedbench.parity.names import numbered, official
from fedbench.registry import METHODS

WEIGHTS = "tiny_clip.npz"


@dataclass(frozen=True)
class GoldenFile:
    """One `.npz` of a golden folder. Errors name the key; who reports them names the file."""

    path: Path

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by key."""
        return read_npz(self.path)

    @cached_property
    def hparams(self) -> dict[str, Any]:
        """What `hparams_json` states, the optimiser's settings among the others.

        Raises:
            FedbenchError: it is no JSON object.
        """
        try:
            stated = json.loads(str(self.arrays.get("hparams_json", "{}")))
        except json.JSONDecodeError as error:
            raise FedbenchError(f"hparams_json is no JSON: {error}") from error
        if not isinstance(stated, dict):
            raise FedbenchError("hparams_json is no JSON object")
        optimizer = stated.pop("optim", {})
        if not isinstance(optimizer, dict):
            raise FedbenchError("hparams_json: optim is no JSON object")
        return stated | optimizer

    @property
    def federated(self) -> bool:
        """Whether it records whole rounds of a federation."""
        return self.path.stem.startswith("federated_")

    @property
    def aggregation(self) -> bool:
        """Whether it records only servers' steps."""
        return _names("aggregation", self.path.stem)

    def array(self, key: str) -> np.ndarray:
        """An array as the file has it.

        Raises:
            FedbenchError: the file lacks it.
        """
        if key not in self.arrays:
            raise FedbenchError(f"no {key}")
        return self.arrays[key]

    def tensor(self, key: str) -> Tensor:
        """An array as a tensor: numbers in float32, counts and labels in int64, whatever the file was written in.

        Raises:
            FedbenchError: the file lacks it, or it holds no numbers.
        """
        value = self.array(key)
        if value.dtype.kind not in "fiub":
            raise FedbenchError(f"{key} holds no numbers")
        whole = value.dtype.kind != "f"
        return torch.from_numpy(value.astype(np.int64 if whole else np.float32))

    def stack(self, keys: Iterable[str]) -> Tensor:
        """Arrays of one size, one after the other. (keys, ...)

        Raises:
            FedbenchError: one of them is of another size than the first.
        """
        parts = {key: self.tensor(key) for key in keys}
        first = next(iter(parts))
        for key, x in parts.items():
            if x.shape != parts[first].shape:
                raise FedbenchError(f"{key} is {tuple(x.shape)}, {first} is {tuple(parts[first].shape)}")
        return torch.stack(list(parts.values()))

    def images(self, key: str, clip: Backbone) -> Tensor:
        """Pixels. (batch, 3, side, side)

        Raises:
            FedbenchError: they are of another size than the CLIP's.
        """
        images, side = self.tensor(key), clip.preprocess.size
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise FedbenchError(f"{key} are {tuple(images.shape)}, the CLIP takes (batch, 3, {side}, {side})")
        return images

    def whole_numbers(self, key: str) -> Tensor:
        """A list of whole numbers, in int64.

        Raises:
            FedbenchError: it is none.
        """
        numbers = self.tensor(key)
        if numbers.ndim != 1 or not len(numbers) or not (numbers == numbers.long()).all():
            raise FedbenchError(f"{key} is no list of whole numbers")
        return numbers.long()

    def labels(self, key: str, images: Tensor) -> Tensor:
        """Places of the images' classes in the label space. (batch,)

        Raises:
            FedbenchError: not one for each image, or a place where there is no class.
        """
        labels, classes = self.whole_numbers(key), len(self.classnames)
        if labels.shape != images.shape[:1] or not ((labels >= 0) & (labels < classes)).all():
            raise FedbenchError(f"{key} are not {len(images)} places in {classes} classes")
        return labels

    @property
    def classnames(self) -> list[str]:
        """The label space.

        Raises:
            FedbenchError: there is none.
        """
        names = self.array("classnames")
        if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
            raise FedbenchError("classnames is no list of names")
        return names.tolist()

    @property
    def counts(self) -> Tensor:
        """Every client's number of training images. (clients,)

        Raises:
            FedbenchError: it is no list of whole numbers above 0, one for each client.
        """
        counts = self.whole_numbers("counts")
        if not (counts > 0).all():
            raise FedbenchError("counts has a client without images")
        return counts

    def methods(self) -> list[type[Method]]:
        """The registered methods that claim this file: by its name, else by the method that it names."""
        names = (self.path.stem.removeprefix("federated_"), str(self.hparams.get("method", "")))
        claims = [
            (cls, claimed)
            for cls in declaring()
            for claimed in official(cls).files
            if any(_names(claimed, name) for name in names)
        ]
        longest = max((len(claimed) for _, claimed in claims), default=0)
        return [cls for cls, claimed in claims if len(claimed) == longest]

    def noise(self, cls: type[Method], keys: Iterable[str]) -> dict[str, str]:
        """Those of `keys` that the method declares to be rounding noise in this file, with the reason."""
        stem = self.path.stem.removeprefix("federated_")
        patterns = [declared for claimed, declared in official(cls).noise.items() if _names(claimed, stem)]
        return {key: reason for key in keys for pattern, reason in patterns if re.fullmatch(pattern, key)}

    def recorded(self, prefix: str, theirs: str) -> Tensor | None:
        """A tensor under a name of `Official.tensors`, in the file's shape: whole, a row, or numbered ones stacked.

        Raises:
            FedbenchError: there is no such row, or numbered tensors differ in size.
        """
        if "{}" in theirs:
            keys = numbered(self.arrays, prefix + theirs).values()
            return self.stack(keys) if keys else None
        if prefix + theirs in self.arrays:
            return self.tensor(prefix + theirs)
        match = re.fullmatch(r"(.*)\[(\d+)\]", prefix + theirs)
        if not match or match[1] not in self.arrays:
            return None
        rows, row = self.tensor(match[1]), int(match[2])
        if rows.ndim == 0 or row >= len(rows):
            raise FedbenchError(f"{match[1]} is {tuple(rows.shape)}, without a row {row}")
        return rows[row]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, without pickle.

    Raises:
        FedbenchError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except Exception as error:  # zip, zlib and numpy raise their own types; all mean the file is no use
        raise FedbenchError(f"{path.name} cannot be read: {one_line(error)}") from error


def golden_files(root: Path) -> dict[Path, list[Path]]:
    """The golden files in `root` and all folders below it, by folder; hidden ones (`.venv`, `._x.npz`) are no part.

    Raises:
        FedbenchError: there are none.
    """
    found: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*.npz"), key=lambda path: (path.parent, path.name)):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.name != WEIGHTS and not hidden:
            found.setdefault(path.parent, []).append(path)
    if not found:
        raise FedbenchError(
            f"{root} holds no golden files: no .npz in it or below it, save the CLIP they need, {WEIGHTS}"
        )
    return found


def load_clip(folder: Path) -> FrozenCLIP:
    """The folder's CLIP; its sizes from `config.json`, else from the tensors.

    Raises:
        FedbenchError: there is none, or weights and configuration do not fit.
    """
    if not (folder / WEIGHTS).is_file():
        raise FedbenchError(f"there is no {WEIGHTS} beside it, the CLIP that it was recorded on")
    arrays = {key: torch.from_numpy(value) for key, value in read_npz(folder / WEIGHTS).items()}
    try:
        return _clip(arrays, folder)
    except FedbenchError:
        raise
    except Exception as error:  # whatever a wrong tensor or a wrong configuration leads to in open_clip
        raise FedbenchError(f"{WEIGHTS} and config.json make no CLIP: {one_line(error)}") from error


def _clip(arrays: dict[str, Tensor], folder: Path) -> FrozenCLIP:
    beside = folder / "config.json"
    config = json.loads(beside.read_text()) if beside.is_file() else openai_config(arrays)
    if "token_embedding.ids" in arrays:  # only the rows that the files use are kept
        ids, rows = arrays.pop("token_embedding.ids"), arrays.pop("token_embedding.rows")
        table = torch.zeros(config["text_cfg"]["vocab_size"], rows.shape[1])
        table[ids] = rows.float()
        arrays["token_embedding.weight"] = table
    return from_state_dict(config, arrays, name=f"golden {folder.name}")


def declaring() -> list[type[Method]]:
    """The registered methods that declare what their authors call things."""
    return [METHODS[name] for name in METHODS if METHODS[name].official is not None]


def one_line(error: Exception) -> str:
    """An error that is not one of ours: its type and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _names(claimed: str, stem: str) -> bool:
    return stem == claimed or stem.startswith(f"{claimed}_")
