"""Causal networks over a row of symbols: what comes next, given all that came before."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError

EXPANSION = 4
"""Width of a block's perceptron over the block's own."""

HEAD = 32
"""Numbers of a place's state for each attention head."""

Kept = tuple[Tensor, Tensor]
"""Keys and values of the places so far, each (N, heads, place, width of a head)."""


@final
class CausalTransformer(nn.Module):
    """Symbols 0 … symbols−1 at `places` places to the logits of each place, given the symbols before it.

    Pre-normalised blocks of causal self-attention and a perceptron over learned embeddings of symbol and place.
    `next` gives the same logits one place at a time, keeping keys and values, so that a sample of P places costs P
    steps and not P passes over them all. Ashish Vaswani et al., "Attention is all you need", 2017; Alec Radford et
    al., "Language models are unsupervised multitask learners", 2019.

    Args:
        symbols: how many there are.
        places: the length of the row.
        width: numbers in each place's state.
        layers: blocks.

    Raises:
        InputError: a width that its attention heads, one for each 32 numbers, cannot share.

    Example:
        >>> CausalTransformer(512, 64, 32, 2)(torch.zeros(5, 64, dtype=torch.int64)).shape
        torch.Size([5, 64, 512])
    """

    def __init__(self, symbols: int, places: int, width: int, layers: int) -> None:
        super().__init__()
        heads = heads_of(width)
        self.symbols, self.places = symbols, places
        self.start = nn.Parameter(EMBEDDED * torch.randn(width))
        self.symbol = embedding(symbols, width)
        self.place = embedding(places, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, symbols))

    def forward(self, symbols: Tensor) -> Tensor:
        """Symbols (..., P) to logits (..., P, symbols); those of a place do not depend on its own symbol or later."""
        rows = symbols.reshape(-1, self.places)
        start = self.start.expand(len(rows), 1, -1)
        h = torch.cat([start, self.symbol(rows[:, :-1])], 1) + self.place.weight
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.out(h)
        return out.reshape(*symbols.shape, self.symbols)

    def next(self, last: Tensor | None, kept: list[Kept], rows: int) -> tuple[Tensor, list[Kept]]:
        """Logits (rows, symbols) of the next place from the symbol before it (rows,) and what `next` kept then.

        At the first place nothing comes before: last is None and kept is empty.
        """
        place = kept[0][0].shape[2] if kept else 0
        embedded = self.start.expand(rows, -1) if last is None else self.symbol(last)
        h = (embedded + self.place.weight[place]).unsqueeze(1)
        keeping = []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            h, each = block.extend(h, kept[number] if kept else None)
            keeping.append(each)
        out: Tensor = self.out(h)
        return out.squeeze(1), keeping


@final
class Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x)); no place sees a later one."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)
        deep = EXPANSION * width
        self.perceptron = nn.Sequential(nn.Linear(width, deep), nn.GELU(), nn.Linear(deep, width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, P, width) to the same shape."""
        q, k, v = self._heads(x)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        return self._after(x, attended(q, k, v, later))

    def extend(self, x: Tensor, kept: Kept | None) -> tuple[Tensor, Kept]:
        """One more place (N, 1, width), which sees those kept and itself; the same place and all that is now kept."""
        q, k, v = self._heads(x)
        if kept is not None:
            k, v = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
        return self._after(x, attended(q, k, v)), (k, v)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.read(self.before_attention(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _after(self, x: Tensor, seen: Tensor) -> Tensor:
        x = x + self.write(seen.transpose(1, 2).flatten(2))
        return x + self.perceptron(self.before_perceptron(x))


def heads_of(width: int) -> int:
    """As many heads as there are 32 numbers to each, one at least; a width that they cannot share is refused."""
    heads = max(1, width // HEAD)
    if width % heads:
        raise InputError(f"a width of {width} cannot be shared by {heads} heads; choose a multiple of {HEAD}")
    return heads


def attended(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None = None) -> Tensor:
    """softmax(q·k / √d)·v, without what is hidden (queries, keys).

    Written out: on rows of a hundred places in bfloat16 on a CPU, torch's fused kernel takes four times as long.
    """
    score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    score = score if hidden is None else score.masked_fill(hidden, -math.inf)
    return score.softmax(-1).to(v.dtype) @ v


EMBEDDED = 0.02
"""Standard deviation of embeddings at the start."""


def embedding(count: int, width: int) -> nn.Embedding:
    """A table of small random vectors."""
    table = nn.Embedding(count, width)
    nn.init.normal_(table.weight, std=EMBEDDED)
    return table
