"""Networks between data and grids of vectors: shapes, leading dimensions, where things lie, and refusals."""

from __future__ import annotations

import pytest
import torch

from agree import assert_close
from lowerbound.errors import InputError
from lowerbound.nets.spatial import grid_decoder, grid_encoder, grid_shape

pytestmark = pytest.mark.usefixtures("double")

HIDDEN = (4, 5, 6)
PICTURES = [(8, 8), (9, 7), (8, 8, 3), (5, 6, 1)]


@pytest.mark.parametrize("lead", [(), (1,), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("shape", PICTURES)
@pytest.mark.parametrize("kind", ["mlp", "conv", "resnet"])
def test_shapes_for_any_leading_dimensions(kind: str, shape: tuple[int, ...], lead: tuple[int, ...]) -> None:
    grid = grid_shape(kind, shape, HIDDEN, 3)
    z = grid_encoder(kind, shape, 2, HIDDEN, "silu", 3)(torch.randn(*lead, *shape))
    assert z.shape == (*lead, *grid, 2)
    for per_value, out in ((1, shape), (2, (*shape, 2))):
        assert grid_decoder(kind, 2, shape, per_value, HIDDEN, "silu", 3)(z).shape == (*lead, *out)


@pytest.mark.parametrize("kind", ["conv", "resnet"])
@pytest.mark.parametrize("size", range(5, 41, 5))
def test_every_size_of_picture(kind: str, size: int) -> None:
    shape, hidden = (size, 45 - size), (2, 3, 4, 5)
    grid = grid_shape(kind, shape, hidden, 1)
    assert grid_encoder(kind, shape, 2, hidden, "relu", 1)(torch.randn(2, *shape)).shape == (2, *grid, 2)
    assert grid_decoder(kind, 2, shape, 1, hidden, "relu", 1)(torch.randn(2, *grid, 2)).shape == (2, *shape)


@pytest.mark.parametrize("kind", ["conv", "resnet"])
def test_a_place_of_the_grid_is_a_place_of_the_picture(kind: str) -> None:
    """What changes in one corner reaches no further than half way, in either direction."""
    encode = grid_encoder(kind, (128, 128), 2, HIDDEN, "silu", 1)
    decode = grid_decoder(kind, 2, (128, 128), 1, HIDDEN, "silu", 1)
    x, z = torch.randn(128, 128), torch.randn(32, 32, 2)
    changed = (encode(x + corner(128)) - encode(x)).abs().sum(-1) > 0
    spoken = (decode(z + corner(32)[..., None]) - decode(z)).abs() > 0
    for reached in (changed, spoken):
        half = len(reached) // 2
        assert reached[0, 0]
        assert not reached[half:].any()
        assert not reached[:, half:].any()


def corner(side: int) -> torch.Tensor:
    """One in the corner of a thirty-second of each side, and zero."""
    inside = torch.arange(side) < side // 32
    return (inside[:, None] & inside).double()


@pytest.mark.parametrize("kind", ["mlp", "conv", "resnet"])
def test_a_decoder_starts_where_it_is_told(kind: str) -> None:
    decoder = grid_decoder(kind, 2, (8, 8, 3), 1, HIDDEN, "silu", 3)
    wanted = torch.tensor([0.5, -3.0, 7.0]).expand(8, 8, 3)
    decoder.start_at(wanted)
    zeros = torch.zeros(*grid_shape(kind, (8, 8, 3), HIDDEN, 3), 2)
    assert_close(decoder(zeros), wanted)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="use the network 'mlp' for other data"):
        grid_shape("conv", (5,), HIDDEN, 3)
    with pytest.raises(InputError, match="there is no network 'rnn'"):
        grid_encoder("rnn", (8, 8), 2, HIDDEN, "silu", 1)
    with pytest.raises(InputError, match="takes values of shape"):
        grid_encoder("conv", (8, 8), 2, HIDDEN, "silu", 1)(torch.zeros(3, 9, 9))
