"""What a cell was computed on and with."""

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import open_clip
import torch

import fedbench
from fedbench.clip import FrozenCLIP

CODE = ("fedbench", "methods", "datasets")
"""Folders of the checkout whose changes make a commit `-dirty`."""


def environment(clip: FrozenCLIP) -> dict[str, Any]:
    """Machine and versions, for the record."""
    gpu = torch.cuda.get_device_name(clip.device) if clip.device.type == "cuda" else ""
    return {
        "device": gpu or clip.device.type,
        "precision": clip.precision,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "fedbench": fedbench.__version__,
        "commit": _commit(),
        "platform": platform.platform(),
    }


def _commit() -> str:
    """The commit of the checkout that this code lies in, `-dirty` where its code has been changed since.

    "" for an installed package, or without git.
    """
    here = Path(__file__)
    if shutil.which("git") is None:
        return ""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", *words]
        return subprocess.run(command, cwd=here.parent, capture_output=True, text=True, check=False)

    # an installed package may lie in the environment of somebody else's checkout
    ours = git("ls-files", "--error-unmatch", here.name).returncode == 0
    if not ours:
        return ""
    root = git("rev-parse", "--show-toplevel").stdout.strip()
    changed = git("status", "--porcelain", "--", *(f"{root}/{folder}" for folder in CODE)).stdout.strip()
    return git("rev-parse", "--short", "HEAD").stdout.strip() + ("-dirty" if changed else "")
