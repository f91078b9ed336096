"""The networks of a ladder: a way up that the data take, a way down that its layers share, and where the two meet."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar, final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.nets.build import check_net
from lowerbound.nets.conv import double, halve
from lowerbound.nets.leading import Leading
from lowerbound.nets.mlp import MLPDecoder, activate, initialise, perceptron
from lowerbound.nets.picture import Size, ToChannelsFirst, ToPicture, halvings, sides, stage_widths

Module = TypeVar("Module", bound=nn.Linear | nn.Conv2d)

SUGGESTED_HIDDEN: Mapping[str, tuple[int, ...]] = {"mlp": (512, 256, 128), "conv": (32, 64, 128)}
"""Hidden widths that serve each kind of ladder well on pictures of some 30 x 30 pixels."""

KERNEL, STEM = 3, 5
NARROW = 16
"""Channels to which a map is brought before it is laid out as the vector that the top layer reads."""
TIMID = 0.1
"""What the last weights before a latent's parameters are scaled by, so that posteriors start beside their priors."""


class RungNets(NamedTuple):
    """One layer's networks, for a z of shape `event`.

    prior: h -> (*event, 2), or None at the top. posterior: (h, d), or at the top d alone, -> (*event, 2).
    descend: (h, z) -> the next h, where the h of the top is None.
    """

    event: tuple[int, ...]
    prior: nn.Module | None
    posterior: nn.Module
    descend: nn.Module


class LadderNets(NamedTuple):
    """ascent: x -> the d of each rung, top first. rungs: top first. decoder: the last h -> (*x_shape[, per_value])."""

    ascent: nn.Module
    rungs: list[RungNets]
    decoder: MLPDecoder | MapDecoder


def ladder(
    kind: str,
    x_shape: tuple[int, ...],
    per_value: int,
    hidden: Sequence[int],
    layers: Sequence[int],
    latent: int,
    top: int,
    activation: str,
) -> LadderNets:
    """The networks of a ladder for data of this shape.

    Args:
        kind: "mlp"; or "conv" for pictures `(H, W)` or `(H, W, C)`, whose latents below the top are maps.
        x_shape: shape of one datum.
        per_value: parameters of the likelihood for each value of a datum.
        hidden: widths from the data's side, one for each height of the ladder, and last that of the layers beside the
            top. For "conv" a height's width is its channels, and its maps have half the sides of those below.
        layers: latents at each height from the data's side, none or more; the topmost, a vector, is one besides.
        latent: numbers in the z of each layer below the top; for "conv" at each place of its map.
        top: numbers in the topmost z.
        activation: a name in `lowerbound.nets.ACTIVATIONS`.

    Raises:
        InputError: an unknown activation, or a shape, widths or layers that the kind cannot use.

    Example:
        >>> nets = ladder("conv", (28, 28), 1, (8, 16, 32), (1, 2), latent=4, top=10, activation="silu")
        >>> [rung.event for rung in nets.rungs]
        [(10,), (4, 7, 7), (4, 7, 7), (4, 14, 14)]
    """
    check_net(kind, hidden, activation)
    widths, beside = stage_widths(hidden)
    if len(layers) != len(widths):
        raise InputError(
            f"a ladder with hidden widths {tuple(hidden)} has {len(widths)} heights and needs as many numbers of "
            f"layers, not {tuple(layers)}"
        )
    heights = _heights(kind, x_shape, widths, activation, depth=sum(layers) + len(layers))
    (highest, path), *below = _descents(heights, layers)
    rungs = [_summit(highest, top, beside, path), *(_rung(height, latent, each) for height, each in below)]
    return LadderNets(_ascent(x_shape, heights, layers), rungs, heights[0].decoder(x_shape, per_value))


def suggested_layers(kind: str, hidden: Sequence[int]) -> tuple[int, ...]:
    """As many layers at each height as serve well: one for vectors; for maps four at the highest, where they are cheap.

    Example:
        >>> suggested_layers("mlp", (512, 256, 128)), suggested_layers("conv", (32, 64, 128))
        ((1, 1), (0, 4))
    """
    heights = len(hidden) - 1
    return (1,) * heights if kind == "mlp" else (0,) * (heights - 1) + (4,) * min(heights, 1)


