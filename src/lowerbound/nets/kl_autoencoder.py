"""The autoencoder of latent diffusion, layer for layer and name for name as diffusers' `AutoencoderKL` has it.

Its two halves are modules of their own, since one belongs to a posterior and the other to a likelihood. Within them
every parameter bears the name that it has in diffusers (0.36), so that weights go over as they are: `KLEncoder` holds
"encoder" and "quant_conv", `KLDecoder` "post_quant_conv" and "decoder".

Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser and Björn Ommer, "High-resolution image synthesis with
latent diffusion models", 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.errors import InputError
from lowerbound.nets.canvas import Canvas
from lowerbound.nets.leading import Leading, require_event
from lowerbound.nets.picture import ToChannelsFirst

EPSILON = 1e-6
"""Added to the variance in every normalisation."""

MOST_GROUPS, FEWEST_CHANNELS = 32, 4
"""Channels are normalised in at most so many groups, of at least so many channels."""


@final
class ResnetBlock(nn.Module):
    """x + f(x), f = norm, SiLU, 3x3 convolution, twice; where the width changes, x goes through a 1x1 convolution."""

    def __init__(self, shallow: int, deep: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(groups, shallow), level(shallow, deep)
        self.norm2, self.conv2 = norm(groups, deep), level(deep, deep)
        self.conv_shortcut = shortcut(shallow, deep)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, shallow, H, W)` to `(N, deep, H, W)`."""
        h = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(h)))
        return out


