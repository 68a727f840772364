"""Backbones by name: `tiny`, `MODEL:PRETRAINED`, `MODEL:PATH` and `MODEL:random`, through open_clip."""

import hashlib
import logging
from contextlib import AbstractContextManager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedbench.clip.checkpoints import OPENAI_KEYS, load_strictly, read_checkpoint, wants_quick_gelu
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.protocol import Preprocess
from fedbench.errors import FedbenchError, unknown
from fedbench.registry import BACKBONES

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def load(name: str, *, checkpoints: dict[str, Path] | None = None) -> FrozenCLIP:
    """Load a backbone on the CPU in float32.

    Args:
        name: a registered backbone (`tiny`), `MODEL:TAG` of open_clip (`ViT-B-16:openai`), `MODEL:PATH`,
            `MODEL:random`, or `MODEL:sha256-…` as `resolve` writes it.
        checkpoints: files behind `sha256-…` names.

    Raises:
        FedbenchError: unknown model or tag, weights missing, damaged or made for another activation.
    """
    if name in BACKBONES:
        return BACKBONES[name]().load()
    model_name, source = _split(name)
    if source == "random":
        return _random(model_name)
    path = (checkpoints or {}).get(name) or Path(source).expanduser()
    if path.is_file():
        return _from_file(model_name, path)
    return _from_tag(model_name, source)


def resolve(name: str) -> tuple[str, Path | None]:
    """The name that goes into a configuration, and the file behind it: a path becomes the file's sha256.

    Raises:
        FedbenchError: unknown backbone, or neither a tag nor a file.
    """
    if name in BACKBONES:
        return name, None
    model_name, source = _split(name)
    path = Path(source).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            return (
                f"{model_name}:sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}",
                path.resolve(),
            )
    if source != "random":
        _tag(model_name, source)
    return name, None


def skeleton(model_name: str) -> FrozenCLIP:
    """A model of open_clip with its true sizes and no weights: what methods need to declare their tensors.

    It stands on torch's meta device, where tensors have shapes and no memory. Whatever needs a value fails.

    Raises:
        FedbenchError: open_clip has no such model.
    """
    import open_clip

    if model_name not in open_clip.list_models():
        raise unknown("model of open_clip", model_name, open_clip.list_models())
    with torch.device("meta"):
        model = _create(model_name, device="meta")
    return _wrap(model, model_name, name=model_name, label="no weights")


def from_state_dict(
    config: dict[str, Any], state: dict[str, Tensor], *, name: str, label: str = "", **preprocess: Any
) -> FrozenCLIP:
    """A CLIP from an open_clip configuration (`embed_dim`, `vision_cfg`, `text_cfg`, `quick_gelu`) and weights.

    Raises:
        FedbenchError: the weights do not fit the configuration.
    """
    import open_clip

    with _own_draws():
        model = open_clip.CLIP(**deepcopy(config))
    load_strictly(model, {k: v.float() for k, v in state.items()}, name)
    size = config["vision_cfg"]["image_size"]
    settings = {"size": size, "mean": OPENAI_MEAN, "std": OPENAI_STD} | preprocess
    return FrozenCLIP(
        model, open_clip.SimpleTokenizer(), name=name, label=label, preprocess=Preprocess(**settings)
    )


def _split(name: str) -> tuple[str, str]:
    import open_clip

    model_name, colon, source = name.partition(":")
    if model_name not in open_clip.list_models():
        raise unknown("backbone", name if not colon else model_name, [*BACKBONES, *open_clip.list_models()])
    if not colon or not source:
        raise FedbenchError(
            f"backbone '{name}' names no weights: write {model_name}:TAG, {model_name}:PATH or {model_name}:random"
        )
    return model_name, source


