"""Multilayer perceptrons: plain stacks of linear layers and activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.nets.leading import join, require_condition, require_event

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky-relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
}
"""The activations by name."""

Affine = TypeVar("Affine", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)

# Nearly linear about the origin, so that Xavier keeps the variance; the rest pass about half of it.
_XAVIER = frozenset({"tanh", "sigmoid", "softplus"})


def activate(name: str) -> nn.Module:
    """The activation called `name`; an unknown name is refused with the list of known ones."""
    if name not in ACTIVATIONS:
        raise InputError(f"there is no activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def initialise(layer: Affine, activation: str | None) -> Affine:
    """Draw the weights of a layer beside `activation` (None: a last layer, beside nothing); zero the biases.

    Uniform, with Xavier's variance 2 / (fan in + fan out) for tanh, sigmoid, softplus or nothing (Glorot and Bengio,
    Understanding the difficulty of training deep feedforward neural networks, 2010), and with He's 2 / fan in
    for the rectifiers and their smooth kin (He et al., Delving deep into rectifiers, 2015).
    """
    fan_in, fan_out = _fans(layer)
    xavier = activation is None or activation in _XAVIER
    bound = math.sqrt(6 / (fan_in + fan_out if xavier else fan_in))
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _fans(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> tuple[float, float]:
    """How many inputs an output sums and how many outputs an input reaches, on average over a picture."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    taps, steps = math.prod(layer.kernel_size), math.prod(layer.stride)
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * taps / steps, layer.out_channels * taps
    return layer.in_channels * taps, layer.out_channels * taps / steps


def perceptron(inputs: int, out: int, hidden: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of the `hidden` widths, each followed by `activation`, and a last one to `out` numbers.

    `(..., inputs)` to `(..., out)`, any number of leading dimensions.

    Example:
        >>> import torch
        >>> perceptron(784, 100, (200, 200), "tanh")(torch.zeros(5, 784)).shape
        torch.Size([5, 100])
    """
    layers: list[nn.Module] = []
    for width in hidden:
        layers += dense(inputs, width, activation)
        inputs = width
    return nn.Sequential(*layers, initialise(nn.Linear(inputs, out), None))


def dense(inputs: int, width: int, activation: str) -> tuple[nn.Linear, nn.Module]:
    """A linear layer and the activation that follows it."""
    return initialise(nn.Linear(inputs, width), activation), activate(activation)


def flattened(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`(..., *shape)` to `(..., size)`."""
    return x.reshape(*x.shape[: x.dim() - len(shape)], math.prod(shape))


@final
class MLPEncoder(nn.Module):
    """x `(..., *x_shape)` flattened, the condition joined to it, through a perceptron to `(..., out)`.

    Example:
        >>> import torch
        >>> net = MLPEncoder((28, 28), 100, (200, 200), "tanh", condition=10)
        >>> net(torch.zeros(5, 28, 28), torch.zeros(5, 10)).shape
        torch.Size([5, 100])
    """

    def __init__(
        self, x_shape: Sequence[int], out: int, hidden: Sequence[int], activation: str, condition: int = 0
    ) -> None:
        super().__init__()
        self.x_shape, self.condition = tuple(x_shape), condition
        self.body = perceptron(math.prod(x_shape) + condition, out, hidden, activation)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`(..., *x_shape)` and perhaps `(..., condition)` to `(..., out)`."""
        require_event(x, self.x_shape)
        require_condition(c, self.condition)
        return self.body(join(flattened(x, self.x_shape), c))


@final
class LayeredEncoder(nn.Module):
    """x `(..., *x_shape)` flattened, the condition joined to it, through a perceptron that gives each layer's output.

    Every layer has the activation, the last included, whose output is the code.

    Example:
        >>> import torch
        >>> net = LayeredEncoder((28, 28), (200, 32), "sigmoid")
        >>> [h.shape for h in net(torch.zeros(5, 28, 28))]
        [torch.Size([5, 200]), torch.Size([5, 32])]
    """

    def __init__(self, x_shape: Sequence[int], widths: Sequence[int], activation: str, condition: int = 0) -> None:
        super().__init__()
        self.x_shape, self.condition = tuple(x_shape), condition
        inputs = (math.prod(x_shape) + condition, *widths)
        self.layers = nn.ModuleList(nn.Sequential(*dense(*pair, activation)) for pair in zip(inputs, widths))

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
        """`(..., *x_shape)` and perhaps `(..., condition)` to `(..., width)` of each layer."""
        require_event(x, self.x_shape)
        require_condition(c, self.condition)
        outputs = [join(flattened(x, self.x_shape), c)]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        return tuple(outputs[1:])

    @torch.no_grad()
    def start_at(self, level: float) -> None:
        """Set the biases to `level`: what each unit feels of an input of nothing."""
        for layer in self.layers:
            assert isinstance(layer, nn.Sequential)
            linear = layer[0]
            assert isinstance(linear, nn.Linear)
            linear.bias.fill_(level)


@final
class MLPDecoder(nn.Module):
    """z `(..., z)`, the condition joined to it, through a perceptron to `(..., *shape)`.

    Example:
        >>> import torch
        >>> MLPDecoder(50, (28, 28), (200, 200), "tanh")(torch.zeros(3, 5, 50)).shape
        torch.Size([3, 5, 28, 28])
    """

    def __init__(
        self, z: int, shape: Sequence[int], hidden: Sequence[int], activation: str, condition: int = 0
    ) -> None:
        super().__init__()
        self.z, self.shape, self.condition = z, tuple(shape), condition
        self.body = perceptron(z + condition, math.prod(shape), hidden, activation)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """`(..., z)` and perhaps `(..., condition)` to `(..., *shape)`."""
        require_event(z, (self.z,))
        require_condition(c, self.condition)
        out = self.body(join(z, c))
        return out.reshape(*out.shape[:-1], *self.shape)

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near `out`, of the shape of one output."""
        last = self.body[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(out.flatten())
