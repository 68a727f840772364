"""Deep prompts: learned tokens that enter a tower at several blocks."""

from torch import Tensor

from fedbench.clip.blocks import Hooks


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
