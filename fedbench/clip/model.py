"""The frozen CLIP that a cell runs on: two towers, a logit scale, and where they came from."""

import hashlib
import math
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from fedbench.clip.blocks import freeze
from fedbench.clip.image import ImageTower
from fedbench.clip.protocol import ImageEncoder, Preprocess, TextEncoder
from fedbench.clip.text import TextTower
from fedbench.errors import FedbenchError

IMAGES_AT_ONCE = 256
"""Images in one pass of the frozen image tower."""


class FrozenCLIP:
    """A CLIP whose weights never change.

    Attributes:
        name: the backbone as the user names it, without paths.
        label: "" for real weights, "miniature" or "untrained" otherwise; every table says so.
        weights_hash: of `hash_model`; "" for a skeleton, which has no weights (`fedbench.clip.load.skeleton`).
        model: open_clip's module, frozen (its own `encode_image` / `encode_text` are the reference).
        text: our text tower.
        image: our image tower; None where open_clip's image encoder is no plain ViT (ResNet, timm): such a
            backbone serves methods that leave the image tower alone.
        logit_scale: exp(logit_scale), a float; nan for a skeleton.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, preprocess: Preprocess, label: str = ""):
        has_weights = not model.logit_scale.is_meta
        self.weights_hash = hash_model(model) if has_weights else ""
        self.model: Any = freeze(model)  # open_clip's modules are untyped
        self.name, self.preprocess, self.label = name, preprocess, label
        self.text: TextEncoder = TextTower(_text_modules(model, name), tokenizer)
        self.image: ImageEncoder | None = ImageTower(model.visual) if _is_plain_vit(model.visual) else None
        self.logit_scale = model.logit_scale.exp().item() if has_weights else math.nan
        self.precision = "float32"

    def to(self, device: torch.device | str, *, precision: str = "float32") -> "FrozenCLIP":
        """Move the weights; with `precision="bf16"` the towers' matrices are stored and multiplied in bfloat16."""
        self.model.to(device)
        if precision == "bf16":
            for module in self.model.modules():
                if isinstance(module, nn.Linear | nn.MultiheadAttention | nn.Conv2d):
                    module.to(torch.bfloat16)
        self.precision = precision
        return self

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @cached_property
    def embed_dim(self) -> int:
        """Width of the joint space."""
        with torch.no_grad():
            size = self.preprocess.size
            return self.encode_image(torch.zeros(1, 3, size, size, device=self.device)).shape[-1]

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which towers run: bfloat16 matrix products, or nothing in float32."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Image features, not normalised, in float32. (images, 3, side, side) → (images, embed)"""
        with self.autocast():
            if self.image is None:
                return self.model.encode_image(pixels).float()
            return self.image.encode(self.image.tokens(pixels[None]))[0].float()

    @torch.no_grad()
    def image_input(self, pixels: Tensor, kind: str) -> Tensor:
        """What methods ask for as their `image_input`, in float32. (images, 3, side, side) → (images, ...)"""
        if kind == "pixels":
            return pixels
        if kind == "embedding":
            return self.encode_image(pixels)
        assert self.image is not None, "methods that need more than embeddings are skipped without a ViT"
        with self.autocast():
            x = self.image.tokens(pixels[None])
            if kind == "tokens":
                return self.image.encode_tokens(x)[0].float()
            return self.image.blocks_between(x, 0, int(kind.removeprefix("block:")))[0].float()


def hash_model(model: nn.Module) -> str:
    """sha256 over names and values of all weights and what computes with them, 16 hex digits.

    Shapes do not tell GELU from QuickGELU, nor the number of heads.
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        digest.update(f"{name}:{type(module).__name__}:{getattr(module, 'num_heads', '')}\n".encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _text_modules(model: nn.Module, name: str) -> nn.Module:
    """The module that holds the text tower.

    Raises:
        FedbenchError: not the causal text transformer of CLIP.
    """
    text = getattr(model, "text", model)
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    if (
        getattr(text, "attn_mask", None) is None
        or pool not in ("argmax", "eos")
        or getattr(text, "cls_emb", None) is not None
    ):
        raise FedbenchError(
            f"backbone '{name}': its text encoder is not CLIP's causal transformer with [EOT] pooling; use a CLIP model"
        )
    return text


def _is_plain_vit(visual: nn.Module) -> bool:
    import open_clip.transformer as oc

    return (
        isinstance(visual, oc.VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.final_ln_after_pool
        and all(type(block) is oc.ResidualAttentionBlock for block in visual.transformer.resblocks)
    )
