"""Deep prompts: learned tokens that enter a tower at several blocks, and may be made from those of the other tower."""

from torch import Tensor

from fedbench.clip.blocks import Hooks, product
from fedbench.learned import Learned, copies, uniform


class DeepTokens(Hooks):
    """Learned tokens in place of those that come out of the block before."""

    def __init__(self, deep: Tensor, rows: Tensor):
        """deep (clients, blocks, n, width), those of block 1 first; rows: where they stand. (n,)"""
        self.deep, self.rows = deep.unbind(1), rows

    def tokens(self, block: int, x: Tensor) -> Tensor:
        """x (clients, sequences, tokens, width) → the same"""
        if not 0 < block <= len(self.deep):
            return x
        learned = self.deep[block - 1][:, None].expand(-1, x.shape[1], -1, -1)
        return x.index_copy(2, self.rows, learned.to(x.dtype))


def couplings(name: str, *, blocks: int, out: int, into: int, shared: bool) -> dict[str, Learned]:
    """Linear layers from one tower's width to the other's, one for each of some blocks; they begin as copies of one.

    As stacks `<name>_weight` (blocks, out, into) and `<name>_bias` (blocks, out), for `coupled`.
    """
    start = copies(uniform(into))
    return {
        f"{name}_weight": Learned((blocks, out, into), start, shared=shared),
        f"{name}_bias": Learned((blocks, out), start, shared=shared),
    }


def coupled(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One tower's tokens from the other's, by a linear layer for each block.

    (clients, blocks, n, into), (clients, blocks, out, into), (clients, blocks, out) → (clients, blocks, n, out)
    """
    out = product(tokens.flatten(0, 1), weight.flatten(0, 1).transpose(1, 2)).unflatten(0, tokens.shape[:2])
    return out + bias[:, :, None]