@dataclass(frozen=True)
class Height(ABC):
    """The states at one height of a ladder, and the layers between them; networks of `(N, *state)`.

    depth: residual blocks in the whole ladder.
    """

    width: int
    activation: str
    depth: int

    @abstractmethod
    def flat(self) -> tuple[nn.Module, nn.Module, int]:
        """From what the data say here to a vector, from a vector to a state, and the vector's length."""

    @abstractmethod
    def event(self, width: int) -> tuple[int, ...]:
        """The shape of a state or a latent of this width."""

    @abstractmethod
    def enter(self, x_shape: tuple[int, ...]) -> nn.Module:
        """From a datum."""

    @abstractmethod
    def rise(self, below: Height) -> nn.Module:
        """From the height below."""

    @abstractmethod
    def fall(self, below: Height) -> nn.Module:
        """To the height below."""

    @abstractmethod
    def mix(self, inputs: int, outputs: int) -> nn.Linear | nn.Conv2d:
        """A layer that reads the neighbourhood."""

    @abstractmethod
    def point(self, inputs: int, outputs: int) -> nn.Linear | nn.Conv2d:
        """A layer that reads no neighbours."""

    @abstractmethod
    def decoder(self, x_shape: tuple[int, ...], per_value: int) -> MLPDecoder | MapDecoder:
        """From the last state to the parameters of each value."""

    @final
    def mixed(self, width: int) -> list[nn.Module]:
        """An activation and a layer from this width to the state's."""
        return [activate(self.activation), self.mix(width, self.width)]

    @final
    def pointed(self, inputs: int, outputs: int, scale: float = 1.0) -> list[nn.Module]:
        """An activation and a layer that reads no neighbours, its weights scaled."""
        return [activate(self.activation), scaled(self.point(inputs, outputs), scale)]

    @final
    def block(self) -> nn.Module:
        """A residual block, which starts small so that the variance does not grow with the depth."""
        first, last = self.mix(self.width, self.width), self.mix(self.width, self.width)
        act = activate(self.activation)
        return Plus(nn.Sequential(act, first, act, scaled(last, self.depth**-0.5)))

    @final
    def folded(self, *modules: nn.Module) -> Leading:
        """Modules in a row, for states with any leading dimensions."""
        return Leading(nn.Sequential(*modules), event=len(self.event(1)))


@final
@dataclass(frozen=True)
class Vectors(Height):
    """States that are vectors."""

    def flat(self) -> tuple[nn.Module, nn.Module, int]:
        return self.mix(self.width, self.width), nn.Sequential(*self.mixed(self.width)), self.width

    def event(self, width: int) -> tuple[int, ...]:
        return (width,)

    def enter(self, x_shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Flatten(1), self.mix(math.prod(x_shape), self.width))

    def rise(self, below: Height) -> nn.Module:
        return self.mix(below.width, self.width)

    def fall(self, below: Height) -> nn.Module:
        return nn.Sequential(*below.mixed(self.width))

    def mix(self, inputs: int, outputs: int) -> nn.Linear:
        return initialise(nn.Linear(inputs, outputs), self.activation)

    def point(self, inputs: int, outputs: int) -> nn.Linear:
        return initialise(nn.Linear(inputs, outputs), None)

    def decoder(self, x_shape: tuple[int, ...], per_value: int) -> MLPDecoder:
        shape = (*x_shape, per_value) if per_value > 1 else x_shape
        return MLPDecoder(self.width, shape, (self.width,), self.activation)


