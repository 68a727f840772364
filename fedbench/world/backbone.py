"""The backbone `tiny`: a CLIP of open_clip's architecture, a few MB, pretrained on the built-in world.

It is a miniature: it knows the world's words and nothing else. `scripts/pretrain_tiny.py` made the file
beside this module; `docs/model-card-tiny.md` says how well it does. Of the 49,408 rows of the token embedding
the file holds those that pretraining used; the others are drawn here, from a named seed and with the same
spread, so that class names of other data sets get distinct tokens (zero rows would make them all one word).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor

from fedbench.errors import FedbenchError
from fedbench.world.vocabulary import generator

PATH = Path(__file__).with_name("tiny.safetensors")
SHA256 = "f659f400d5ee1dd3816d8a3aa6bcca387cf4b51e440cbee36c328f1a1e4a5cc5"
VOCABULARY_SIZE = 49408
ROWS, ROW_IDS = "token_embedding.rows", "token_embedding.ids"
_UNUSED_ROWS_SEED = "fedbench/world/tiny/unused-token-rows/1"


def tiny_config() -> dict[str, Any]:
    """The model config of `tiny`, as keyword arguments of `open_clip.CLIP`."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 32, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": VOCABULARY_SIZE,
            "width": 128,
            "heads": 4,
            "layers": 4,
        },
        "quick_gelu": True,
    }


def tiny_state_dict(path: Path = PATH) -> dict[str, Tensor]:
    """The complete float32 state dict of `tiny`, which loads strictly into `open_clip.CLIP(**tiny_config())`.

    FedbenchError when the file is missing or its sha256 is not the one of the weights that were shipped.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FedbenchError(
            f"cannot read the weights of 'tiny' at {path}: {error.strerror}; reinstall fedbench"
        ) from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise FedbenchError(
            f"the weights of 'tiny' at {path} are damaged (sha256 differs); reinstall fedbench"
        )
    return expand(load(data))


def expand(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The stored float16 tensors as a complete float32 state dict, with the rows that the file leaves out."""
    tensors = {name: tensor.float() for name, tensor in stored.items() if name not in (ROWS, ROW_IDS)}
    rows, ids = stored[ROWS].float(), stored[ROW_IDS].long()  # (used, width), (used,)
    noise = generator(_UNUSED_ROWS_SEED).standard_normal((VOCABULARY_SIZE, rows.shape[1]), dtype=np.float32)
    table = torch.from_numpy(noise) * rows.std()
    table[ids] = rows
    return tensors | {"token_embedding.weight": table}
