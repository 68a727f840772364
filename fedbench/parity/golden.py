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
from fedbench.clip.load import from_state_dict, openai_config
from fedbench.engine.local import Step
from fedbench.errors import FedbenchError
from fedbench.method import Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS

WEIGHTS = "tiny_clip.npz"


@dataclass(frozen=True)
class GoldenFile:
    """One `.npz` of a golden folder."""

    path: Path

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by key."""
        return read_npz(self.path)

    @cached_property
    def hparams(self) -> dict[str, Any]:
        """The hyper-parameters that the file states.

        Raises:
            FedbenchError: they are no JSON object.
        """
        try:
            stated = json.loads(str(self.arrays.get("hparams_json", "{}")))
        except json.JSONDecodeError as error:
            raise FedbenchError(f"{self.path.name}: hparams_json is no JSON: {error}") from error
        if not isinstance(stated, dict):
            raise FedbenchError(f"{self.path.name}: hparams_json is no JSON object")
        return stated

    @property
    def federated(self) -> bool:
        """Whether it records whole rounds of a federation."""
        return self.path.stem.startswith("federated_")

    def tensor(self, key: str) -> Tensor:
        """An array as a tensor: numbers in float32, counts and labels in int64, whatever the file was written in.

        Raises:
            FedbenchError: the file lacks it.
        """
        if key not in self.arrays:
            raise FedbenchError(f"{self.path.name}: no {key}")
        value = torch.from_numpy(np.array(self.arrays[key]))
        return value.float() if value.is_floating_point() else value.long()

    @property
    def classnames(self) -> list[str]:
        return [str(name) for name in self.arrays["classnames"]]

    def methods(self) -> list[type[Method]]:
        """The registered methods that claim this file: by its name, else by the method that it names."""
        stem = self.path.stem.removeprefix("federated_")
        names = (stem, str(self.hparams.get("method", "")))
        claims = [
            (cls, f)
            for cls in _registered()
            for f in _official(cls).files
            if any(_names(f, n) for n in names)
        ]
        longest = max((len(f) for _, f in claims), default=0)
        return [cls for cls, f in claims if len(f) == longest]

    def noise(self, cls: type[Method], keys: Iterable[str]) -> dict[str, str]:
        """Those of `keys` that the method declares to be rounding noise in this file, with the reason."""
        stem = self.path.stem.removeprefix("federated_")
        patterns = [declared for claimed, declared in _official(cls).noise.items() if _names(claimed, stem)]
        return {key: reason for key in keys for pattern, reason in patterns if re.fullmatch(pattern, key)}

    def build(self, cls: type[Method], clip: FrozenCLIP, variant: Variant) -> Method:
        """The method with the file's hyper-parameters."""
        fields = cls.Hyper.model_fields
        hyper = {ours: v for ours, v in self._stated(cls).values() if ours in fields}
        hyper |= {k: "" for k, v in hyper.items() if v is None and fields[k].annotation is str}  # no words
        hyper = {k: v for k, v in hyper.items() if v is not None}
        hyper |= dict(variant.hyper) | {ours: str(self.arrays[key]) for ours, key in variant.read.items()}
        return cls(clip, self.classnames, hyper=hyper, quirks=variant.quirks)

    def ignored(self, cls: type[Method]) -> list[str]:
        """What the file states and the method has no hyper-parameter for."""
        return [k for k, (ours, _) in self._stated(cls).items() if ours not in cls.Hyper.model_fields]

    def _stated(self, cls: type[Method]) -> dict[str, tuple[str, Any]]:
        """The file's name of each hyper-parameter to ours and its value."""
        stated = {**self.hparams, **self.hparams.get("optim", {})}
        return {
            k: (_official(cls).hyper.get(k, k), v) for k, v in stated.items() if k not in ("optim", "method")
        }

    def start(self, method: Method) -> Tensors:
        """The common start of training.

        Raises:
            FedbenchError: the file lacks one of the method's tensors, or has it in another size.
        """
        found = self.tensors(method, "init/")
        for name in method.init(torch.Generator()):
            if name not in found:
                raise FedbenchError(f"{self.path.name}: no init/{official_name(type(method), name)[0]}")
        return found

    def tensors(self, method: Method, prefix: str) -> Tensors:
        """The method's tensors as the file has them under `prefix`, in our shapes; those it has.

        Raises:
            FedbenchError: a tensor of another size than the method's.
        """
        found: Tensors = {}
        own = method.init(torch.Generator())
        for name, like in own.items():
            theirs, row = official_name(type(method), name)
            if "{}" in theirs:
                found |= self._stack(method, prefix, theirs, own)
                continue
            for key, index in ((f"{prefix}{theirs}[{row}]", None), (f"{prefix}{theirs}", row)):
                if key in self.arrays and (index is not None or row is None or key.endswith("]")):
                    value = self.tensor(key) if index is None else self.tensor(key)[index]
                    found[name] = _like(value, like, f"{self.path.name}: {key}")
        return found

    def _stack(self, method: Method, prefix: str, theirs: str, own: Tensors) -> Tensors:
        """Those of our tensors that are stacks of the numbered tensors called `theirs`."""
        sharing = {n: x for n, x in own.items() if official_name(type(method), n)[0] == theirs}
        keys = numbered(self.arrays, prefix + theirs).values()
        if not keys and any(x.numel() for x in sharing.values()):
            return {}
        whole = torch.cat(list(sharing.values()))
        if keys:
            whole = _like(
                torch.stack([self.tensor(key) for key in keys]), whole, f"{self.path.name}: {prefix}{theirs}"
            )
        return dict(zip(sharing, whole.split([len(x) for x in sharing.values()]), strict=True))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, without pickle.

    Raises:
        FedbenchError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise FedbenchError(f"golden file {path} cannot be read: {str(error).splitlines()[0]}") from error


