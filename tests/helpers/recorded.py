"""Golden files for tests: recorded ones that are changed, and federations that the plain path records."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedbench.clip import FrozenCLIP
from fedbench.method import Method
from fedbench.parity.names import official_name
from fedbench.reference import PlainCLIP, run_plain
from tests.helpers.tinyclip import GOLDEN
from tests.helpers.worlds import COUNTS, NAMES, make_method, pixel_batches, start_of

Batches = Sequence[Sequence[tuple[torch.Tensor, torch.Tensor]]]


def folder(path: Path, *files: str, drop: Sequence[str] = ()) -> Path:
    """`path` with recorded files and the CLIP that lies beside the first of them."""
    beside = (GOLDEN / files[0]).parent if files else GOLDEN
    path.mkdir(exist_ok=True)
    for file in (beside / "tiny_clip.npz", beside / "config.json", *(GOLDEN / name for name in files)):
        if file.name not in drop:
            shutil.copy(file, path / file.name)
    return path


def rewritten(path: Path, change: Callable[[str, np.ndarray], np.ndarray | None]) -> None:
    """A file with its arrays changed by `change(key, array)`; None leaves one out."""
    with np.load(path) as archive:
        arrays = {key: change(key, archive[key]) for key in archive.files}
    np.savez(path, **{key: x for key, x in arrays.items() if x is not None})


def altered(path: Path, **changes: Callable[[np.ndarray], Any]) -> None:
    """A file with some arrays changed: `altered(path, init__P=...)`, where `__` is the `/` of the key."""
    by_key = {key.replace("__", "/"): change for key, change in changes.items()}
    with np.load(path) as archive:
        assert by_key.keys() <= set(archive.files), "a key to change is not there"
    rewritten(path, lambda key, x: by_key[key](x) if key in by_key else x)


def states(path: Path, drop: Sequence[str] = (), **stated: Any) -> None:
    """A file with other entries in its `hparams_json`."""

    def change(x: np.ndarray) -> np.ndarray:
        before = {key: value for key, value in json.loads(str(x)).items() if key not in drop}
        return np.array(json.dumps(before | stated))

    altered(path, hparams_json=change)


def save_clip(path: Path, clip: FrozenCLIP) -> None:
    """A random test CLIP as a golden folder has it."""
    state = {k: v.numpy() for k, v in clip.model.state_dict().items()}
    np.savez(path / "tiny_clip.npz", **state)
    vision, text = clip.model.visual, clip.model
    config = {
        "embed_dim": clip.embed_dim,
        "quick_gelu": True,
        "vision_cfg": {
            "layers": len(vision.transformer.resblocks), "width": clip.image.width, "head_width": 16,
            "patch_size": 16, "image_size": 32,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": clip.text.width, "heads": 2,
            "layers": len(text.transformer.resblocks),
        },
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))


def record_federation(
    path: Path,
    stem: str,
    clip: FrozenCLIP,
    registered: str,
    hyper: dict[str, Any],
    *,
    stated: dict[str, Any],
    local_epochs: int = 1,
    rounds: int = 2,
    counts: Sequence[int] = COUNTS,
    batches: Batches | None = None,
) -> None:
    """A federation of the plain path as `federated_<stem>.npz`; hyper: ours; stated: what `hparams_json` holds."""
    from fedbench.registry import METHODS

    cls, batches = METHODS[registered], batches or pixel_batches()
    quirks = cls.official.variants[""].quirks
    method, plain = (
        make_method(registered, c, hyper={"lr": 1e-3} | hyper, quirks=quirks) for c in (clip, PlainCLIP(clip))
    )
    start = start_of(method)
    arrays = {"classnames": np.array(NAMES), "counts": np.array(counts)}
    for k, client in enumerate(batches):
        for b, (pixels, labels) in enumerate(client):
            arrays[f"client{k}/batch{b}/images"] = pixels.numpy()
            arrays[f"client{k}/batch{b}/labels"] = labels.numpy()
    held_out = batches[0][0]
    arrays |= {"eval/images": held_out[0].numpy(), "eval/labels": held_out[1].numpy()}
    optimizer = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
    arrays["hparams_json"] = np.array(json.dumps(stated | {"method": stem, "optim": optimizer}))
    arrays |= _named(cls, "init", start)
    features = plain.clip.image_input(held_out[0], plain.image_input)[None]
    history = run_plain(plain, start, batches, counts, rounds=rounds, local_epochs=local_epochs)
    for r, (server, personal) in enumerate(history):
        arrays |= _named(cls, f"round{r}/server", server)
        for k, own in enumerate(personal):
            arrays |= _named(cls, f"round{r}/client{k}", own)
            with torch.no_grad():
                model = {n: x[None] for n, x in (server | own).items()}
                arrays[f"round{r}/client{k}/logits_eval"] = plain.logits(model, features, NAMES)[0].numpy()
    np.savez(path / f"federated_{stem}.npz", **arrays)


def _named(cls: type[Method], prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Tensors as the authors name them: the entries of a stack are numbered from 1, a stack of none has no key."""
    found = {}
    for name, x in tensors.items():
        theirs, row = official_name(cls, name)
        if "{}" in theirs:
            found |= {
                f"{prefix}/{theirs.replace('{}', str(1 + i))}": part.numpy() for i, part in enumerate(x)
            }
        else:
            found[f"{prefix}/{theirs}" if row is None else f"{prefix}/{theirs}[{row}]"] = x.numpy()
    return found
