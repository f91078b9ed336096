"""Networks between a datum and a grid of vectors: pictures keep their two directions, other data a row of places."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.nets.build import check_net, style_of
from lowerbound.nets.leading import Leading, require_event
from lowerbound.nets.mlp import MLPDecoder, MLPEncoder, activate, initialise
from lowerbound.nets.picture import Style, ToChannelsFirst, ToPicture, halvings, sides, stage_widths

KERNEL = 3


def grid_shape(kind: str, x_shape: Sequence[int], hidden: Sequence[int], places: int) -> tuple[int, ...]:
    """The grid that `grid_encoder` gives for such data: (H', W') for the convolutional kinds, (places,) for "mlp".

    Each width of `hidden` but the last halves a picture.

    Example:
        >>> grid_shape("conv", (32, 32, 3), (64, 128, 128), 16), grid_shape("mlp", (32, 32, 3), (200,), 16)
        ((8, 8), (16,))
    """
    if kind == "mlp":
        return (places,)
    height, width, _ = sides(x_shape)
    return halvings((height, width), len(stage_widths(hidden)[0]))[-1]


def grid_encoder(
    kind: str, x_shape: tuple[int, ...], out: int, hidden: Sequence[int], activation: str, places: int
) -> nn.Module:
    """A network from a datum to a vector at each place of its grid: x `(..., *x_shape)` to `(..., *grid, out)`.

    Args:
        kind: "mlp"; or, for pictures `(H, W)` or `(H, W, C)`, "conv" (strided convolutions) or "resnet".
        x_shape: shape of one datum.
        out: numbers in the vector of a place.
        hidden: widths from the data's side. For "mlp" the layers'; for pictures the channels of each stage, which
            halves the picture, and last the channels on the grid.
        activation: a name in `lowerbound.nets.ACTIVATIONS`.
        places: vectors that "mlp" gives.

    Raises:
        InputError: an unknown kind or activation, or a shape or widths that the kind cannot use.

    Example:
        >>> grid_encoder("resnet", (32, 32, 3), 16, (8, 8, 8), "relu", 1)(torch.zeros(5, 32, 32, 3)).shape
        torch.Size([5, 8, 8, 16])
    """
    check_net(kind, hidden, activation)
    if kind == "mlp":
        net = MLPEncoder(x_shape, places * out, hidden, activation)
        return nn.Sequential(net, nn.Unflatten(-1, (places, out)))
    return GridEncoder(x_shape, out, hidden, style_of(kind, activation, hidden))


def grid_decoder(
    kind: str, z: int, x_shape: tuple[int, ...], per_value: int, hidden: Sequence[int], activation: str, places: int
) -> FromGrid:
    """A network from a grid of vectors to the parameters of each value.

    z `(..., *grid, z)` to `(..., *x_shape, per_value)`, or to `(..., *x_shape)` when `per_value` is 1; the arguments
    are those of `grid_encoder`, so that one tuple `hidden` makes a matched pair.

    Example:
        >>> grid_decoder("conv", 16, (9, 7), 2, (8, 8, 8), "relu", 1)(torch.zeros(5, 3, 2, 16)).shape
        torch.Size([5, 9, 7, 2])
    """
    check_net(kind, hidden, activation)
    if kind == "mlp":
        shape = (*x_shape, per_value) if per_value > 1 else x_shape
        return RowDecoder(MLPDecoder(places * z, shape, hidden[::-1], activation))
    return GridDecoder(z, x_shape, per_value, hidden, style_of(kind, activation, hidden))


class FromGrid(nn.Module, ABC):
    """A network from a grid of vectors, whose output can be told where to start."""

    @abstractmethod
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near `out`, of the shape of one output."""


@final
class GridEncoder(nn.Module):
    """A picture `(..., H, W[, C])` through halving stages and two convolutions to `(..., H', W', out)`."""

    def __init__(self, x_shape: Sequence[int], out: int, hidden: Sequence[int], style: Style) -> None:
        super().__init__()
        self.x_shape = tuple(x_shape)
        height, width, channels = sides(x_shape)
        widths, dense = stage_widths(hidden)
        stages = [style.down(a, b) for a, b in pairwise((channels, *widths))]
        head = [level(widths[-1], dense, style.activation), activate(style.activation), level(dense, out, None)]
        grid = halvings((height, width), len(widths))[-1]
        enter, leave = ToChannelsFirst((height, width, channels)), ToPicture((*grid, out))
        self.body = Leading(nn.Sequential(enter, *stages, *head, leave), event=len(self.x_shape))

    def forward(self, x: Tensor) -> Tensor:
        """`(..., *x_shape)` to `(..., H', W', out)`."""
        require_event(x, self.x_shape)
        out: Tensor = self.body(x)
        return out


@final
class GridDecoder(FromGrid):
    """`GridEncoder` backwards: a grid `(..., H', W', z)` to `(..., *x_shape[, per_value])`."""

    def __init__(self, z: int, x_shape: Sequence[int], per_value: int, hidden: Sequence[int], style: Style) -> None:
        super().__init__()
        height, width, channels = sides(x_shape)
        widths, dense = stage_widths(hidden)
        *sizes, grid = halvings((height, width), len(widths))
        self.event = (*grid, z)
        head = [level(z, dense, style.activation), activate(style.activation), level(dense, widths[-1], None)]
        links = zip(pairwise((channels * per_value, *widths)), sizes)
        stages = [style.up(b, a, size) for (a, b), size in links][::-1]
        shape = (*x_shape, per_value) if per_value > 1 else tuple(x_shape)
        self.body = Leading(nn.Sequential(ToChannelsFirst(self.event), *head, *stages, ToPicture(shape)), event=3)

    def forward(self, z: Tensor) -> Tensor:
        """`(..., H', W', z)` to `(..., *x_shape[, per_value])`."""
        require_event(z, self.event)
        out: Tensor = self.body(z)
        return out

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near the mean of `out` over the picture."""
        last = [layer for layer in self.body.modules() if isinstance(layer, nn.ConvTranspose2d)][-1]
        assert last.bias is not None
        last.bias.copy_(out.flatten(0, 1).mean(0).flatten())


@final
class RowDecoder(FromGrid):
    """A row of vectors `(..., places, z)`, laid end to end, through a perceptron."""

    def __init__(self, net: MLPDecoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        """`(..., places, z)` to the perceptron's output."""
        out: Tensor = self.net(z.flatten(-2))
        return out

    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near `out`."""
        self.net.start_at(out)


def level(shallow: int, deep: int, activation: str | None) -> nn.Conv2d:
    """A convolution that keeps a picture's size."""
    return initialise(nn.Conv2d(shallow, deep, KERNEL, padding=KERNEL // 2), activation)
