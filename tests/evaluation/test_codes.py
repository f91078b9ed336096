"""The matrix of codes: latents of any names and shapes there and back, and how codes spread, against exact answers."""

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from lowerbound.core.certain import PointMass
from lowerbound.evaluation.codes import Latents, Layout, matrix, means, spread


@pytest.mark.parametrize(
    "z",
    [
        torch.randn(5, 3),
        torch.randn(5, 2, 4, 4),
        torch.randn(5),
        {"top": torch.randn(5, 2), "bottom": torch.randn(5, 3, 2), "switch": torch.randn(5)},
        {"only": torch.randn(5, 2)},
    ],
)
def test_latents_go_into_a_matrix_and_come_back(z: Latents) -> None:
    layout, codes = Layout.of(z), matrix(z)
    back = layout.latents(codes)
    assert codes.shape == (5, layout.width)
    if isinstance(z, torch.Tensor):
        assert torch.equal(back, z)
    else:
        assert {name: values.tolist() for name, values in back.items()} == {n: v.tolist() for n, v in z.items()}


def test_the_columns_are_in_the_order_of_the_names() -> None:
    z = {"b": torch.zeros(1, 2), "a": torch.ones(1, 1)}
    assert matrix(z).tolist() == [[0, 0, 1]]


def test_the_mean_of_symbols_is_that_of_their_numbers() -> None:
    q = Categorical(torch.tensor([[0.5, 0.0, 0.5]]))
    assert means({"k": q})["k"].tolist() == [1.0]


def test_the_spread_is_that_of_draws_from_the_posteriors(double: None) -> None:
    loc, scale = torch.randn(300, 3) * torch.tensor([3.0, 0.0, 1.0]) + 2, torch.rand(300, 3) + 0.1
    found = spread(Independent(Normal(m, s), 1) for m, s in zip(loc.split(64), scale.split(64)))
    torch.testing.assert_close(found.centre, loc.mean(0))
    torch.testing.assert_close(found.activity, loc.var(0, unbiased=False))
    assert found.order == [0, 2, 1]
    draws = loc + scale * torch.randn(1000, 300, 3)
    torch.testing.assert_close(found.scale, draws.flatten(0, 1).std(0), rtol=0.02, atol=0)


def test_points_have_the_spread_of_the_codes_alone() -> None:
    found = spread([{"z": Independent(PointMass(torch.tensor([[1.0], [3.0]])), 1)}])
    assert found.scale.tolist() == [1.0]
