"""How much memory the evaluation of many test images takes, measured: `python scripts/evaluation_memory.py`.

A folder of made-up images, a small vision transformer with random weights, and one evaluation of four models by a
method that works inside the image tower: pFedPT on pixels, pFedMMA on the input of a block. Printed are the peaks of
anonymous memory over what the process had before; mapped files do not count, the system takes their pages back when
it needs them. Each number is from a process of its own. With the limits as they are, everything here is small enough to
be held on the device at once; --held says from how many MiB on pools are walked in pieces instead, and how large pieces
and files are.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
import open_clip
import torch
from PIL import Image

from fedbench.clip.load import from_state_dict
from fedbench.clip.model import FrozenCLIP
from fedbench.engine import evaluate, segments
from fedbench.engine.evaluate import Evaluator
from fedbench.engine.features import FeatureCache
from fedbench.engine.federation import Federation
from fedbench.registry import DATASETS, METHODS
from fedbench.task import Metric, Pool, Task

INPUTS = {"pixels": "pFedPT", "block": "pFedMMA"}
CLASSES, CLIENTS = 8, 4


@click.command()
@click.option("--counts", default="1000,4000,16000", show_default=True, help="Numbers of test images.")
@click.option("--held", default=16, show_default=True, help="MiB of test images on the device at once.")
def main(counts: str, held: int) -> None:
    """Print the peak of anonymous memory for each number of test images."""
    for count in map(int, counts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder) / "images", count)
            peaks = {kind: measured(kind, Path(folder), held) for kind in INPUTS}
        print(f"{count:6} test images:", ", ".join(f"{kind} {mib:.0f} MiB" for kind, mib in peaks.items()))


def draw(folder: Path, count: int) -> None:
    """A folder data set: `count` test images in class folders, and two training images a class."""
    rng = np.random.default_rng(0)
    for part, number in (("train", 2 * CLASSES), ("test", count)):
        for n in range(number):
            path = folder / part / f"class{n % CLASSES}" / f"{n:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (72, 72, 3), dtype=np.uint8)).save(path, compress_level=1)


def measured(kind: str, folder: Path, held: int) -> float:
    """The peak in a process of its own, in MiB."""
    code = f"from evaluation_memory import run; run({kind!r}, {str(folder)!r}, {held})"
    # glibc then gives back what is freed; otherwise it keeps some 100 MiB more, at random
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout)


def run(kind: str, folder: str, held: int) -> None:
    """Evaluate, and print the peak."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    evaluate.HELD_BYTES = evaluate.PIECE_BYTES = segments.SEGMENT_BYTES = held * 2**20
    dataset = DATASETS["folder"](Path(folder), path=Path(folder) / "images")
    clip = small_clip()
    method = METHODS[INPUTS[kind]](clip, dataset.classnames, hyper={})
    pool = Pool(dataset.classnames, dataset.parts["test"])
    task = Task("p", dataset, dataset.classnames, (), {"test": pool}, {"test": Metric("test")}, ())
    federation = Federation(method, None, counts=[1] * CLIENTS, seed=0)
    for x in federation.personal.values():
        x += 0.1 * torch.randn(x.shape)  # else they are alike, and one is tested
    cache = FeatureCache(
        clip,
        dataset,
        kind=method.image_input,
        folder=Path(folder) / "cache",
        say=print,
        progress=lambda *_: None,
    )
    peak = Peak()
    assert len(Evaluator(task, cache, device="cpu")(federation)["test"]) == CLIENTS
    print(peak.stop())


class Peak:
    """Samples the process's anonymous memory, a hundred times a second."""

    def __init__(self) -> None:
        self.start = self.most = anonymous()
        self.going = True
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()

    def _sample(self) -> None:
        while self.going:
            self.most = max(self.most, anonymous())
            time.sleep(0.01)

    def stop(self) -> float:
        """The peak over the start, in MiB."""
        self.going = False
        self.thread.join()
        return self.most - self.start


def anonymous() -> float:
    """RssAnon in MiB."""
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def small_clip() -> FrozenCLIP:
    """Random weights: 64 pixels in patches of 8, three blocks of width 64."""
    vision = {"layers": 3, "width": 64, "head_width": 32, "patch_size": 8, "image_size": 64}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3}
    config = {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}
    state = open_clip.CLIP(**config).state_dict()
    return from_state_dict(config, state, name="small random CLIP", label="untrained")


if __name__ == "__main__":
    main()
