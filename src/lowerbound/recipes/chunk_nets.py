"""The networks of action chunking by name: transformers, or perceptrons."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final

from torch import nn

from lowerbound.data.senses import Senses
from lowerbound.data.spec import Variable
from lowerbound.nets.act import ChunkDecoder, ChunkEncoder, Shape, Startable
from lowerbound.nets.chunk_mlp import ChunkReader, ChunkWriter
from lowerbound.nets.sight import Blind, Pixels

NetName = Literal["transformer", "mlp"]


class Nets(ABC):
    """What makes the two networks of a model of chunks."""

    @abstractmethod
    def reader(self, steps: int, actions: int, condition: int, out: int) -> nn.Module:
        """From a chunk and a condition to `out` numbers."""

    @abstractmethod
    def writer(self, steps: int, out: int, latent: int, condition: int) -> Startable:
        """From z and a condition to `out` numbers a step."""


@final
@dataclass(frozen=True)
class Transformers(Nets):
    """Transformers of one shape. The pixels of a condition are for the decoder alone, which looks at them as such."""

    shape: Shape
    pixels: Pixels | None = None

    def reader(self, steps: int, actions: int, condition: int, out: int) -> nn.Module:
        if self.pixels is None:
            return ChunkEncoder(steps, actions, condition, out, self.shape)
        return Blind(ChunkEncoder(steps, actions, condition - self.pixels.size, out, self.shape), self.pixels)

    def writer(self, steps: int, out: int, latent: int, condition: int) -> Startable:
        return ChunkDecoder(steps, out, latent, condition, self.shape, self.pixels)


@final
@dataclass(frozen=True)
class Perceptrons(Nets):
    """Perceptrons of these widths from the chunk's side to that of z, and of the same on the way back."""

    hidden: tuple[int, ...]

    def reader(self, steps: int, actions: int, condition: int, out: int) -> nn.Module:
        return ChunkReader(steps, actions, condition, out, self.hidden)

    def writer(self, steps: int, out: int, latent: int, condition: int) -> Startable:
        return ChunkWriter(steps, out, latent, condition, self.hidden[::-1])


def networks(name: NetName, shape: Shape, hidden: tuple[int, ...], about: Variable | None = None) -> Nets:
    """Those of this name; about: the condition, for transformers that look at a picture in it.

    >>> networks("mlp", Shape(), (8,))
    Perceptrons(hidden=(8,))
    """
    return Transformers(shape, _pixels(about)) if name == "transformer" else Perceptrons(hidden)


def _pixels(about: Variable | None) -> Pixels | None:
    senses = None if about is None else Senses.of(about)
    return Pixels(senses.state, senses.picture) if senses and senses.picture else None
