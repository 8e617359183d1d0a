"""A block of a small transformer. Its projections are linear layers of their own, which LoRA can adapt."""

from __future__ import annotations

from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention with ``heads`` heads; keys with ``mask`` ``(n, L)`` False are ignored.

    Queries, keys and values have no bias: a bias of the keys would have no effect, and AdamW would turn the rounding
    noise of its gradient into steps of full length.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens ``(n, L, width)`` to the same."""
        split = self.inputs(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        keys = None if mask is None else mask[:, None, None, :]
        mixed = nn.functional.scaled_dot_product_attention(*split.unbind(0), attn_mask=keys)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)) with a hidden layer of twice the width and GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.hidden_norm = nn.LayerNorm(width)
        self.hidden = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens ``(n, L, width)`` to the same."""
        tokens = tokens + self.attention(self.attention_norm(tokens), mask)
        return tokens + self.hidden(self.hidden_norm(tokens))
