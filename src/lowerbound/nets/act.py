"""Networks of action chunking: an encoder of a chunk of actions, and a decoder that writes all of one at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor, nn

from lowerbound.nets.attention import Reader, Writer, places
from lowerbound.nets.leading import join, require_condition, require_event
from lowerbound.nets.mlp import initialise
from lowerbound.nets.sight import Pixels, Sight


@final
@dataclass(frozen=True)
class Shape:
    """The size of a transformer: numbers at each place, heads that share them, blocks, and dropout in training."""

    width: int = 128
    heads: int = 4
    layers: int = 2
    dropout: float = 0.1


@final
class ChunkEncoder(nn.Module):
    """Actions `(..., T, A)` and a condition `(..., C)` through a transformer to `(..., out)`.

    It reads a token of its own, one of the condition and one of each step, at most `steps` of them. A step none of
    whose values was observed is no token: a chunk that is cut short is read as if it were no longer. The last block
    works out only the token that is read, which is exact and half the work of two blocks.

    Example:
        >>> net = ChunkEncoder(steps=10, actions=3, condition=4, out=6, shape=Shape(8))
        >>> net(torch.zeros(5, 10, 3), torch.zeros(5, 4)).shape
        torch.Size([5, 6])
    """

    places: Tensor

    def __init__(self, steps: int, actions: int, condition: int, out: int, shape: Shape) -> None:
        super().__init__()
        self.actions, self.condition, width = actions, condition, shape.width
        self.own = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.embed = initialise(nn.Linear(actions, width), None)
        self.tell = initialise(nn.Linear(condition, width), None)
        self.register_buffer("places", places(steps, width), persistent=False)
        self.blocks = nn.ModuleList(Reader(width, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.norm, self.out = nn.LayerNorm(width), initialise(nn.Linear(width, out), None)

    def forward(self, x: Tensor, c: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(..., T, A)`, `(..., C)` and which values were observed, `(..., T, A)`, to `(..., out)`."""
        require_event(x, (*x.shape[-2:-1], self.actions))
        require_condition(c, self.condition)
        lead = x.shape[:-2]
        there = None if mask is None else mask.any(-1).flatten(0, -2)
        out: Tensor = self.out(self.norm(self._read(x.flatten(0, -3), c.flatten(0, -2), there)))
        return out.reshape(*lead, -1)

    def _read(self, x: Tensor, c: Tensor, there: Tensor | None) -> Tensor:
        """The encoder's own token once it has looked at everything, (N, width)."""
        steps = self.embed(x) + self.places[: x.shape[1]].to(x.dtype)
        h = torch.cat([self.own.expand(len(x), 1, -1), self.tell(c).unsqueeze(1), steps], 1)
        there = None if there is None else nn.functional.pad(there, (2, 0), value=True)
        *before, last = self.blocks
        for block in before:
            h = block(h, h, there)
        found: Tensor = last(h[:, :1], h, there)
        return found[:, 0]


@final
class ChunkDecoder(nn.Module):
    """z `(..., Z)` and a condition `(..., C)` to a chunk `(..., steps, out)`, all steps at once.

    A transformer's encoder reads a token of z and one of the condition; its decoder has a learned query for each step,
    added to where it is. Without z (Z = 0) there is no token of it. Leading dimensions of the two broadcast. pixels:
    where in the condition a picture is, which is looked at by tokens of its own.

    Example:
        >>> net = ChunkDecoder(steps=10, out=3, latent=2, condition=4, shape=Shape(8))
        >>> net(torch.zeros(7, 5, 2), torch.zeros(5, 4)).shape
        torch.Size([7, 5, 10, 3])
    """

    places: Tensor

    def __init__(
        self, steps: int, out: int, latent: int, condition: int, shape: Shape, pixels: Pixels | None = None
    ) -> None:
        super().__init__()
        self.steps, self.latent, self.condition, width = steps, latent, condition, shape.width
        self.pixels, self.sight = pixels, Sight(pixels.shape, width) if pixels else None
        numbers = condition - (pixels.size if pixels else 0)
        self.tell = nn.ModuleList(initialise(nn.Linear(inputs, width), None) for inputs in (numbers, latent) if inputs)
        self.kinds = nn.Parameter(torch.randn(len(self.tell), width) / math.sqrt(width))
        self.readers = nn.ModuleList(Reader(width, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.memory = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(steps, width) / math.sqrt(width))
        self.register_buffer("places", places(steps, width), persistent=False)
        self.writers = nn.ModuleList(Writer(width, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.norm, self.out = nn.LayerNorm(width), initialise(nn.Linear(width, out), None)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """`(..., Z)` and `(..., C)` to `(..., steps, out)`."""
        require_event(z, (self.latent,))
        require_condition(c, self.condition)
        both = join(c, z)
        told, style = both.reshape(-1, both.shape[-1]).split((self.condition, self.latent), -1)
        written = self._write(self._remember(told, style))
        return written.reshape(*both.shape[:-1], *written.shape[1:])

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near the mean over steps of `out` (steps, out)."""
        self.out.bias.copy_(out.mean(0))

    def _remember(self, c: Tensor, z: Tensor) -> Tensor:
        """What the encoder makes of the condition and z, (N, tokens, width)."""
        numbers, *seen = self.pixels.split(c) if self.pixels else (c,)
        told = torch.stack([tell(each) for tell, each in zip(self.tell, (numbers, z))], 1) + self.kinds
        h = torch.cat([told, *map(self.sight, seen)], 1) if self.sight else told
        for block in self.readers:
            h = block(h, h)
        memory: Tensor = self.memory(h)
        return memory

    def _write(self, memory: Tensor) -> Tensor:
        h = (self.queries + self.places).unsqueeze(0)  # the same for all, until they have looked at a memory
        for block in self.writers:
            h = block(h, memory)
        written: Tensor = self.out(self.norm(h))
        return written


class Startable(Protocol):
    """A network of z and c whose output, (..., steps, n), can be made to start somewhere."""

    def __call__(self, z: Tensor, c: Tensor) -> Tensor: ...

    def start_at(self, out: Tensor) -> None: ...


@final
class Laid(nn.Module):
    """What a network gives of chunks, `(..., steps, n)`, as events of `total` steps, `(..., *shape)`, the others 0.

    Example:
        >>> net = Laid(ChunkDecoder(2, 6, 4, 5, Shape(8)), steps=2, total=3, shape=(3, 3, 2))
        >>> net(torch.zeros(7, 4), torch.zeros(7, 5)).shape
        torch.Size([7, 3, 3, 2])
    """

    def __init__(self, net: Startable, steps: int, total: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.steps, self.total, self.shape = net, steps, total, shape

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """`(..., Z)` and `(..., C)` to `(..., *shape)`."""
        out = self.net(z, c)
        whole = nn.functional.pad(out, (0, 0, 0, self.total - self.steps))
        return whole.reshape(*out.shape[:-2], *self.shape)

    def start_at(self, out: Tensor) -> None:
        """Have the first steps start near those of `out`, of the shape of one output."""
        self.net.start_at(out.reshape(self.total, -1)[: self.steps])
