"""The networks of ladders: shapes at every height, leading dimensions, and who reads what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agree import assert_close
from lowerbound.nets.ladder import Ascent, LadderNets, ladder

pytestmark = pytest.mark.usefixtures("double")

SHAPES = [("mlp", (5,)), ("mlp", (9, 6)), ("conv", (9, 6)), ("conv", (9, 6, 3)), ("conv", (8, 8))]


def built(kind: str, shape: tuple[int, ...], per_value: int = 1) -> LadderNets:
    return ladder(kind, shape, per_value, (4, 6, 8), (1, 2), latent=2, top=3, activation="silu")


def walk(nets: LadderNets, z: list[Tensor]) -> list[Tensor | None]:
    """h at each rung and after the last."""
    found: list[Tensor | None] = [None]
    for rung, each in zip(nets.rungs, z):
        found.append(rung.descend(found[-1], each))
    return found


def draws(nets: LadderNets, *lead: int) -> list[Tensor]:
    return [torch.randn(*lead, *rung.event) for rung in nets.rungs]


@pytest.mark.parametrize("per_value", [1, 2])
@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_shapes(kind: str, shape: tuple[int, ...], per_value: int) -> None:
    nets = built(kind, shape, per_value)
    said = nets.ascent(torch.randn(4, *shape))
    states = walk(nets, draws(nets, 5, 4))
    assert len(said) == len(nets.rungs) == 4
    for rung, h, d in zip(nets.rungs, states, said):
        q = rung.posterior(d) if h is None else rung.posterior(h, d)
        assert q.shape == (*((4,) if h is None else (5, 4)), *rung.event, 2)
        assert rung.prior is None if h is None else rung.prior(h).shape == q.shape
    assert nets.decoder(states[-1]).shape == (5, 4, *shape, *([per_value] if per_value > 1 else []))


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_any_leading_shape(kind: str, shape: tuple[int, ...]) -> None:
    nets = built(kind, shape)
    z = draws(nets, 2, 3)
    together = nets.decoder(walk(nets, z)[-1])
    alone = nets.decoder(walk(nets, [each[1, 2] for each in z])[-1])
    assert_close(alone, together[1, 2], within=1e-12)


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_a_posterior_reads_the_data_and_what_was_drawn_above(kind: str, shape: tuple[int, ...]) -> None:
    nets = built(kind, shape)
    x = torch.randn(1, *shape, requires_grad=True)
    z = [each.requires_grad_() for each in draws(nets, 1)]
    states, said = walk(nets, z), nets.ascent(x)
    for number, (rung, h, d) in enumerate(zip(nets.rungs, states, said)):
        q = rung.posterior(d) if h is None else rung.posterior(h, d)
        wanted = [x, *z[:number]]
        for gradient in torch.autograd.grad(q.square().sum(), wanted, retain_graph=True):
            assert gradient.any()


def test_the_highest_stage_speaks_first() -> None:
    """Stages from the data up; their outputs from the top down, as often as they are read."""
    ascent = Ascent([Times(2), Times(3)], (1, 2))
    assert [d.item() for d in ascent(torch.ones(()))] == [6, 6, 2]


class Times(nn.Module):
    """A multiple."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return self.by * x
