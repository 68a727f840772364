"""The frozen CLIP: open_clip's weights under our own client-batched towers."""

from fedbench.clip.blocks import Hooks
from fedbench.clip.load import load, resolve
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.prompts import PromptTree, build_tree, slot

__all__ = ["FrozenCLIP", "Hooks", "PromptTree", "build_tree", "load", "resolve", "slot"]
