"""A convolutional network that tells what a picture shows, and the features by which it does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from lowerbound.nets.mlp import initialise
from lowerbound.nets.picture import ToChannelsFirst, sides

KERNEL = 3


@final
class PictureClassifier(nn.Module):
    """Pictures (N, H, W) or (N, H, W, C), values from 0 to 1, to a logit for each of `classes`, (N, classes).

    Each of `widths` is a convolution, BatchNorm and a rectifier; between two of them the picture is halved. The mean
    over what is left of the picture are the features, (N, widths[-1]), which one linear layer reads.

    Example:
        >>> import torch
        >>> net = PictureClassifier((28, 28), (8, 16), 10)
        >>> net(torch.zeros(5, 28, 28)).shape, net.features(torch.zeros(5, 28, 28)).shape
        (torch.Size([5, 10]), torch.Size([5, 16]))
    """

    def __init__(self, x_shape: Sequence[int], widths: Sequence[int], classes: int) -> None:
        super().__init__()
        shape = sides(x_shape)
        first, *others = pairwise((shape[2], *widths))
        stages = [part for pair in others for part in (nn.MaxPool2d(2, ceil_mode=True), *_stage(*pair))]
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.features = nn.Sequential(ToChannelsFirst(shape), *_stage(*first), *stages, *pooled)
        self.head = initialise(nn.Linear(widths[-1], classes), None)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, *x_shape)` to `(N, classes)`."""
        return self.head(self.features(x))


def _stage(shallow: int, deep: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(shallow, deep, KERNEL, padding=KERNEL // 2, bias=False)
    return initialise(convolution, "relu"), nn.BatchNorm2d(deep), nn.ReLU()
