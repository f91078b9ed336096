"""The networks of action chunking by name: transformers, or perceptrons."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final

from torch import nn

from lowerbound.nets.act import ChunkDecoder, ChunkEncoder, Shape, Startable
from lowerbound.nets.chunk_mlp import ChunkReader, ChunkWriter

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
    """Transformers of one shape."""

    shape: Shape

    def reader(self, steps: int, actions: int, condition: int, out: int) -> nn.Module:
        return ChunkEncoder(steps, actions, condition, out, self.shape)

    def writer(self, steps: int, out: int, latent: int, condition: int) -> Startable:
        return ChunkDecoder(steps, out, latent, condition, self.shape)


@final
@dataclass(frozen=True)
class Perceptrons(Nets):
    """Perceptrons of these widths from the chunk's side to that of z, and of the same on the way back."""

    hidden: tuple[int, ...]

    def reader(self, steps: int, actions: int, condition: int, out: int) -> nn.Module:
        return ChunkReader(steps, actions, condition, out, self.hidden)

    def writer(self, steps: int, out: int, latent: int, condition: int) -> Startable:
        return ChunkWriter(steps, out, latent, condition, self.hidden[::-1])


def networks(name: NetName, shape: Shape, hidden: tuple[int, ...]) -> Nets:
    """Those of this name.

    >>> networks("mlp", Shape(), (8,))
    Perceptrons(hidden=(8,))
    """
    return Transformers(shape) if name == "transformer" else Perceptrons(hidden)
