"""Pixels: CLIP's test transform, and augmented views that are pure functions of (image, view)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torchvision.transforms.v2.functional as TF
from PIL import Image as PILImage
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode

from fedbench.clip.protocol import Preprocess
from fedbench.data.dataset import Preparation
from fedbench.seeds import stream

TEST_VIEW = -1
"""The number of the view without augmentation."""

CROP_SCALE = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
"""torchvision's RandomResizedCrop, which all the papers use."""


def view_of(
    image: PILImage.Image, to: Preprocess, *, own: Preparation | None, name: str, view: int
) -> Tensor:
    """A view of the image called `name`, for a backbone; by the data set's own way, if it has one. → (3, size, size)"""
    if own is not None:
        return prepared_view(image, to.size, mean=own.mean, std=own.std)
    return plain_view(image, to) if view == TEST_VIEW else augmented_view(image, to, name=name, view=view)


def plain_view(image: PILImage.Image, to: Preprocess) -> Tensor:
    """Resize the shorter side, centre crop, normalise. → (3, size, size)"""
    image = TF.resize(image, [to.size], interpolation=InterpolationMode(to.interpolation))
    return _normalised(TF.center_crop(image, [to.size, to.size]), to)


def prepared_view(image: PILImage.Image, size: int, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """A data set's own `Preparation`: normalise, then resize the tensor. → (3, size, size)"""
    pixels = TF.to_dtype(TF.pil_to_tensor(image), torch.float32, scale=True)
    pixels = TF.normalize(pixels, list(mean), list(std))
    return TF.resize(pixels, [size, size], interpolation=InterpolationMode.BILINEAR, antialias=False)


def augmented_view(image: PILImage.Image, to: Preprocess, *, name: str, view: int) -> Tensor:
    """Random resized crop and horizontal flip, drawn from the stream of (name, view). → (3, size, size)"""
    rng = stream(0, "augment", image=name, view=view)
    top, left, height, width = _crop(image.height, image.width, rng)
    interpolation = InterpolationMode(to.interpolation)
    image = TF.resized_crop(image, top, left, height, width, [to.size, to.size], interpolation=interpolation)
    return _normalised(TF.horizontal_flip(image) if rng.random() < 0.5 else image, to)


def _crop(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """torchvision's rule: ten tries for area and log-uniform ratio, else the largest central crop in range."""
    for _ in range(10):
        area = height * width * rng.uniform(*CROP_SCALE)
        ratio = math.exp(rng.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    ratio = min(max(width / height, CROP_RATIO[0]), CROP_RATIO[1])
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    return (height - h) // 2, (width - w) // 2, h, w


def _normalised(image: PILImage.Image, to: Preprocess) -> Tensor:
    pixels = TF.to_dtype(TF.pil_to_tensor(image), torch.float32, scale=True)
    return TF.normalize(pixels, list(to.mean), list(to.std))