def _tag(model_name: str, tag: str) -> dict[str, Any]:
    """open_clip's entry for a tag; `ViT-B-16` and `ViT-B-16-quickgelu` share the tags of one architecture."""
    import open_clip

    config = open_clip.get_pretrained_cfg(model_name, tag)
    if config:
        return config
    if "/" in tag or "." in tag:
        raise FedbenchError(f"backbone '{model_name}:{tag}': no such file")
    known = open_clip.list_pretrained_tags_by_model(model_name)
    plain = model_name.removesuffix("-quickgelu")
    if tag in open_clip.list_pretrained_tags_by_model(plain):
        raise FedbenchError(
            f"backbone '{model_name}:{tag}': these weights were trained with GELU, the model says QuickGELU; "
            f"use {plain}:{tag}"
        )
    raise unknown(f"weights of {model_name}", tag, [*known, "random"])


def _from_tag(model_name: str, tag: str) -> FrozenCLIP:
    import open_clip

    entry = _tag(model_name, tag)
    # the tag knows the activation its weights were trained with; open_clip would only warn and use the other
    try:
        with _quiet(), _own_draws():
            model = open_clip.create_model(
                model_name,
                pretrained=tag,
                force_quick_gelu=bool(entry.get("quick_gelu")),
                require_pretrained=True,
            )
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FedbenchError(
            f"backbone '{model_name}:{tag}': its weights are not on this machine and could not be fetched "
            f"({reason[:120]}); run once with network access, or download the checkpoint and use {model_name}:PATH"
        ) from error
    return _wrap(model, model_name, name=f"{model_name}:{tag}")


def _from_file(model_name: str, path: Path) -> FrozenCLIP:
    state, metadata = read_checkpoint(path)
    wants_quick = wants_quick_gelu(state, metadata, path)
    config = _model_config(model_name)
    if wants_quick is not None and wants_quick != bool(config.get("quick_gelu")):
        plain = model_name.removesuffix("-quickgelu")
        right = f"{plain}-quickgelu" if wants_quick else plain
        raise FedbenchError(
            f"{path}: QuickGELU mismatch: the weights were trained with {'QuickGELU' if wants_quick else 'GELU'}, "
            f"{model_name} uses {'GELU' if wants_quick else 'QuickGELU'}; use {right}:{path}"
        )
    model = _create(model_name)
    state = {k: v.float() for k, v in state.items() if k not in OPENAI_KEYS}
    load_strictly(model, state, str(path))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return _wrap(model, model_name, name=f"{model_name}:sha256-{digest}")


def _random(model_name: str) -> FrozenCLIP:
    with _own_draws():
        torch.manual_seed(0)
        model = _create(model_name)
    return _wrap(model, model_name, name=f"{model_name}:random", label="untrained")


def _create(model_name: str, *, device: str = "cpu") -> torch.nn.Module:
    import open_clip

    with _quiet(), _own_draws():
        return open_clip.create_model(model_name, pretrained=None, pretrained_text=False, device=device)


def _own_draws() -> AbstractContextManager[None]:
    """open_clip's models begin with draws from torch's global generator: nobody else's stream moves by them."""
    return torch.random.fork_rng(devices=[])


def _model_config(model_name: str) -> dict[str, Any]:
    import open_clip

    return open_clip.get_model_config(model_name)


def _wrap(model: torch.nn.Module, model_name: str, *, name: str, label: str = "") -> FrozenCLIP:
    import open_clip

    cfg = open_clip.get_model_preprocess_cfg(model)
    size = cfg["size"] if isinstance(cfg["size"], int) else cfg["size"][0]
    preprocess = Preprocess(size, tuple(cfg["mean"]), tuple(cfg["std"]), cfg.get("interpolation", "bicubic"))
    tokenizer = open_clip.get_tokenizer(model_name)
    return FrozenCLIP(model, tokenizer, name=name, preprocess=preprocess, label=label)


class _quiet:
    """open_clip logs every step and warns about random weights on purpose: keep it to errors here."""

    def __enter__(self) -> None:
        self.level = logging.root.level
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)
