"""A plug-in of toys, on which executors are checked: a method, a dataset, a split and a backbone of seconds."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image as PILImage
from pydantic import NonNegativeFloat
from torch import Tensor

from fedbench.clip.loader import BackboneLoader
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.prompts import Prompt
from fedbench.data.dataset import Dataset, Item
from fedbench.learned import Learned, normal
from fedbench.method import Batch, Method, Tensors
from fedbench.registry import BACKBONES, DATASETS, METHODS, SPLITS
from fedbench.task import Client, Metric, Pool, Split, Task
from fedbench.testing.worlds import random_clip

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


@METHODS.register("toy")
class ToyMethod(Method):
    """A shared shift of all class features."""

    paper = "None."

    class Hyper(Method.Hyper):
        """pause: seconds of sleep in each local step; end: how its cells end."""

        pause: NonNegativeFloat = 0.0
        end: Literal["well", "badly"] = "well"

    hyper: Hyper

    def tensors(self) -> dict[str, Learned]:
        """shift: (embed,)"""
        return {"shift": Learned((self.clip.embed_dim,), normal(), shared=True)}

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """Plain sentences."""
        return self.sentences(classnames)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy, after the pause."""
        time.sleep(self.hyper.pause)
        if self.hyper.end == "badly":
            raise ZeroDivisionError("a toy that breaks")
        return {"ce": self.cross_entropy(self.logits(p, batch.images, self.classnames), batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the shifted sentences."""
        return self.cosine_logits(images, self.encode_words(self.prompts(classnames)) + p["shift"][:, None])


@DATASETS.register("toy")
class ToyDataset(Dataset):
    """Plain colours in many shades."""

    title = "Toy"
    bibtex = ""
    n_classes = len(COLOURS)

    def __init__(self, root: Path, *, allow_missing: bool = False, quirks: Sequence[str] = ()):
        self.classnames, self.source = tuple(COLOURS), "built-in"
        self.parts: Mapping[str, tuple[Item, ...]] = {
            part: tuple(
                Item(f"{name}/{part}/{shade}", label)
                for label, name in enumerate(COLOURS)
                for shade in range(count)
            )
            for part, count in (("train", 8), ("val", 2), ("test", 4))
        }

    def open(self, item: Item) -> PILImage.Image:
        """A square of one colour."""
        name, _, shade = item.key.split("/")
        red, green, blue = (value - 5 * int(shade) for value in COLOURS[name])
        return PILImage.new("RGB", (32, 32), (red, green, blue))

    def fingerprint(self, item: Item) -> str:
        """They never change."""
        return "1"


@SPLITS.register("toy")
class ToySplit(Split):
    """Two clients, who take turns."""

    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The same for all seeds."""
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=dataset.classnames,
            clients=tuple(Client(f"client {k}", dataset.parts["train"][k::2]) for k in range(2)),
            pools={"test": Pool(dataset.classnames, dataset.parts["test"])},
            metrics={"global": Metric("test")},
            columns=("global",),
        )


@BACKBONES.register("toy")
class ToyBackbone(BackboneLoader):
    """A small CLIP with random weights."""

    def load(self) -> FrozenCLIP:
        """Made here."""
        return random_clip()
