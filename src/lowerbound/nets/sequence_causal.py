"""Networks that write a row symbol by symbol: what comes next, given what they are told and all that came before."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.nets.autoregressive import EMBEDDED, Block, Kept, embedding, heads_of
from lowerbound.nets.mlp import initialise
from lowerbound.nets.sequence import Readout, Sizes, require_places

Hidden = tuple[Tensor, Tensor | None]
"""What is given, as every place is fed it, and the state of each layer after the places so far."""

Cache = tuple[Tensor, list[Kept]]
"""The same with keys and values of the places so far, block by block."""


@final
class Feeding(nn.Module):
    """What each place of a row is fed: the symbol before it, or that there is none, and what is given.

    Samuel R. Bowman et al., "Generating sentences from a continuous space", 2016, give z to a decoder's first state;
    given at every place it is not forgotten on the way.
    """

    def __init__(self, sizes: Sizes, inputs: int) -> None:
        super().__init__()
        self.start = nn.Parameter(EMBEDDED * torch.randn(sizes.embedding))
        self.symbol = initialise(nn.Linear(sizes.embedding, sizes.width), None)
        self.given = initialise(nn.Linear(inputs, sizes.width, bias=False), None)

    def row(self, table: nn.Embedding, symbols: Tensor, given: Tensor) -> Tensor:
        """A whole row (N, P), of which the last symbol is fed to none, and what is given (N, width): (N, P, width)."""
        start = self.start.expand(len(symbols), 1, -1)
        return self.symbol(torch.cat([start, table(symbols[:, :-1])], 1)) + given.unsqueeze(1)

    def next(self, table: nn.Embedding, last: Tensor | None, given: Tensor) -> Tensor:
        """One place after the symbol `last` (N,), or the first after None: (N, 1, width)."""
        before = self.start.expand(len(given), -1) if last is None else table(last)
        return (self.symbol(before) + given).unsqueeze(1)


@final
class GRUWriter(nn.Module):
    """Gated recurrent units: a state that each symbol changes.

    Kyunghyun Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", 2014.

    Args:
        sizes: of the network.
        inputs: numbers that it is given.

    Raises:
        InputError: a row of more places than there are.

    Example:
        >>> net = GRUWriter(Sizes(symbols=100, places=28, width=8, layers=2, embedding=4), inputs=16)
        >>> net(torch.zeros(5, 28, dtype=torch.int64), torch.zeros(5, 16)).shape
        torch.Size([5, 28, 100])
    """

    def __init__(self, sizes: Sizes, inputs: int) -> None:
        super().__init__()
        self.places, self.feeding, self.out = sizes.places, Feeding(sizes, inputs), Readout(sizes)
        between = sizes.dropout if sizes.layers > 1 else 0.0
        self.body = nn.GRU(sizes.width, sizes.width, sizes.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, symbols: Tensor, given: Tensor) -> Tensor:
        """Symbols (N, P) and (N, inputs) to logits (N, P, symbols); those of a place see the symbols before it."""
        require_places(symbols.shape[1], self.places)
        fed = self.feeding.row(self.out.table, symbols, self.feeding.given(given))
        with differentiable(fed, self.training):
            h, _ = self.body(fed)
        out: Tensor = self.out(self.dropout(h))
        return out

    def begin(self, given: Tensor) -> Hidden:
        """The state before the first symbol."""
        return self.feeding.given(given), None

    def next(self, last: Tensor | None, state: Hidden) -> tuple[Tensor, Hidden]:
        """Logits (N, symbols) of the next place from the symbol before it (N,), None for the first; the next state."""
        given, hidden = state
        h, hidden = self.body(self.feeding.next(self.out.table, last, given), hidden)
        out: Tensor = self.out(self.dropout(h.squeeze(1)))
        return out, (given, hidden)


def differentiable(fed: Tensor, training: bool) -> AbstractContextManager[None]:
    """Where recurrent units may be differentiated: by cuDNN in training alone, and in eval mode a z is climbed to."""
    unfit = fed.is_cuda and fed.requires_grad and not training
    return torch.backends.cudnn.flags(enabled=False) if unfit else nullcontext()


@final
class TransformerWriter(nn.Module):
    """Causal self-attention: each place looks back at all before it.

    One symbol at a time it keeps keys and values, so that the place P costs one pass over it and P products with what
    is kept; they are copied at each place, which counts from some hundreds of places on. Ashish Vaswani et al.,
    "Attention is all you need", 2017.

    Args:
        sizes: of the network.
        inputs: numbers that it is given.

    Raises:
        InputError: a row of more places than there are; a width that the attention heads cannot share.

    Example:
        >>> net = TransformerWriter(Sizes(symbols=100, places=28, width=8, layers=2, embedding=4), inputs=16)
        >>> net(torch.zeros(5, 28, dtype=torch.int64), torch.zeros(5, 16)).shape
        torch.Size([5, 28, 100])
    """

    def __init__(self, sizes: Sizes, inputs: int) -> None:
        super().__init__()
        self.places, self.feeding, self.out = sizes.places, Feeding(sizes, inputs), Readout(sizes)
        self.place, heads = embedding(sizes.places, sizes.width), heads_of(sizes.width)
        self.body = nn.ModuleList(Block(sizes.width, heads) for _ in range(sizes.layers))
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, symbols: Tensor, given: Tensor) -> Tensor:
        """Symbols (N, P) and (N, inputs) to logits (N, P, symbols); those of a place see the symbols before it."""
        places = symbols.shape[1]
        require_places(places, self.places)
        fed = self.feeding.row(self.out.table, symbols, self.feeding.given(given))
        h = fed + self.place.weight[:places]
        for block in self.body:
            h = block(h)
        out: Tensor = self.out(self.dropout(h))
        return out

    def begin(self, given: Tensor) -> Cache:
        """The state before the first symbol."""
        return self.feeding.given(given), []

    def next(self, last: Tensor | None, state: Cache) -> tuple[Tensor, Cache]:
        """Logits (N, symbols) of the next place from the symbol before it (N,), None for the first; the next state."""
        given, kept = state
        place = kept[0][0].shape[2] if kept else 0
        h, keeping = self.feeding.next(self.out.table, last, given) + self.place.weight[place], []
        for number, block in enumerate(self.body):
            assert isinstance(block, Block)
            h, each = block.extend(h, kept[number] if kept else None)
            keeping.append(each)
        out: Tensor = self.out(self.dropout(h.squeeze(1)))
        return out, (given, keeping)
