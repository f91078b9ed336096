"""Networks that read part of a datum: one that guesses all of it, and one that is given that guess's code besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.nets.leading import join


@final
class PartReader(nn.Module):
    """An encoder that is given part of a datum, and which part it is.

    Args:
        net: from x `(..., *shape)` and a condition of as many numbers as x has, and those that come beside.
        shape: of a datum.
        scaled: what brings values to where a network likes them.

    Example:
        >>> from lowerbound.nets import encoder
        >>> reader = PartReader(encoder("mlp", (5,), 4, (8,), "tanh", condition=5), (5,))
        >>> reader(torch.zeros(3, 2, 5)).shape, reader(None).shape
        (torch.Size([3, 4]), torch.Size([4]))
    """

    nothing: Tensor

    def __init__(
        self, net: nn.Module, shape: tuple[int, ...], scaled: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.net, self.event, self.scaled = net, len(shape), scaled
        self.register_buffer("nothing", torch.zeros(2, *shape), persistent=False)

    def forward(self, c: Tensor | None = None, beside: Tensor | None = None) -> Tensor:
        """The values told and 1 where they are, `(..., 2, *shape)`, None for nothing; and perhaps more numbers."""
        values, told = (self.nothing if c is None else c).unbind(-1 - self.event)
        return self.net(self.scaled(values), join(told.flatten(told.dim() - self.event), beside))


@final
class Guess(nn.Module):
    """A plain prediction of all values of a datum from part of it, by way of a code.

    Args:
        reader: from that part to a code `(..., width)`.
        activation: of the code.
        outward: from the code to the parameters of each value.
    """

    def __init__(self, reader: PartReader, activation: nn.Module, outward: nn.Module) -> None:
        super().__init__()
        self.reader, self.activation, self.outward = reader, activation, outward

    def code(self, c: Tensor | None) -> Tensor:
        """What is made of the part before it is decoded."""
        return self.activation(self.reader(c))

    def forward(self, c: Tensor | None = None) -> Tensor:
        """The parameters of each value."""
        return self.outward(self.code(c))


@final
class Prompted(nn.Module):
    """A reader that is given a guess's code beside the part that the guess was made from; no gradient reaches it."""

    def __init__(self, reader: PartReader, guess: Guess) -> None:
        super().__init__()
        self.reader, self.guess = reader, guess

    def forward(self, c: Tensor | None = None) -> Tensor:
        """What the reader makes of them."""
        return self.reader(c, self.guess.code(c).detach())
