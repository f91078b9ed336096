"""What convolutional encoders and decoders share: stages between picture and features, a perceptron to z."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.nets.leading import Leading, join, require_condition, require_event
from lowerbound.nets.mlp import perceptron

Size = tuple[int, int]


class Style(Protocol):
    """What the stages are made of. A stage halves a picture, rounding up, or undoes that."""

    @property
    def activation(self) -> str:
        """The name of the activation."""

    def down(self, shallow: int, deep: int) -> nn.Module:
        """`(N, shallow, H, W)` to `(N, deep, ceil(H / 2), ceil(W / 2))`."""

    def up(self, deep: int, shallow: int, size: Size) -> nn.Module:
        """`(N, deep, ceil(H / 2), ceil(W / 2))` to `(N, shallow, H, W)`, where `size` is `(H, W)`."""


@final
class PictureEncoder(nn.Module):
    """A picture `(..., H, W)` or `(..., H, W, C)` to `(..., out)`.

    `hidden` is a channel width for each halving stage, then the dense layer's width, where the condition
    joins.
    """

    def __init__(
        self, x_shape: Sequence[int], out: int, hidden: Sequence[int], style: Style, condition: int = 0
    ) -> None:
        super().__init__()
        self.x_shape, self.condition = tuple(x_shape), condition
        height, width, channels = sides(x_shape)
        widths, dense = stage_widths(hidden)
        deepest = halvings((height, width), len(widths))[-1]
        stages = [style.down(a, b) for a, b in pairwise((channels, *widths))]
        enter = ToChannelsFirst((height, width, channels))
        self.features = Leading(nn.Sequential(enter, *stages, _ToFeatures()), event=len(self.x_shape))
        inputs = math.prod(deepest) * widths[-1] + condition
        self.head = perceptron(inputs, out, (dense,), style.activation)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`(..., *x_shape)` and perhaps `(..., condition)` to `(..., out)`."""
        require_event(x, self.x_shape)
        require_condition(c, self.condition)
        return self.head(join(self.features(x), c))


@final
class PictureDecoder(nn.Module):
    """A latent vector `(..., z)` to `(..., *x_shape, per_value)`, or `(..., *x_shape)` if `per_value` is 1.

    `hidden` is read as by the encoder, from the picture's side, so that one tuple makes a matched pair.
    """

    def __init__(
        self,
        z: int,
        x_shape: Sequence[int],
        per_value: int,
        hidden: Sequence[int],
        style: Style,
        condition: int = 0,
    ) -> None:
        super().__init__()
        self.z, self.condition = z, condition
        height, width, channels = sides(x_shape)
        widths, dense = stage_widths(hidden)
        *sizes, deepest = halvings((height, width), len(widths))
        coarse = (*deepest, widths[-1])
        self.head = perceptron(z + condition, math.prod(coarse), (dense,), style.activation)
        links = zip(pairwise((channels * per_value, *widths)), sizes)
        stages = [style.up(b, a, size) for (a, b), size in links][::-1]
        shape = (*x_shape, per_value) if per_value > 1 else tuple(x_shape)
        self.picture = Leading(nn.Sequential(ToChannelsFirst(coarse), *stages, ToPicture(shape)), event=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """`(..., z)` and perhaps `(..., condition)` to `(..., *x_shape[, per_value])`."""
        require_event(z, (self.z,))
        require_condition(c, self.condition)
        return self.picture(self.head(join(z, c)))

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near the mean of `out` over the picture."""
        last = [layer for layer in self.picture.modules() if isinstance(layer, nn.ConvTranspose2d)][-1]
        assert last.bias is not None
        last.bias.copy_(out.flatten(0, 1).mean(0).flatten())


class ToChannelsFirst(nn.Module):
    """`(H, W, C)` pictures to `(N, C, H, W)`: a view, so in the channels-last memory convolutions like."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape).permute(0, 3, 1, 2)


class _ToFeatures(nn.Module):
    """`(N, C, H, W)` to `(N, H * W * C)`, in that order because it is the order in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class ToPicture(nn.Module):
    """`(N, C * per_value, H, W)` to `(N, *shape)`, channels last."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(len(x), *self.shape)


def sides(shape: Sequence[int]) -> tuple[int, int, int]:
    """Height, width and channels; what is no picture is refused."""
    if len(shape) not in (2, 3):
        raise InputError(
            f"a convolutional network takes pictures of shape (H, W) or (H, W, C), not {tuple(shape)}; "
            "use the network 'mlp' for other data"
        )
    height, width, *channels = shape
    return height, width, channels[0] if channels else 1


def stage_widths(hidden: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The stages' channels, and the width of the layer beyond them."""
    if len(hidden) < 2:
        raise InputError(
            "a convolutional network needs at least two hidden widths, the channels of each stage and then "
            f"the dense layer's width, and was given {tuple(hidden)}"
        )
    return tuple(hidden[:-1]), hidden[-1]


def halvings(size: Size, times: int) -> list[Size]:
    """The sizes from the whole picture to the coarsest, each half of the one before, rounded up."""
    sizes = [size]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes
