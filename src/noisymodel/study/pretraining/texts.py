"""A small transformer of token sequences, 0 being padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import Block


class SmallTransformer(nn.Module):
    """Rows of token ids ``(n, L)``, which may be float32, to the mean over a text's tokens, ``(n, width)``.

    It has learned embeddings and positions, ``depth`` blocks and a last LayerNorm; ``states(tokens)`` are the averaged
    vectors, ``(n, L, width)``. The features of a text of padding alone are zero.
    """

    def __init__(self, tokens: int, length: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.positions = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def states(self, tokens: Tensor) -> Tensor:
        """A vector for each token, ``(n, L, width)``."""
        ids = tokens.long()
        present = ids != 0
        keys = present | ~present.any(1, keepdim=True)  # an empty text attends to its padding, rather than to nothing
        hidden = self.embed(ids) + self.positions
        for block in self.blocks:
            hidden = block(hidden, keys)
        return self.norm(hidden)

    def forward(self, rows: Tensor) -> Tensor:
        """Features ``(n, width)``."""
        return mean_of_tokens(self.states(rows), rows.long())


def mean_of_tokens(states: Tensor, tokens: Tensor) -> Tensor:
    """The mean ``(n, D)`` of states ``(n, L, D)`` over the tokens that are not 0; zero where there is none."""
    present = (tokens != 0).to(states.dtype)[:, :, None]
    return (states * present).sum(1) / present.sum(1).clamp(min=1)
