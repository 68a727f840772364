"""Pixels against torchvision's own transforms."""

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image as PILImage

from fedbench.clip.protocol import Preprocess
from fedbench.engine.transforms import CROP_RATIO, CROP_SCALE, _crop, augmented_view, plain_view
from fedbench.seeds import stream

TO = Preprocess(32, (0.48, 0.45, 0.40), (0.26, 0.26, 0.27))


def image(width=61, height=47):
    pixels = stream(0, "test image", width=width, height=height).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    return PILImage.fromarray(pixels)


def test_the_test_view_is_clips_own_transform():
    theirs = T.Compose(
        [
            T.Resize(32, interpolation=T.InterpolationMode.BICUBIC),
            T.CenterCrop(32),
            T.ToTensor(),
            T.Normalize(TO.mean, TO.std),
        ]
    )
    for size in ((61, 47), (32, 32), (20, 90)):
        torch.testing.assert_close(plain_view(image(*size), TO), theirs(image(*size)), atol=1e-6, rtol=0)


def test_a_view_is_a_pure_function_of_name_and_number():
    a = augmented_view(image(), TO, name="x", view=3)
    assert torch.equal(a, augmented_view(image(), TO, name="x", view=3))
    assert not torch.equal(a, augmented_view(image(), TO, name="x", view=4))
    assert not torch.equal(a, augmented_view(image(), TO, name="y", view=3))


def test_crops_are_distributed_as_torchvisions():
    ours = np.array([_crop(47, 61, stream(0, "crop", n=n)) for n in range(3000)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = np.array(
            [T.RandomResizedCrop.get_params(image(), CROP_SCALE, CROP_RATIO) for _ in range(3000)]
        )
    for column in range(4):  # top, left, height, width
        assert abs(ours[:, column].mean() - theirs[:, column].mean()) < 0.06 * (1 + theirs[:, column].mean())
        assert abs(ours[:, column].std() - theirs[:, column].std()) < 0.06 * (1 + theirs[:, column].std())
    assert (ours[:, 0] + ours[:, 2]).max() <= 47
    assert (ours[:, 1] + ours[:, 3]).max() <= 61


def test_half_of_the_views_are_mirrored():
    # a picture whose left half is black: after any crop that keeps both halves the dark side shows the flip
    picture = PILImage.fromarray(np.repeat(np.arange(64, dtype=np.uint8)[None] * 4, 64, 0)).convert("RGB")
    views = torch.stack([augmented_view(picture, TO, name="flip", view=v)[0] for v in range(400)])
    mirrored = (views[:, :, 0] > views[:, :, -1]).float().mean()
    assert 0.42 < mirrored < 0.58
