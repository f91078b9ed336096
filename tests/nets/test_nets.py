"""Encoders and decoders: shapes, leading dimensions, rows apart, gradients everywhere, and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.nets import ACTIVATIONS, KINDS, Leading, decoder, encoder, join, perceptron

HIDDEN = {"mlp": (12, 10), "conv": (4, 6, 10), "resnet": (4, 6, 10)}
PICTURES = [(8, 8), (9, 7), (8, 8, 3), (5, 6, 1)]


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_encoder(kind: str, shape: tuple[int, ...] = (8, 8), condition: int = 0) -> nn.Module:
    return encoder(kind, shape, 5, HIDDEN[kind], "silu", condition)


def make_decoder(kind: str, shape: tuple[int, ...] = (8, 8), per_value: int = 1, condition: int = 0) -> nn.Module:
    return decoder(kind, 3, shape, per_value, HIDDEN[kind], "silu", condition)


@pytest.mark.parametrize("lead", [(), (1,), (4,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("shape", PICTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_for_any_leading_dimensions(kind: str, shape: tuple[int, ...], lead: tuple[int, ...]) -> None:
    assert make_encoder(kind, shape)(torch.randn(*lead, *shape)).shape == (*lead, 5)
    assert make_decoder(kind, shape)(torch.randn(*lead, 3)).shape == (*lead, *shape)
    assert make_decoder(kind, shape, per_value=2)(torch.randn(*lead, 3)).shape == (*lead, *shape, 2)


@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4, 2)])
def test_an_mlp_takes_data_of_any_shape(shape: tuple[int, ...]) -> None:
    assert make_encoder("mlp", shape)(torch.randn(4, *shape)).shape == (4, 5)
    assert make_decoder("mlp", shape)(torch.randn(4, 3)).shape == (4, *shape)
    assert make_decoder("mlp", shape, per_value=3)(torch.randn(4, 3)).shape == (4, *shape, 3)


@pytest.mark.parametrize("kind", ["conv", "resnet"])
@pytest.mark.parametrize("size", range(5, 41))
def test_every_size_of_picture(kind: str, size: int) -> None:
    shape, hidden = (size, 45 - size), (2, 3, 4, 5)
    assert encoder(kind, shape, 5, hidden, "relu")(torch.randn(2, *shape)).shape == (2, 5)
    assert decoder(kind, 3, shape, 1, hidden, "relu")(torch.randn(2, 3)).shape == (2, *shape)


@pytest.mark.parametrize("kind", KINDS)
def test_unbatched_and_folded_equal_batched(kind: str) -> None:
    x, z, enc, dec = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 3), make_encoder(kind), make_decoder(kind)
    for net, given in ((enc, x), (dec, z)):
        whole = net(given)
        rows = torch.stack([torch.stack([net(given[i, j]) for j in range(3)]) for i in range(2)])
        torch.testing.assert_close(whole, rows, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_depend_on_each_other(kind: str) -> None:
    for net, given in ((make_encoder(kind), torch.randn(4, 8, 8)), (make_decoder(kind), torch.randn(4, 3))):
        assert depends_only_on_its_own_row(net, given)


def depends_only_on_its_own_row(net: nn.Module, given: Tensor) -> bool:
    given.requires_grad_()
    (grad,) = torch.autograd.grad(net(given)[1].square().sum(), given)
    touched = grad.flatten(1).abs().sum(1) > 0
    return touched.tolist() == [False, True, False, False]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind: str, activation: str) -> None:
    enc = encoder(kind, (9, 8, 3), 6, HIDDEN[kind], activation, condition=2)
    dec = decoder(kind, 6, (9, 8, 3), 2, HIDDEN[kind], activation, condition=2)
    c = torch.randn(16, 2)
    dec(enc(torch.randn(16, 9, 8, 3), c), c).square().sum().backward()
    for name, parameter in [*enc.named_parameters(), *dec.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_every_output_depends_on_every_part_of_the_input(kind: str) -> None:
    """No pixel, latent number or condition is lost on the way, at odd edges either."""
    enc, dec = make_encoder(kind, (7, 9, 2), condition=2), make_decoder(kind, (7, 9, 2), condition=2)
    for net, given in ((enc, torch.randn(7, 9, 2)), (dec, torch.randn(3))):
        jacobians = torch.autograd.functional.jacobian(lambda a, b, net=net: net(a, b), (given, torch.randn(2)))
        for jacobian, event in zip(jacobians, (given.dim(), 1)):
            matrix = jacobian.flatten(jacobian.dim() - event).flatten(0, -2)
            assert (matrix.abs().sum(0) > 0).all()
            assert (matrix.abs().sum(1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_broadcasts_over_particles_and_changes_the_output(kind: str) -> None:
    dec, enc = make_decoder(kind, condition=2), make_encoder(kind, condition=2)
    z, c = torch.randn(3, 4, 3), torch.randn(4, 2)
    torch.testing.assert_close(dec(z, c)[1], dec(z[1], c), rtol=0, atol=1e-12)
    assert (dec(z, c) - dec(z, c.flip(0))).abs().amax() > 1e-3
    assert enc(torch.randn(8, 8), c).shape == (4, 5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_outputs_are_neither_vanishing_nor_exploding(kind: str, activation: str) -> None:
    hidden = {"mlp": (64,) * 6, "conv": (16, 32, 64, 64), "resnet": (16, 32, 64, 64)}[kind]
    enc = encoder(kind, (28, 28), 10, hidden, activation)
    dec = decoder(kind, 10, (28, 28), 1, hidden, activation)
    for out in (enc(torch.randn(64, 28, 28)), dec(torch.randn(64, 10))):
        assert 0.03 < out.std() < 10


def test_a_perceptron_is_a_bare_stack() -> None:
    layers = [type(layer) for layer in perceptron(4, 2, (3, 3), "tanh")]
    assert layers == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]


def test_join_and_leading() -> None:
    x = torch.randn(3)
    assert join(x, None) is x
    torch.testing.assert_close(join(x, torch.ones(2)), torch.cat((x, torch.ones(2))))
    net = nn.Conv2d(2, 4, 3)
    many = torch.randn(5, 6, 2, 8, 8)
    torch.testing.assert_close(Leading(net, 3)(many)[2], net(many[2]))


REFUSALS: dict[str, Callable[[], object]] = {
    r"no network 'mpl'; choose one of mlp, conv, resnet": lambda: encoder("mpl", (8, 8), 5, (4,), "tanh"),
    r"no activation 'tan'; choose one of tanh": lambda: encoder("mlp", (8, 8), 5, (4,), "tan"),
    r"\(H, W\) or \(H, W, C\), not \(8,\)": lambda: encoder("conv", (8,), 5, (4, 4), "tanh"),
    r"use the network 'mlp'": lambda: decoder("conv", 5, (8,), 1, (4, 4), "tanh"),
    r"at least two hidden widths.*given \(4,\)": lambda: encoder("resnet", (8, 8), 5, (4,), "tanh"),
    r"must be positive.*\(4, 0\)": lambda: encoder("mlp", (8, 8), 5, (4, 0), "tanh"),
    r"\(..., 8, 8\) and was given \(4, 8, 9\)": lambda: make_encoder("mlp")(torch.zeros(4, 8, 9)),
    r"\(..., 8, 8\) and was given \(8,\)": lambda: make_encoder("conv")(torch.zeros(8)),
    r"\(..., 3\) and was given \(2, 4\)": lambda: make_decoder("resnet")(torch.zeros(2, 4)),
    r"of 0 numbers and was given 1": lambda: make_decoder("mlp")(torch.zeros(3), torch.zeros(1)),
    r"of 2 numbers and was given 0": lambda: make_encoder("conv", condition=2)(torch.zeros(8, 8)),
}


@pytest.mark.parametrize("says", REFUSALS)
def test_refusals_say_what_and_what_to_do(says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        REFUSALS[says]()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_compiles_without_graph_breaks_and_gives_the_same(kind: str) -> None:
    net, z = make_decoder(kind, condition=2), torch.randn(2, 3, 3)
    whole = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(whole(z, torch.ones(3, 2)), net(z, torch.ones(3, 2)))
