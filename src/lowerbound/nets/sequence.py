"""Networks over rows of symbols: gated convolutions that read a row, and that write one all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.errors import InputError
from lowerbound.nets.autoregressive import embedding
from lowerbound.nets.leading import join, require_condition, require_event
from lowerbound.nets.mlp import dense, initialise

TAPS = 3
"""Places that a convolution looks at: one, and a neighbour on either side."""

DILATIONS = (1, 2, 4)
"""How far off those neighbours are, layer by layer and then over again."""

NARROWING = 8
"""How many times fewer numbers are read off each place of a row than its state has."""


@final
@dataclass(frozen=True)
class Sizes:
    """What the networks of one kind of sequence have in common.

    symbols: how many there are. places: the longest row. width: numbers in each place's state. layers: of the body.
    embedding: numbers that stand for a symbol. dropout: share of what a layer adds that is left out in training.
    """

    symbols: int
    places: int
    width: int
    layers: int
    embedding: int
    dropout: float = 0.0


@final
class GatedConvolution(nn.Module):
    """x + GLU(convolution of norm(x)), along the places; what was not observed (mask 0) is not looked at.

    Written as a product over three shifted copies, which on a CPU takes a third of the time of torch's convolution.
    Yann N. Dauphin, Angela Fan, Michael Auli and David Grangier, "Language modeling with gated convolutional networks",
    2017.

    Example:
        >>> GatedConvolution(8, dilation=2)(torch.zeros(5, 28, 8)).shape
        torch.Size([5, 28, 8])
    """

    def __init__(self, width: int, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.taps = initialise(nn.Linear(TAPS * width, 2 * width), None)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, P, width), and which places were observed (N, P, 1) if not all were, to (N, P, width)."""
        h = self.norm(x) if mask is None else self.norm(x) * mask
        return x + self.dropout(F.glu(self.taps(self._shifted(h)), -1))

    def _shifted(self, h: Tensor) -> Tensor:
        places, far = h.shape[1], self.dilation
        padded = F.pad(h, (0, 0, far, far))
        return torch.cat([padded[:, tap * far : tap * far + places] for tap in range(TAPS)], -1)


def gated(sizes: Sizes) -> nn.ModuleList:
    """The body that reader and writer share."""
    return nn.ModuleList(
        GatedConvolution(sizes.width, DILATIONS[layer % len(DILATIONS)], sizes.dropout) for layer in range(sizes.layers)
    )


