"""The plain path: one client at a time, 77 tokens a class, pixels through the image tower at every step.

Short and obvious, on open_clip's own modules. It is what the fast engine is tested against, and what `bench perf`
measures it against. Methods run on it unchanged: `PlainCLIP` packs prompts as open_clip's tokenizer would, one
row of 77 tokens a class, and shares nothing between classes or clients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedbench.clip.blocks import UNCHANGED, Hooks
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.prompts import Prompt
from fedbench.method import Batch, Method, Tensors


@dataclass(frozen=True)
class PlainPrompts:
    """Prompts as rows of token ids. `slots` says which learned token stands where, -1 for none. (classes, length)"""

    ids: Tensor
    slots: Tensor
    ends: Tensor

    @property
    def context_rows(self) -> Tensor:
        """Where the learned tokens stand, in order of learned token; the same in every class."""
        rows = torch.nonzero(self.slots[0] >= 0)[:, 0]
        return rows[torch.argsort(self.slots[0, rows])]


class PlainText:
    """open_clip's text transformer, fed token by token."""

    def __init__(self, clip: FrozenCLIP):
        self.modules = getattr(clip.model, "text", clip.model)
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

    def encode(self, prompts: PlainPrompts, context: Tensor | None = None, hooks: Hooks = UNCHANGED) -> Tensor:
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
        self.text = PlainText(clip)  # type: ignore[assignment]

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Image features by open_clip, not normalised. (images, 3, side, side) → (images, embed)"""
        with self.autocast():
            return self.model.encode_image(pixels).float()


def run_blocks(blocks: nn.ModuleList, x: Tensor, hooks: Hooks, *, mask: Tensor | None) -> Tensor:
    """open_clip's residual blocks with a method's hooks. (1, sequences, tokens, width) → the same"""
    for i, block in enumerate(blocks):
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


def plain_losses(method: Method, p: Tensors, pixels: Tensor, labels: Tensor, *, received: Tensors) -> Tensors:
    """Terms of one client's loss, from pixels. `method` runs on a `PlainCLIP`; p and received are (1, ...)."""
    images = method.clip.encode_image(pixels)[None]
    return method.losses(p, Batch(images, labels[None], torch.ones_like(labels, dtype=torch.bool)[None], received))


def train_plain(method: Method, start: Tensors, batches: Sequence[tuple[Tensor, Tensor]], *, received: Tensors) -> Tensors:
    """One client's local training with `torch.optim.SGD`, on (pixels, labels) batches. start (1, ...) → (1, ...)"""
    p = {name: x.clone().requires_grad_() for name, x in start.items()}
    h = method.hyper
    optimizer = torch.optim.SGD(p.values(), lr=h.lr, momentum=h.momentum, weight_decay=h.weight_decay)
    for pixels, labels in batches:
        optimizer.zero_grad()
        sum(plain_losses(method, p, pixels, labels, received=received).values()).sum().backward()  # type: ignore[union-attr]
        optimizer.step()
    return {name: x.detach() for name, x in p.items()}


def run_plain(
    method: Method, start: Tensors, batches: Sequence[Sequence[tuple[Tensor, Tensor]]], counts: Sequence[int], *, rounds: int
) -> list[tuple[Tensors, list[Tensors]]]:
    """A whole federation, one client after the other: after each round the server's tensors and the clients' own.

    Args:
        start: the common start, without a clients axis.
        batches: each client's (pixels, labels), the same in every round.
        counts: numbers of training images.
    """
    server = {name: start[name] for name in method.shared}
    personal = [{name: x for name, x in start.items() if name not in method.shared} for _ in counts]
    history = []
    for _ in range(rounds):
        received = {name: x[None] for name, x in server.items()}
        trained = [
            train_plain(method, received | {n: x[None] for n, x in personal[k].items()}, batches[k], received=received)
            for k in range(len(counts))
        ]
        uploads = {name: torch.cat([t[name] for t in trained]) for name in method.shared}
        server = method.aggregate(uploads, torch.tensor(counts), server) if uploads else server
        personal = [{name: t[name][0] for name in personal[k]} for k, t in enumerate(trained)]
        history.append((server, personal))
    return history