@final
class Attention(nn.Module):
    """x + what each place attends to among all places, in one head."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = norm(groups, width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """`(N, width, H, W)` to the same shape."""
        places = self.group_norm(x).flatten(2).mT
        found = F.scaled_dot_product_attention(self.to_q(places), self.to_k(places), self.to_v(places))
        return x + self.to_out[0](found).mT.reshape(x.shape)


@final
class MidBlock(nn.Module):
    """A residual block, attention and a residual block, on the coarsest grid."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(width, groups)])
        self.resnets = nn.ModuleList(ResnetBlock(width, width, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, width, H, W)` to the same shape."""
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return out


@final
class Downsample(nn.Module):
    """A convolution of stride 2: `(N, width, H, W)` to `(N, width, H / 2, W / 2)`, H and W even."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Zeros are added at the right and at the bottom alone."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


@final
class Upsample(nn.Module):
    """Each place four times, and a convolution: `(N, width, H, W)` to `(N, width, 2 H, 2 W)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = level(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The nearest value, not an interpolated one."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0))
        return out


@final
class DownBlock(nn.Module):
    """Residual blocks, and below all but the coarsest a `Downsample`."""

    def __init__(self, shallow: int, deep: int, blocks: int, groups: int, halves: bool) -> None:
        super().__init__()
        self.resnets = row_of_blocks(shallow, deep, blocks, groups)
        self.downsamplers = nn.ModuleList([Downsample(deep)] if halves else [])

    def forward(self, x: Tensor) -> Tensor:
        """`(N, shallow, H, W)` to `(N, deep, H, W)` or half of it."""
        return through(x, *self.resnets, *self.downsamplers)


@final
class UpBlock(nn.Module):
    """Residual blocks, one more than on the way down, and above all but the finest an `Upsample`."""

    def __init__(self, deep: int, shallow: int, blocks: int, groups: int, doubles: bool) -> None:
        super().__init__()
        self.resnets = row_of_blocks(deep, shallow, blocks + 1, groups)
        self.upsamplers = nn.ModuleList([Upsample(shallow)] if doubles else [])

    def forward(self, x: Tensor) -> Tensor:
        """`(N, deep, H, W)` to `(N, shallow, H, W)` or twice of it."""
        return through(x, *self.resnets, *self.upsamplers)


@final
class Encoder(nn.Module):
    """`(N, channels, H, W)` to `(N, out, h, w)`, each side halved once for all `widths` but the last."""

    def __init__(self, channels: int, out: int, widths: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        last = len(widths) - 1
        links = pairwise((widths[0], *widths))
        self.conv_in = level(channels, widths[0])
        self.down_blocks = nn.ModuleList(DownBlock(a, b, blocks, groups, i < last) for i, (a, b) in enumerate(links))
        self.mid_block = MidBlock(widths[-1], groups)
        self.conv_norm_out, self.conv_out = norm(groups, widths[-1]), level(widths[-1], out)

    def forward(self, x: Tensor) -> Tensor:
        """The numbers of the latent, not yet mixed by "quant_conv"."""
        h = through(x, self.conv_in, *self.down_blocks, self.mid_block, self.conv_norm_out)
        out: Tensor = self.conv_out(F.silu(h))
        return out


@final
class Decoder(nn.Module):
    """`Encoder` backwards: `(N, latent, h, w)` to `(N, out, H, W)`."""

    def __init__(self, latent: int, out: int, widths: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        last = len(widths) - 1
        links = pairwise((widths[-1], *widths[::-1]))
        self.conv_in = level(latent, widths[-1])
        self.mid_block = MidBlock(widths[-1], groups)
        self.up_blocks = nn.ModuleList(UpBlock(a, b, blocks, groups, i < last) for i, (a, b) in enumerate(links))
        self.conv_norm_out, self.conv_out = norm(groups, widths[0]), level(widths[0], out)

    def forward(self, z: Tensor) -> Tensor:
        """The picture, channels first."""
        h = through(z, self.conv_in, self.mid_block, *self.up_blocks, self.conv_norm_out)
        out: Tensor = self.conv_out(F.silu(h))
        return out


@final
class KLEncoder(nn.Module):
    """A picture `(N, channels, H, W)` to mean and log variance of its latent, `(N, 2 latent, h, w)`."""

    def __init__(self, channels: int, latent: int, widths: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        self.encoder = Encoder(channels, 2 * latent, widths, blocks, groups)
        self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The first half of the channels are means."""
        out: Tensor = self.quant_conv(self.encoder(x))
        return out


@final
class KLDecoder(nn.Module):
    """A latent `(N, latent, h, w)` to a picture `(N, out, H, W)`."""

    def __init__(self, latent: int, out: int, widths: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        self.post_quant_conv = nn.Conv2d(latent, latent, 1)
        self.decoder = Decoder(latent, out, widths, blocks, groups)

    def forward(self, z: Tensor) -> Tensor:
        """The picture, channels first."""
        out: Tensor = self.decoder(self.post_quant_conv(z))
        return out


@final
class LatentEncoder(nn.Module):
    """A datum to mean and log variance of a latent that keeps its directions: `(..., *x_shape)` to `(..., h, w, c, 2)`.

    Data that are no pictures count as pictures of one row, and sides that cannot be halved so often are filled up.

    >>> LatentEncoder((32, 32, 3), latent=4, widths=(8, 16), blocks=1)(torch.zeros(5, 32, 32, 3)).shape
    torch.Size([5, 16, 16, 4, 2])
    """

    def __init__(
        self, x_shape: Sequence[int], latent: int, widths: Sequence[int], blocks: int, groups: int | None = None
    ) -> None:
        super().__init__()
        canvas = Canvas.of(x_shape, halvings(widths))
        self.x_shape, self.grid, self.latent = tuple(x_shape), canvas.grid, latent
        picture = KLEncoder(canvas.channels, latent, widths, blocks, grouping(widths, groups))
        self.body = Leading(nn.Sequential(canvas.enter(), picture), event=len(self.x_shape))

    def forward(self, x: Tensor) -> Tensor:
        """`(..., *x_shape)` to `(..., h, w, c, 2)`."""
        require_event(x, self.x_shape)
        moments = self.body(x)
        return moments.unflatten(-3, (2, self.latent)).movedim((-4, -3), (-1, -2))


@final
class LatentDecoder(nn.Module):
    """`LatentEncoder` backwards: `(..., h, w, c)` to `(..., *x_shape, per_value)`, or `(..., *x_shape)` if that is 1.

    >>> LatentDecoder((32, 32, 3), latent=4, per_value=1, widths=(8, 16), blocks=1)(torch.zeros(5, 16, 16, 4)).shape
    torch.Size([5, 32, 32, 3])
    """

    def __init__(
        self,
        x_shape: Sequence[int],
        latent: int,
        per_value: int,
        widths: Sequence[int],
        blocks: int,
        groups: int | None = None,
    ) -> None:
        super().__init__()
        canvas = Canvas.of(x_shape, halvings(widths))
        self.event = (*canvas.grid, latent)
        picture = KLDecoder(latent, canvas.channels * per_value, widths, blocks, grouping(widths, groups))
        self.last = [picture.decoder.conv_out]  # a list is no child module, and it is one already
        self.body = Leading(nn.Sequential(ToChannelsFirst(self.event), picture, canvas.leave(per_value)), event=3)

    def forward(self, z: Tensor) -> Tensor:
        """`(..., h, w, c)` to `(..., *x_shape[, per_value])`."""
        require_event(z, self.event)
        out: Tensor = self.body(z)
        return out

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near the mean of `out` over the picture."""
        (last,) = self.last
        assert last.bias is not None
        last.bias.copy_(out.reshape(-1, len(last.bias)).mean(0))


def through(x: Tensor, *blocks: nn.Module) -> Tensor:
    """x through one layer after another."""
    for layer in blocks:
        x = layer(x)
    return x


def row_of_blocks(first: int, width: int, blocks: int, groups: int) -> nn.ModuleList:
    """Residual blocks of one width, of which the first comes from another."""
    return nn.ModuleList(ResnetBlock(first if i == 0 else width, width, groups) for i in range(blocks))


def level(shallow: int, deep: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps a picture's size."""
    return nn.Conv2d(shallow, deep, 3, padding=1)


def shortcut(shallow: int, deep: int) -> nn.Module:
    """How x goes past a block: as it is, or through a 1x1 convolution to another width."""
    return nn.Identity() if shallow == deep else nn.Conv2d(shallow, deep, 1)


def norm(groups: int, width: int) -> nn.GroupNorm:
    """Normalisation of a datum's channels in groups; it sees no other datum of the batch."""
    return nn.GroupNorm(groups, width, EPSILON)


def grouping(widths: Sequence[int], groups: int | None) -> int:
    """The groups that are asked for, refused where they do not divide all widths; for None, `groups_of`."""
    chosen = groups_of(widths) if groups is None else groups
    if any(width % chosen for width in widths):
        raise InputError(f"{chosen} groups do not divide all of the widths {tuple(widths)}; choose a number that does")
    return chosen


def groups_of(widths: Sequence[int]) -> int:
    """In how many groups channels are normalised: as many as divide all widths, at most 32, of four channels or more.

    >>> groups_of((32, 64)), groups_of((128, 256, 512)), groups_of((4, 6, 8))
    (8, 32, 1)
    """
    most = min(MOST_GROUPS, max(1, min(widths) // FEWEST_CHANNELS))
    return max(n for n in range(1, most + 1) if math.gcd(*widths) % n == 0)


def halvings(widths: Sequence[int]) -> int:
    """How often a picture's sides are halved; no widths at all are refused."""
    if not widths or any(width < 1 for width in widths):
        raise InputError(f"the autoencoder needs a positive width for each grid, and was given {tuple(widths)}")
    return len(widths) - 1