@final
class SequenceEncoder(nn.Module):
    """Symbols of a row, embedded, through gated convolutions to `out` numbers; places that hold −1 are not there.

    Each place has weights of its own in what is read off the body, and what is read off is added up over the places
    observed: so a row is told from its symbols in another order, and a row with nothing beyond its end from no other.
    Stanislau Semeniuta, Aliaksei Severyn and Erhardt Barth, "A hybrid convolutional variational autoencoder for text
    generation", 2017, read texts by convolutions.

    Args:
        sizes: of the network.
        out: numbers that it gives.
        condition: numbers in the condition; 0 for none.

    Raises:
        InputError: a row of more places than there are.

    Example:
        >>> net = SequenceEncoder(Sizes(symbols=100, places=28, width=8, layers=3, embedding=4), out=10)
        >>> whole, padded = torch.tensor([[5.0, 0.0]]), torch.tensor([[5.0, 0.0, -1.0, -1.0]])
        >>> torch.allclose(net(whole), net(padded))
        True
    """

    def __init__(self, sizes: Sizes, out: int, condition: int = 0) -> None:
        super().__init__()
        self.places, self.condition, width = sizes.places, condition, sizes.width
        self.symbol, self.place = embedding(sizes.symbols, sizes.embedding), embedding(sizes.places, width)
        self.inward = initialise(nn.Linear(sizes.embedding, width), None)
        each = -(-width // NARROWING)
        self.body, self.norm = gated(sizes), nn.LayerNorm(width)
        self.narrow = initialise(nn.Linear(width, each), None)
        self.read = nn.Sequential(*dense(sizes.places * each, 2 * width, "silu"))
        self.out = initialise(nn.Linear(2 * width + condition, out), None)

    def forward(self, codes: Tensor, c: Tensor | None = None) -> Tensor:
        """Codes (..., P), −1 where there is none, and perhaps (..., condition) to (..., out)."""
        require_condition(c, self.condition)
        require_places(codes.shape[-1], self.places)
        rows = codes.reshape(-1, codes.shape[-1])
        read = self._read(rows.clamp_min(0).long(), (rows >= 0).unsqueeze(-1))
        return self.out(join(read.reshape(*codes.shape[:-1], -1), c))

    def _read(self, codes: Tensor, there: Tensor) -> Tensor:
        mask, places = there.to(self.place.weight.dtype), codes.shape[1]
        h = self.inward(self.symbol(codes)) + self.place.weight[:places]
        for layer in self.body:
            h = layer(h, mask)
        kept = F.pad(self.narrow(self.norm(h)) * mask, (0, 0, 0, self.places - places))
        return self.read(kept.flatten(1))


@final
class ParallelDecoder(nn.Module):
    """z to the logits of all places at once, through gated convolutions along them.

    Places differ in what a linear layer makes of z for each; that no place is told what another came to hold is what
    makes z say it. The output goes through as many numbers as a symbol's embedding has.

    Args:
        sizes: of the network.
        inputs: numbers in z.
        condition: numbers in the condition; 0 for none.

    Example:
        >>> net = ParallelDecoder(Sizes(symbols=100, places=28, width=8, layers=3, embedding=4), inputs=16)
        >>> net(torch.zeros(3, 5, 16)).shape
        torch.Size([3, 5, 28, 100])
    """

    def __init__(self, sizes: Sizes, inputs: int, condition: int = 0) -> None:
        super().__init__()
        self.inputs, self.condition, self.shape = inputs, condition, (sizes.places, sizes.width)
        self.inward = initialise(nn.Linear(inputs + condition, sizes.places * sizes.width), None)
        self.body = gated(sizes)
        self.out = Readout(sizes)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """(..., inputs), and perhaps (..., condition), to (..., P, symbols)."""
        require_event(z, (self.inputs,))
        require_condition(c, self.condition)
        h = self.inward(join(z, c))
        lead = h.shape[:-1]
        h = h.reshape(-1, *self.shape)
        for layer in self.body:
            h = layer(h)
        out: Tensor = self.out(h)
        return out.reshape(*lead, *out.shape[1:])


@final
class Readout(nn.Module):
    """A state (..., width) to the logits of a symbol, by its likeness to the vectors of a table that stand for each.

    A network that reads symbols as well reads them from this `table`. Ofir Press and Lior Wolf, "Using the output
    embedding to improve language models", 2017.

    Example:
        >>> Readout(Sizes(symbols=100, places=28, width=8, layers=1, embedding=4))(torch.zeros(5, 8)).shape
        torch.Size([5, 100])
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.width)
        self.inward = initialise(nn.Linear(sizes.width, sizes.embedding), None)
        self.table = embedding(sizes.symbols, sizes.embedding)
        self.bias = nn.Parameter(torch.zeros(sizes.symbols))

    def forward(self, h: Tensor) -> Tensor:
        """(..., width) to (..., symbols)."""
        return F.linear(self.inward(self.norm(h)), self.table.weight, self.bias)

    @torch.no_grad()
    def start_at(self, logits: Tensor) -> None:
        """Begin from these (symbols,), whatever the state."""
        self.bias.copy_(logits)


def require_places(asked: int, places: int) -> None:
    """Refuse a row longer than any that the network was built for."""
    if asked > places:
        raise InputError(f"a row of {asked} symbols was given to a network of {places} places; cut it, or train anew")