@final
@dataclass(frozen=True)
class Maps(Height):
    """States that are maps `(width, H, W)` of a size (H, W)."""

    size: Size

    def flat(self) -> tuple[nn.Module, nn.Module, int]:
        narrow = min(self.width, NARROW)
        length = narrow * math.prod(self.size)
        lay_out = nn.Sequential(self.point(self.width, narrow), ToPicture((length,)))
        take_up = nn.Sequential(ToChannelsFirst((*self.size, narrow)), *self.pointed(narrow, self.width))
        return lay_out, take_up, length

    def event(self, width: int) -> tuple[int, ...]:
        return (width, *self.size)

    def enter(self, x_shape: tuple[int, ...]) -> nn.Module:
        picture = sides(x_shape)
        return nn.Sequential(ToChannelsFirst(picture), halve(picture[-1], self.width, STEM, self.activation))

    def rise(self, below: Height) -> nn.Module:
        return halve(below.width, self.width, KERNEL, self.activation)

    def fall(self, below: Height) -> nn.Module:
        _, height, width = below.event(1)
        larger = double(self.width, below.width, KERNEL, (height, width), self.activation)
        return nn.Sequential(activate(self.activation), larger)

    def mix(self, inputs: int, outputs: int) -> nn.Conv2d:
        return initialise(nn.Conv2d(inputs, outputs, KERNEL, padding=KERNEL // 2), self.activation)

    def point(self, inputs: int, outputs: int) -> nn.Conv2d:
        return initialise(nn.Conv2d(inputs, outputs, 1), None)

    def decoder(self, x_shape: tuple[int, ...], per_value: int) -> MapDecoder:
        return MapDecoder(self, x_shape, per_value)


@final
class MapDecoder(nn.Module):
    """The lowest state `(..., width, H, W)` to `(..., *x_shape[, per_value])`."""

    def __init__(self, height: Maps, x_shape: tuple[int, ...], per_value: int) -> None:
        super().__init__()
        tall, wide, channels = sides(x_shape)
        shape = (*x_shape, per_value) if per_value > 1 else x_shape
        last = double(height.width, channels * per_value, STEM, (tall, wide), height.activation)
        self.body = height.folded(activate(height.activation), last, ToPicture(shape))

    def forward(self, h: Tensor) -> Tensor:
        """`(..., width, H, W)` to `(..., *x_shape[, per_value])`."""
        out: Tensor = self.body(h)
        return out

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near the mean of `out` over the picture."""
        (last,) = (layer for layer in self.body.modules() if isinstance(layer, nn.ConvTranspose2d))
        assert last.bias is not None
        last.bias.copy_(out.flatten(0, 1).mean(0).flatten())


@final
class Ascent(nn.Module):
    """A datum through the stages, one upon another; each stage's output, activated, is read by so many rungs."""

    def __init__(self, stages: Sequence[nn.Module], readers: Sequence[int]) -> None:
        super().__init__()
        self.stages, self.readers = nn.ModuleList(stages), tuple(readers)

    def forward(self, x: Tensor, c: Tensor | None = None) -> list[Tensor]:
        """x `(B, *x_shape)` to what the data say at each rung, top first."""
        found: list[Tensor] = []
        for stage, count in zip(self.stages, self.readers):
            x = stage(x)
            found += [x] * count
        return found[::-1]


@final
class Meet(nn.Module):
    """out(across(h) + along(d)): a joint layer on h and d, whose part in d is computed once for all particles."""

    def __init__(self, across: nn.Module, along: nn.Module, out: nn.Module) -> None:
        super().__init__()
        self.across, self.along, self.out = across, along, out

    def forward(self, h: Tensor, d: Tensor) -> Tensor:
        """h `(..., B, *state)` and d `(B, *state)` to `(..., B, *event, 2)`."""
        met: Tensor = self.out(self.across(h) + self.along(d))
        return met


@final
class Descend(nn.Module):
    """then(h + enter(z)); at the top, where there is no h yet, then(enter(z))."""

    def __init__(self, enter: nn.Module, then: nn.Module) -> None:
        super().__init__()
        self.enter, self.then = enter, then

    def forward(self, h: Tensor | None, z: Tensor) -> Tensor:
        """h `(..., *state)` and z `(..., *event)` to the next h."""
        entered = self.enter(z)
        passed: Tensor = self.then(entered if h is None else h + entered)
        return passed


@final
class Plus(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that the branch keeps."""
        total: Tensor = x + self.branch(x)
        return total


@final
class ChannelsLast(nn.Module):
    """Maps laid out in memory as convolutions like them, and what they are added to has; noise comes otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


@final
class Parameters(nn.Module):
    """`(N, 2·channels, *space)` to `(N, channels, *space, 2)`: a latent's (μ, log σ²)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (2, x.shape[1] // 2)).movedim(1, -1)


def scaled(layer: Module, by: float) -> Module:
    """The layer, its weights scaled."""
    with torch.no_grad():
        layer.weight.mul_(by)
    return layer


def _heights(kind: str, x_shape: tuple[int, ...], widths: tuple[int, ...], activation: str, depth: int) -> list[Height]:
    if kind == "mlp":
        return [Vectors(width, activation, depth) for width in widths]
    tall, wide, _ = sides(x_shape)
    sizes = halvings((tall, wide), len(widths))[1:]
    return [Maps(width, activation, depth, size) for width, size in zip(widths, sizes)]


def _ascent(x_shape: tuple[int, ...], heights: Sequence[Height], layers: Sequence[int]) -> Ascent:
    """The way up; the top reads what the highest layers read."""
    ways = [heights[0].enter(x_shape), *(height.rise(below) for below, height in pairwise(heights))]
    stages = [nn.Sequential(way, height.block(), activate(height.activation)) for way, height in zip(ways, heights)]
    return Ascent(stages, (*layers[:-1], layers[-1] + 1))


def _descents(heights: Sequence[Height], layers: Sequence[int]) -> list[tuple[Height, nn.Module]]:
    """Where each rung lies and its path to the next, top first: a block, and where its height ends the fall."""
    paths: list[tuple[Height, list[nn.Module]]] = [(heights[-1], [heights[-1].block()])]
    falls = [nn.Identity(), *(height.fall(below) for below, height in pairwise(heights))]
    for height, count, fall in zip(heights[::-1], layers[::-1], falls[::-1]):
        paths += [(height, [height.block()]) for _ in range(count)]
        paths[-1][1].append(fall)
    return [(height, height.folded(*path)) for height, path in paths]


def _rung(height: Height, latent: int, path: nn.Module) -> RungNets:
    width = height.width
    across, along = height.folded(*height.mixed(width)), height.folded(height.mix(width, width))
    prior, out = (height.folded(*height.pointed(width, 2 * latent, TIMID), Parameters()) for _ in range(2))
    enter = height.folded(ChannelsLast(), height.point(latent, width))
    return RungNets(height.event(latent), prior, Meet(across, along, out), Descend(enter, path))


def _summit(height: Height, top: int, beside: int, path: nn.Module) -> RungNets:
    lay_out, take_up, size = height.flat()
    read = perceptron(size, 2 * top, (beside,), height.activation)
    write = perceptron(top, size, (beside,), height.activation)
    posterior = nn.Sequential(lay_out, activate(height.activation), read, Parameters())
    enter = Leading(nn.Sequential(write, take_up), event=1)
    return RungNets((top,), None, posterior, Descend(enter, path))
