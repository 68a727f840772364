"""Files of weights: how they are read, what they say of themselves, and whether they fit a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedbench.errors import FedbenchError

OPENAI_KEYS = {"input_resolution", "context_length", "vocab_size"}
"""Extra entries of OpenAI's own state dicts: proof that the weights want QuickGELU."""


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a checkpoint: safetensors, or torch read with `weights_only`."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise their own types; all mean the file is no use
        hint = (
            "a TorchScript archive: convert it to safetensors"
            if "TorchScript" in str(error)
            else "damaged or not weights only"
        )
        raise FedbenchError(
            f"checkpoint {path} cannot be read ({hint}): {str(error).splitlines()[0][:120]}"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    numbers = {k: torch.tensor(v) for k, v in state.items() if k in OPENAI_KEYS and not isinstance(v, Tensor)}
    if not tensors:
        raise FedbenchError(f"checkpoint {path} holds no state dict")
    return tensors | numbers, {}


def wants_quick_gelu(state: dict[str, Tensor], metadata: dict[str, str], path: Path) -> bool | None:
    """Whether the weights want QuickGELU, where the file or the open_clip_config.json beside it says; else None."""
    if OPENAI_KEYS & state.keys():
        return True
    if "quick_gelu" in metadata:
        return metadata["quick_gelu"].lower() in ("true", "1")
    beside = path.with_name("open_clip_config.json")
    if beside.is_file():
        try:
            return bool(json.loads(beside.read_text()).get("model_cfg", {}).get("quick_gelu", False))
        except ValueError as error:
            raise FedbenchError(
                f"{beside} is damaged: mend it, or remove it to trust the model's name"
            ) from error
    return None


def load_strictly(model: torch.nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Fill the model.

    Raises:
        FedbenchError: tensors are missing, unexpected, or of another shape.
    """
    own = model.state_dict()
    if "logit_scale" in state:
        state["logit_scale"] = state["logit_scale"].reshape(own["logit_scale"].shape)
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if missing or extra or shapes:
        parts = [
            f"{len(k)} {what} (first: {min(k)})"
            for k, what in ((missing, "missing"), (extra, "unexpected"), (shapes, "of another shape"))
            if k
        ]
        raise FedbenchError(f"checkpoint {source} does not fit the model: tensors {', '.join(parts)}")
    model.load_state_dict(state)


def openai_config(state: dict[str, Tensor]) -> dict[str, Any]:
    """The open_clip configuration of an OpenAI-style ViT state dict: sizes from shapes, heads of width 64."""
    width, patch = state["visual.conv1.weight"].shape[0], state["visual.conv1.weight"].shape[-1]
    grid = round(float(np.sqrt(state["visual.positional_embedding"].shape[0] - 1)))
    text_width = state["ln_final.weight"].shape[0]

    def layers(prefix: str) -> int:
        return 1 + max(int(k.removeprefix(prefix).split(".")[0]) for k in state if k.startswith(prefix))

    return {
        "embed_dim": state["text_projection"].shape[1],
        "quick_gelu": True,
        "vision_cfg": {
            "layers": layers("visual.transformer.resblocks."),
            "width": width,
            "head_width": 64,
            "patch_size": patch,
            "image_size": grid * patch,
        },
        "text_cfg": {
            "context_length": state["positional_embedding"].shape[0],
            "vocab_size": 49408,
            "width": text_width,
            "heads": max(1, text_width // 64),
            "layers": layers("transformer.resblocks."),
        },
    }
