"""Prompts as a prefix tree: tokens that several prompts share are encoded once.

CLIP's text tower is causal, so a token's hidden states depend on what stands before it and on nothing after. The
prompts of one label space differ only in the class name at the end; they form a tree:

    [SOS] [ctx 1] … [ctx 16]        the trunk: shared by all classes
        ├─ striped ─┬─ red ── star ── . ── [EOT]
        │           └─ blue ── ring ── . ── [EOT]
        └─ plain ── …

The trunk is encoded once per prompt set instead of once per class, nothing is computed after an [EOT], and no
class is padded to the longest. Branches are packed into groups of about `GROUP_TOKENS` tokens; a token attends to
the trunk and to its ancestors in its group, so the cost stays linear in the number of classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedbench.errors import FedbenchError

GROUP_TOKENS = 48
"""Branch tokens in one group: attention stays a few percent of the tower, and padding too."""

Prompt = Sequence[int]
"""One class's tokens, from [SOS] to [EOT]: a vocabulary id, or `slot(i)` where learned token i stands."""


def slot(index: int) -> int:
    """Stands for learned token `index` in a prompt."""
    return -1 - index


@dataclass(frozen=True)
class PromptTree:
    """The prompts of one label space, packed. `tokens` = trunk followed by groups * group size branch tokens.

    Attributes:
        ids: vocabulary id of each token, 0 where a learned token stands. (tokens,)
        slots: learned token that stands there, -1 where none does. (tokens,)
        positions: place of the token in its prompt. (tokens,)
        trunk: number of tokens that all prompts share.
        visible: which of [trunk, group] a branch token attends to. (groups, group size, trunk + group size) bool
        ends: the [EOT] of each class. (classes,)
    """

    ids: Tensor
    slots: Tensor
    positions: Tensor
    trunk: int
    visible: Tensor
    ends: Tensor

    def to(self, device: torch.device | str) -> "PromptTree":
        """The same tree on another device."""
        ids, slots, positions = (t.to(device) for t in (self.ids, self.slots, self.positions))
        return PromptTree(ids, slots, positions, self.trunk, self.visible.to(device), self.ends.to(device))

    @property
    def context_rows(self) -> Tensor:
        """Rows of the tokens axis where learned tokens stand, in order of learned token, if each stands once."""
        rows = torch.nonzero(self.slots >= 0)[:, 0]
        return rows[torch.argsort(self.slots[rows])]


class _Group:
    """Branches under construction: a trie of tokens."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.children: dict[tuple[int, int], int] = {}

    def add(self, branch: Prompt) -> int:
        """Insert one class's branch; returns the index of its last token."""
        node = -1
        for depth, token in enumerate(branch):
            key = (node, token)
            if key not in self.children:
                self.children[key] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
                self.depths.append(depth)
            node = self.children[key]
        return node

    def ancestors(self, size: int) -> Tensor:
        """Each token sees itself and its ancestors; padding sees itself. (size, size) bool"""
        visible = torch.eye(size, dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                visible[node] |= visible[parent]
        return visible


def build_tree(prompts: Sequence[Prompt], *, length: int) -> PromptTree:
    """Pack prompts.

    Args:
        prompts: one per class.
        length: the text tower's context length in tokens.

    Raises:
        FedbenchError: a prompt does not fit into `length`.
    """
    for prompt in prompts:
        if len(prompt) > length:
            raise FedbenchError(
                f"a prompt has {len(prompt)} tokens; the text tower takes {length}: shorten the context"
            )
    trunk = _common_prefix(prompts)
    groups, homes = _pack([prompt[trunk:] for prompt in prompts])
    size = max(len(group.tokens) for group in groups)
    tokens, positions = list(prompts[0][:trunk]), list(range(trunk))
    for group in groups:
        padding = size - len(group.tokens)
        tokens += group.tokens + [0] * padding
        positions += [trunk + depth for depth in group.depths] + [trunk] * padding
    token = torch.tensor(tokens)
    visible = torch.stack([group.ancestors(size) for group in groups])  # (groups, size, size)
    return PromptTree(
        ids=token.clamp(min=0),
        slots=torch.where(token < 0, -1 - token, -1),
        positions=torch.tensor(positions),
        trunk=trunk,
        visible=torch.cat([torch.ones(len(groups), size, trunk, dtype=torch.bool), visible], dim=-1),
        ends=torch.tensor([trunk + group * size + node for group, node in homes]),
    )


def _common_prefix(prompts: Sequence[Prompt]) -> int:
    """Length of the longest common prefix that leaves every prompt its last token."""
    shortest = min(len(prompt) for prompt in prompts) - 1
    for place in range(shortest):
        if len({prompt[place] for prompt in prompts}) > 1:
            return place
    return shortest


def _pack(branches: Sequence[Prompt]) -> tuple[list[_Group], list[tuple[int, int]]]:
    """Groups of about equal size, alike branches together; for each class its group and its last token there."""
    order = sorted(range(len(branches)), key=lambda c: tuple(branches[c]))
    whole = _Group()
    for c in order:
        whole.add(branches[c])
    count = max(1, round(len(whole.tokens) / GROUP_TOKENS))
    target = len(whole.tokens) / count
    groups, homes = [_Group()], [(0, 0)] * len(branches)
    for c in order:
        if (
            len(groups[-1].tokens) + len(branches[c]) / 2 > target
            and len(groups) < count
            and groups[-1].tokens
        ):
            groups.append(_Group())
        homes[c] = (len(groups) - 1, groups[-1].add(branches[c]))
    return groups, homes


SOS, EOT = 49406, 49407
"""CLIP's start and end tokens."""


def as_words(name: str) -> str:
    """A class name as it stands in a prompt: underscores are blanks."""
    return name.replace("_", " ")


def text_prompt(tokenize: Callable[[str], list[int]], text: str) -> Prompt:
    """A prompt of plain words, for example "a photo of a dog."."""
    return [SOS, *tokenize(text), EOT]


def context_prompt(
    tokenize: Callable[[str], list[int]], name: str, *, n_ctx: int, position: str = "end"
) -> Prompt:
    """CoOp's prompt: `n_ctx` learned tokens and "{name}.", the name at the end, in the middle or in front."""
    whole, end = tokenize(f"{name}."), len(tokenize(name))  # of the sentence: ")." is one token
    words, stop = whole[:end], whole[end:]
    slots = [slot(i) for i in range(n_ctx)]
    half = {"end": n_ctx, "middle": n_ctx // 2, "front": 0}[position]
    return [SOS, *slots[:half], *words, *slots[half:], *stop, EOT]
