"""Encoders and decoders by name, sized from the data's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from lowerbound.errors import InputError
from lowerbound.nets.conv import Strided
from lowerbound.nets.mlp import MLPDecoder, MLPEncoder, activate
from lowerbound.nets.picture import PictureDecoder, PictureEncoder, Style
from lowerbound.nets.resnet import Residual

SUGGESTED_HIDDEN: Mapping[str, tuple[int, ...]] = {
    "mlp": (200, 200),
    "conv": (32, 64, 256),
    "resnet": (16, 32, 256),
}
"""Hidden widths that serve each kind well on pictures of some 30 x 30 pixels."""

KINDS: tuple[str, ...] = tuple(SUGGESTED_HIDDEN)
"""The kinds of network by name."""


def encoder(
    kind: str, x_shape: tuple[int, ...], out: int, hidden: Sequence[int], activation: str, condition: int = 0
) -> nn.Module:
    """A network from a datum x, and a condition c if there is one, to `out` numbers.

    x `(..., *x_shape)` and c `(..., condition)` to `(..., out)`. Any number of leading dimensions, which
    broadcast between x and c; an unbatched x gives what a batch of one gives.

    Args:
        kind: "mlp"; or, for pictures `(H, W)` or `(H, W, C)`, "conv" (strided convolutions) or "resnet".
        x_shape: shape of one datum.
        out: numbers the network gives.
        hidden: widths from the data's side to the latent's. For "mlp" the layers'; for pictures the channels
            of each stage, which halves the picture, and last the width of the dense layer, where the
            condition joins.
        activation: a name in `lowerbound.nets.ACTIVATIONS`.
        condition: numbers in the condition; 0 for none.

    Raises:
        InputError: an unknown kind or activation, or a shape or widths that the kind cannot use.

    Example:
        >>> import torch
        >>> net = encoder("conv", (28, 28), 100, (32, 64, 256), "relu")
        >>> net(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 100])
    """
    check_net(kind, hidden, activation)
    if kind == "mlp":
        return MLPEncoder(x_shape, out, hidden, activation, condition)
    return PictureEncoder(x_shape, out, hidden, style_of(kind, activation, hidden), condition)


def decoder(
    kind: str,
    z: int,
    x_shape: tuple[int, ...],
    per_value: int,
    hidden: Sequence[int],
    activation: str,
    condition: int = 0,
) -> MLPDecoder | PictureDecoder:
    """A network from a latent vector z, and a condition c if there is one, to the parameters of each value.

    z `(..., z)` and c `(..., condition)` to `(..., *x_shape, per_value)`, or to `(..., *x_shape)` when
    `per_value` is 1. `hidden` is written as for `encoder`, from the data's side to the latent's, so that one
    tuple makes a matched pair.

    Args:
        kind: "mlp", "conv" or "resnet", as for `encoder`.
        z: width of the latent vector.
        x_shape: shape of one datum.
        per_value: parameters of the likelihood for each value of a datum.
        hidden: widths, as for `encoder`.
        activation: a name in `lowerbound.nets.ACTIVATIONS`.
        condition: numbers in the condition; 0 for none.

    Raises:
        InputError: an unknown kind or activation, or a shape or widths that the kind cannot use.

    Example:
        >>> import torch
        >>> net = decoder("mlp", 50, (28, 28), 2, (200, 200), "tanh")
        >>> net(torch.zeros(3, 5, 50)).shape
        torch.Size([3, 5, 28, 28, 2])
    """
    check_net(kind, hidden, activation)
    if kind == "mlp":
        shape = (*x_shape, per_value) if per_value > 1 else x_shape
        return MLPDecoder(z, shape, hidden[::-1], activation, condition)
    return PictureDecoder(z, x_shape, per_value, hidden, style_of(kind, activation, hidden), condition)


def check_net(kind: str, hidden: Sequence[int], activation: str) -> None:
    """Refuse an unknown kind or activation, or widths that are not positive."""
    if kind not in KINDS:
        raise InputError(f"there is no network {kind!r}; choose one of {', '.join(KINDS)}")
    if any(width < 1 for width in hidden):
        raise InputError(f"hidden widths must be positive and were given as {tuple(hidden)}")
    activate(activation)


def style_of(kind: str, activation: str, hidden: Sequence[int]) -> Style:
    """The stages of a kind of convolutional network."""
    return Strided(activation) if kind == "conv" else Residual(activation, levels=len(hidden) - 1)
