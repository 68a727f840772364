"""The plain path: one client at a time, 77 tokens a class, pixels through the image tower at every step.

Short and obvious, on open_clip's own modules. It is what the fast engine is tested against, and what `bench perf`
measures it against. Methods run on it unchanged: `PlainCLIP` packs prompts as open_clip's tokenizer would, one
row of 77 tokens a class, and shares nothing between classes or clients.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedbench.clip.blocks import UNCHANGED, Hooks
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.prompts import Prompt
from fedbench.method import Batch, Method, Optimizer, Tensors
from fedbench.seeds import number


@dataclass(frozen=True)
class PlainPrompts:
    """Prompts as rows of token ids. `slots` says which learned token stands where, -1 for none. (classes, length)"""

    ids: Tensor
    slots: Tensor
    ends: Tensor

    @property
    def positions(self) -> Tensor:
        """Place of each of a row's tokens. (length,)"""
        return torch.arange(self.ids.shape[1], device=self.ids.device)

    @property
    def context_rows(self) -> Tensor:
        """Where the learned tokens stand, in order of learned token; the same in every class."""
        rows = torch.nonzero(self.slots[0] >= 0)[:, 0]
        return rows[torch.argsort(self.slots[0, rows])]


class PlainText:
    """open_clip's text transformer, fed token by token."""

    def __init__(self, clip: FrozenCLIP):
        self.modules: Any = getattr(clip.model, "text", clip.model)  # open_clip's modules are untyped
        self.tokenize, self.embed = clip.text.tokenize, clip.text.embed
        self.width, self.length = clip.text.width, clip.text.length
        self.blocks = clip.text.blocks

    def pack(self, prompts: Sequence[Prompt]) -> PlainPrompts:
        """Rows padded with zeros to the full context length."""
        ids = torch.zeros(len(prompts), self.length, dtype=torch.long)
        slots = torch.full_like(ids, -1)
        for row, prompt in enumerate(prompts):
            for place, token in enumerate(prompt):
                ids[row, place], slots[row, place] = max(token, 0), max(-1 - token, -1)
        ends = torch.tensor([len(prompt) - 1 for prompt in prompts])
        device = self.modules.positional_embedding.device
        return PlainPrompts(ids.to(device), slots.to(device), ends.to(device))

    def encode(
        self, prompts: PlainPrompts, context: Tensor | None = None, hooks: Hooks = UNCHANGED
    ) -> Tensor:
        """Text features, not normalised. context (1, sets, n_ctx, width) → (1, sets, classes, embed)"""
        if context is None:
            return self._one(prompts, None, hooks)[None, None]
        assert len(context) == 1, "the plain path takes one client at a time"
        return torch.stack([self._one(prompts, one, hooks) for one in context[0]])[None]

    def _one(self, prompts: PlainPrompts, context: Tensor | None, hooks: Hooks) -> Tensor:
        text = self.modules
        x = text.token_embedding(prompts.ids)  # (classes, length, width)
        if context is not None:
            x = torch.where((prompts.slots >= 0)[..., None], context[prompts.slots.clamp(min=0)], x)
        x = x + text.positional_embedding
        x = run_blocks(text.transformer.resblocks, x[None], hooks, mask=text.attn_mask)[0]
        x = text.ln_final(x)[torch.arange(len(x)), prompts.ends]
        if isinstance(text.text_projection, nn.Linear):
            return text.text_projection(x)
        return x if text.text_projection is None else x @ text.text_projection


