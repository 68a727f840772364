"""Pretrains the backbone `tiny` on the built-in world and writes its weights; see docs/model-card-tiny.md.

    python scripts/pretrain_tiny.py --out fedbench/world/tiny.safetensors

Plain CLIP: a pool of rendered images, a new caption for each image in each epoch, the symmetric contrastive
loss with a learnable temperature. One change: a caption that is also true of another image of the batch
("a star") is no negative of that image. After a run, put the printed sha256 into fedbench/world/backbone.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
from itertools import chain
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from fedbench.world import CLASSNAMES, DOMAINS, render_benchmark
from fedbench.world import captions as world
from fedbench.world.backbone import ROW_IDS, ROWS, tiny_config
from fedbench.world.vocabulary import COLOURS, PATTERNS, SHAPES, Attributes, generator

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BITS = {word: 1 << i for i, word in enumerate((*PATTERNS, *COLOURS, *SHAPES, *world.TRAIT_TEMPLATES))}
TOKENIZER = open_clip.SimpleTokenizer()
EVALUATION_PROMPT = "a photo of a {}."


def bits(words: frozenset[str]) -> int:
    return sum(BITS[word] for word in words)


def render_range(bounds: tuple[int, int]) -> tuple[np.ndarray, list[Attributes], list[frozenset[str]]]:
    """Images (count, 32, 32, 3) uint8 of examples first..last-1, with their attributes and traits."""
    pairs = [world.pretraining_pair(index) for index in range(*bounds)]
    return (
        np.stack([np.asarray(p.image) for p in pairs]),
        [p.attributes for p in pairs],
        [p.traits for p in pairs],
    )


def render_pool(count: int, workers: int) -> tuple[np.ndarray, list[Attributes], list[frozenset[str]]]:
    """The pool of pretraining images, in the order of their indices whatever the number of workers."""
    bounds = [(first, min(first + 1000, count)) for first in range(0, count, 1000)]
    with Pool(workers) as pool:
        parts = pool.map(render_range, bounds, chunksize=1)
    images, attributes, traits = zip(*parts, strict=True)
    return np.concatenate(images), list(chain.from_iterable(attributes)), list(chain.from_iterable(traits))


def used_tokens() -> list[int]:
    """Ids of all tokens that a pretraining caption can contain, ascending."""
    phrases = [phrase for attributes in world.PRETRAINING for phrase in world.phrases(attributes)]
    frames = [*world.TEMPLATES, *(frame for group in world.TRAIT_TEMPLATES.values() for frame in group)]
    texts = [*phrases, *world.FILLERS, "X", *(frame.format(phrases[0]) for frame in frames)]
    # a full stop after a word can be another token than one that stands alone
    texts += [frame.format(phrase) for frame in frames for phrase in phrases[:: len(phrases) // 500]]
    ids = {token for text in texts for token in TOKENIZER.encode(text)}
    return sorted(ids | {TOKENIZER.sot_token_id, TOKENIZER.eot_token_id})


class Model(torch.nn.Module):
    """open_clip's CLIP over the used tokens only, with the text tower cut to the longest caption at hand."""

    def __init__(self, ids: list[int]) -> None:
        super().__init__()
        config = tiny_config()
        config["text_cfg"]["vocab_size"] = len(ids)
        self.clip = open_clip.CLIP(**config)
        self.row = {token: row for row, token in enumerate(ids)}
        self.ids = ids

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        sot, eot = TOKENIZER.sot_token_id, TOKENIZER.eot_token_id
        return [[self.row[t] for t in (sot, *TOKENIZER.encode(text), eot)] for text in texts]

    def text(self, rows: list[list[int]]) -> Tensor:
        """Unit features (captions, embed); a quarter at a time, by length, as short ones cost less."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        size = -(-len(order) // 4)
        parts = [
            self._text([rows[i] for i in order[start : start + size]]) for start in range(0, len(order), size)
        ]
        return torch.cat(parts)[torch.argsort(torch.tensor(order))]

    def _text(self, rows: list[list[int]]) -> Tensor:
        clip, longest = self.clip, max(map(len, rows))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows])  # (captions, longest)
        x = clip.token_embedding(padded) + clip.positional_embedding[:longest]
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask[:longest, :longest]))
        ends = torch.tensor([len(row) - 1 for row in rows])
        return F.normalize(x[torch.arange(len(rows)), ends] @ clip.text_projection, dim=-1)

    def image(self, pixels: Tensor) -> Tensor:
        """Unit features (images, embed) of uint8 pixels (images, 32, 32, 3)."""
        x = (pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        return F.normalize(self.clip.visual(x.permute(0, 3, 1, 2).contiguous()), dim=-1)

    def loss(self, images: Tensor, texts: list[list[int]], also_true: Tensor) -> Tensor:
        """Symmetric contrastive loss; `also_true` (images, captions) are pairs that are no negatives."""
        scale = self.clip.logit_scale.exp().clamp(max=100)
        logits = (scale * self.image(images) @ self.text(texts).T).masked_fill(also_true, -torch.inf)
        target = torch.arange(len(images))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def optimizer(model: Model, rate: float) -> torch.optim.Optimizer:
    """AdamW; no weight decay on gains, biases and embeddings; a faster temperature, as the run is short."""
    named = [(name, p) for name, p in model.named_parameters() if name != "clip.logit_scale"]
    plain = [p for name, p in named if p.ndim < 2 or "embedding" in name]
    decayed = [p for name, p in named if not (p.ndim < 2 or "embedding" in name)]
    groups = [
        {"params": decayed, "weight_decay": 0.1, "factor": 1.0},
        {"params": plain, "weight_decay": 0.0, "factor": 1.0},
        {"params": [model.clip.logit_scale], "weight_decay": 0.0, "factor": 5.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def schedule(step: int, total: int, peak: float) -> float:
    """Learning rate at `step`: linear up over 150 steps, half a cosine down to 0."""
    return peak * min(1.0, step / 150) * 0.5 * (1 + math.cos(math.pi * step / total))


def benchmark_images(domain: str, part: str, per_class: int) -> tuple[Tensor, Tensor]:
    """Pixels (images, 32, 32, 3) uint8 and labels (images,) of the benchmark."""
    images = [
        np.asarray(render_benchmark(name, domain, part, i).resize((32, 32), 3))  # 3: bicubic
        for name in CLASSNAMES for i in range(per_class)
    ]  # fmt: skip
    return torch.from_numpy(np.stack(images)), torch.arange(len(CLASSNAMES)).repeat_interleave(per_class)


@torch.no_grad()
def zero_shot(model: Model, pixels: Tensor, labels: Tensor) -> dict[str, float]:
    """Percent right among the 20 base classes and among the 20 novel ones."""
    text = model.text(model.tokenize([EVALUATION_PROMPT.format(name) for name in CLASSNAMES]))
    logits, half = model.image(pixels) @ text.T, len(CLASSNAMES) // 2
    base, novel = labels < half, labels >= half
    return {
        "base": 100 * (logits[base, :half].argmax(1) == labels[base]).float().mean().item(),
        "novel": 100 * (logits[novel, half:].argmax(1) + half == labels[novel]).float().mean().item(),
    }


def train(model: Model, args: argparse.Namespace) -> None:
    """All epochs; prints the loss, and zero-shot accuracy on the val part, which chooses nothing."""
    images, attributes, traits = render_pool(args.images, args.threads)
    pixels = torch.from_numpy(images)
    facts = np.array(
        [bits(frozenset(a) | t) for a, t in zip(attributes, traits, strict=True)], dtype=np.int64
    )
    watched = benchmark_images("photo", "val", 20)
    print(f"rendered {len(images)} images", flush=True)
    optim = optimizer(model, args.rate)
    batches = len(images) // args.batch
    total, step, start, running = batches * args.epochs, 0, time.monotonic(), 0.0
    for epoch in range(args.epochs):
        rng = generator(f"fedbench/world/pretrain/{args.seed}/{epoch}")
        order = rng.permutation(len(images))
        for batch in order[: batches * args.batch].reshape(batches, args.batch):
            chosen = [world.caption(attributes[i], traits[i], rng) for i in batch]
            claims = np.array([bits(c.claims) for c in chosen], dtype=np.int64)
            also_true = torch.from_numpy((claims[None, :] & ~facts[batch][:, None]) == 0).fill_diagonal_(
                False
            )
            for group in optim.param_groups:
                group["lr"] = group["factor"] * schedule(step, total, args.rate)
            loss = model.loss(pixels[batch], model.tokenize([c.text for c in chosen]), also_true)
            optim.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optim.step()
            running, step = running + loss.item(), step + 1
            if step % 50 == 0 or step == total:
                report(model, watched, step, total, running / ((step - 1) % 50 + 1), start)
                running = 0.0


def report(
    model: Model, watched: tuple[Tensor, Tensor], step: int, total: int, loss: float, start: float
) -> None:
    right = zero_shot(model, *watched)
    scale, minutes = model.clip.logit_scale.exp().item(), (time.monotonic() - start) / 60
    print(
        f"step {step}/{total} loss {loss:.4f} scale {scale:.1f} val base {right['base']:.1f} "
        f"novel {right['novel']:.1f} minutes {minutes:.1f}", flush=True,
    )  # fmt: skip


def write(model: Model, path: Path, metadata: dict[str, object]) -> str:
    """Writes float16 weights atomically and returns the file's sha256."""
    state = {
        name: t.half().contiguous() for name, t in model.clip.state_dict().items() if name != "attn_mask"
    }
    state[ROWS] = state.pop("token_embedding.weight")
    state[ROW_IDS] = torch.tensor(model.ids, dtype=torch.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save_file(state, partial, metadata={"fedbench": json.dumps(metadata, sort_keys=True)})
    partial.chmod(0o644)  # safetensors writes for the owner only; a package's data is for all
    os.replace(partial, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--images", type=int, default=130_000, help="rendered images in the pool")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the pool, each with new captions")
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # open_clip initialises from the global generator; nothing else here draws from it
    torch.manual_seed(args.seed)
    start = time.monotonic()
    model = Model(used_tokens())
    train(model, args)
    model.half().float()  # measure what is shipped
    figures = {domain: zero_shot(model, *benchmark_images(domain, "test", 50)) for domain in DOMAINS}
    metadata = {name: value for name, value in vars(args).items() if name not in ("out", "threads")}
    sha256 = write(model, args.out, metadata | {"config": tiny_config(), "classes": CLASSNAMES})
    print(f"test zero-shot {json.dumps(figures)}")
    print(f"minutes {(time.monotonic() - start) / 60:.1f}\nsha256 {sha256}")


if __name__ == "__main__":
    main()