def folders(root: Path) -> list[Path]:
    """`root` and all folders below that hold golden files.

    Raises:
        FedbenchError: there are none.
    """
    found = sorted(path.parent for path in root.rglob(WEIGHTS))
    if not found:
        raise FedbenchError(f"{root} holds no golden files: no {WEIGHTS} in it or below")
    return found


def load_clip(folder: Path) -> FrozenCLIP:
    """The folder's CLIP; its sizes from `config.json`, else from the tensors.

    Raises:
        FedbenchError: weights and configuration do not fit.
    """
    arrays = {key: torch.from_numpy(value) for key, value in read_npz(folder / WEIGHTS).items()}
    beside = folder / "config.json"
    config = json.loads(beside.read_text()) if beside.is_file() else openai_config(arrays)
    if "token_embedding.ids" in arrays:  # only the rows that the files use are kept
        ids, rows = arrays.pop("token_embedding.ids"), arrays.pop("token_embedding.rows")
        table = torch.zeros(config["text_cfg"]["vocab_size"], rows.shape[1])
        table[ids] = rows.float()
        arrays["token_embedding.weight"] = table
    return from_state_dict(config, arrays, name=f"golden {folder.name}")


def official_name(cls: type[Method], name: str) -> tuple[str, int | None]:
    """The authors' name of one of our tensors, and the row of it that ours is."""
    theirs = _official(cls).tensors[name]
    match = re.fullmatch(r"(.*)\[(\d+)\]", theirs)
    return (match[1], int(match[2])) if match else (theirs, None)


def numbered(keys: Iterable[str], pattern: str) -> dict[int, str]:
    """The keys that are `pattern` with a number for its `{}`, by number."""
    shape = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
    found = ((shape.fullmatch(key), key) for key in keys)
    return dict(sorted((int(match[1]), key) for match, key in found if match))


def _like(value: Tensor, like: Tensor, what: str) -> Tensor:
    if value.numel() != like.numel():
        raise FedbenchError(f"{what} is {tuple(value.shape)}, the method has {tuple(like.shape)}")
    return value.reshape(like.shape)


def whole_batch(method: Method, images: Tensor, labels: Tensor) -> Step:
    """One step of one client on all images. images (batch, 3, side, side)

    Raises:
        FedbenchError: images of another size, or labels without a class.
    """
    side, classes = method.clip.preprocess.size, len(method.classnames)
    if images.shape[1:] != (3, side, side):
        raise FedbenchError(f"images are {tuple(images.shape)}, the CLIP takes (batch, 3, {side}, {side})")
    if labels.shape != images.shape[:1] or not ((labels >= 0) & (labels < classes)).all():
        raise FedbenchError(f"labels are not {len(images)} places in {classes} classes")
    features = method.clip.image_input(images, method.image_input)[None]
    valid = torch.ones(1, len(labels), dtype=torch.bool)
    return Step(features, labels[None], valid, torch.ones(1, dtype=torch.bool))


def _registered() -> list[type[Method]]:
    return [METHODS[name] for name in METHODS if METHODS[name].official is not None]


def _official(cls: type[Method]) -> Official:
    assert cls.official is not None
    return cls.official


def _names(claimed: str, stem: str) -> bool:
    return stem == claimed or stem.startswith(f"{claimed}_")