class PlainCLIP(FrozenCLIP):
    """The same weights behind open_clip's own forward pass."""

    def __init__(self, clip: FrozenCLIP):
        self.__dict__.update(clip.__dict__)
        self.text = PlainText(clip)
        self.image = PlainImage(clip.model.visual) if clip.image else None

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Image features by open_clip, not normalised. (images, 3, side, side) → (images, embed)"""
        with self.autocast():
            return self.model.encode_image(pixels).float()


class PlainImage:
    """open_clip's vision transformer with a method's hooks."""

    def __init__(self, visual: Any):  # open_clip's modules are untyped
        self.visual = visual
        self.width: int = visual.class_embedding.shape[0]
        self.blocks: nn.ModuleList = visual.transformer.resblocks

    def tokens(self, images: Tensor) -> Tensor:
        """Pixels (1, images, 3, height, width) → input of block 0 (1, images, 1 + patches, width)."""
        return self.visual._embeds(images[0])[None]

    def blocks_between(self, x: Tensor, first: int, last: int, hooks: Hooks = UNCHANGED) -> Tensor:
        """Run blocks `first` to `last - 1`. (1, images, tokens, width) → the same."""
        return run_blocks(self.blocks, x, hooks, mask=None, first=first, last=last)

    def encode(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Input of block `first` → image features, not normalised. (1, images, embed)"""
        return self.encode_tokens(x, hooks, first=first)[:, :, 0]

    def encode_tokens(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Like `encode`, for all tokens. (1, images, 1 + patches, embed)"""
        x = self.visual.ln_post(self.blocks_between(x, first, len(self.blocks), hooks))
        return x if self.visual.proj is None else x @ self.visual.proj


def run_blocks(
    blocks: nn.ModuleList,
    x: Tensor,
    hooks: Hooks,
    *,
    mask: Tensor | None,
    first: int = 0,
    last: int | None = None,
) -> Tensor:
    """open_clip's residual blocks with a method's hooks. (1, sequences, tokens, width) → the same"""
    for i in range(first, len(blocks) if last is None else last):
        block: Any = blocks[i]
        x = hooks.tokens(i, x)
        h = block.ln_1(x)
        x = x + block.ls_1(_attention(block.attn, h, hooks.qkv(i, h), mask))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
        side = hooks.branch(i, h)
        x = x if side is None else x + side
    return x


def _attention(attn: nn.MultiheadAttention, h: Tensor, delta: Tensor | None, mask: Tensor | None) -> Tensor:
    if delta is None:
        return attn(h[0], h[0], h[0], need_weights=False, attn_mask=mask)[0][None]
    q, k, v = (nn.functional.linear(h, attn.in_proj_weight, attn.in_proj_bias) + delta).chunk(3, dim=-1)
    q, k, v = (t.unflatten(-1, (attn.num_heads, -1)).transpose(-2, -3) for t in (q, k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return attn.out_proj((weights @ v).transpose(-2, -3).flatten(-2))


def plain_losses(
    method: Method, p: Tensors, pixels: Tensor, labels: Tensor, *, received: Tensors, seed: int | None = None
) -> Tensors:
    """Terms of one client's loss, from pixels. `method` runs on a `PlainCLIP`; p and received are (1, ...)."""
    images = method.clip.image_input(pixels, method.image_input)[None]
    everything = torch.ones_like(labels, dtype=torch.bool)[None]
    seeds = None if seed is None else torch.tensor([seed], device=labels.device)
    return method.losses(p, Batch(images, labels[None], everything, received, seeds))


def train_plain(
    method: Method,
    start: Tensors,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    received: Tensors,
    local_epochs: int = 1,
    seed: int | None = None,
    kept: dict[str, Any] | None = None,
) -> Tensors:
    """One client's local training with `torch.optim`, on (pixels, labels) batches. start (1, ...) → (1, ...)

    Every local epoch goes over the batches in order. Optimisers start fresh, or go on from `kept`, into which they
    leave the state that stays with the client. `seed` is the first step's, for what is random in training; later
    steps count on.
    """
    counter = itertools.count(seed) if seed is not None else itertools.repeat(None)
    p = {name: x.detach().clone() for name, x in start.items()}
    optimizers = {name: _torch_optimizer(x, method.optimizer(name)) for name, x in p.items()}
    for name, state in (kept or {}).items():
        optimizers[name].load_state_dict(state)
    for names in method.phases(local_epochs):
        for name, x in p.items():
            x.requires_grad_(name in names)
        for pixels, labels in batches:
            losses = plain_losses(method, p, pixels, labels, received=received, seed=next(counter))
            total = sum(losses.values(), torch.zeros(()))
            for name, gradient in zip(
                names,
                torch.autograd.grad(total.sum(), [p[n] for n in names], materialize_grads=True),
                strict=True,
            ):
                p[name].grad = gradient
                optimizers[name].step()
    if kept is not None:
        kept |= {
            name: o.state_dict() for name, o in optimizers.items() if method.optimizer(name).state == "kept"
        }
    return {name: x.detach() for name, x in p.items()}


def _torch_optimizer(x: Tensor, s: Optimizer) -> torch.optim.Optimizer:
    if s.kind == "adamw":
        return torch.optim.AdamW([x], lr=s.lr, betas=s.betas, weight_decay=s.weight_decay)
    return torch.optim.SGD([x], lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)


def run_plain(
    method: Method,
    start: Tensors,
    batches: Sequence[Sequence[tuple[Tensor, Tensor]]],
    counts: Sequence[int],
    *,
    rounds: int,
    local_epochs: int = 1,
    seed: int | None = None,
) -> list[tuple[Tensors, list[Tensors]]]:
    """A whole federation, one client after the other: after each round the server's tensors and the clients' own.

    Args:
        start: the common start, without a clients axis.
        batches: each client's (pixels, labels), the same in every epoch.
        counts: numbers of training images.
        seed: the run's, for what is random in training; None: nothing is.
    """
    server = {name: start[name] for name in method.shared}
    personal = [{name: x for name, x in start.items() if name not in method.shared} for _ in counts]
    kept: list[dict[str, Any]] = [{} for _ in counts]
    history = []
    for r in range(rounds):
        received = {name: x[None] for name, x in server.items()}
        trained = [
            train_plain(
                method,
                received | {name: x[None] for name, x in personal[k].items()},
                batches[k],
                received=received,
                local_epochs=local_epochs,
                seed=None if seed is None else number(seed, "training", round=r, client=k),
                kept=kept[k],
            )
            for k in range(len(counts))
        ]
        uploads = {name: torch.cat([t[name] for t in trained]) for name in method.shared}
        server = method.aggregate(uploads, torch.tensor(counts), server, round_=r) if uploads else server
        personal = [{name: t[name][0] for name in personal[k]} for k, t in enumerate(trained)]
        history.append((server, personal))
    return history
