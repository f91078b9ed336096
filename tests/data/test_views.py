"""Views: log p(data as given) = log p(view(data)) + log_volume, inverses, and binarisation's exact probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from samples import VARIABLES
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Normal

from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.views import Binarise, Identity, Scale, Standardise, View, view_for


@pytest.fixture
def _double() -> object:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


AFFINE: dict[str, tuple[View, tuple[int, ...]]] = {
    "identity": (Identity(), (3,)),
    "scale": (Scale(0, 255, size=4), (2, 2)),
    "scale from a negative low": (Scale(-2, 3, size=3), (3,)),
    "standardise by column": (Standardise([1.0, -2.0, 0.5], [0.5, 3.0, 10.0], size=3), (3,)),
    "standardise over all": (Standardise([1.0], [0.25], size=4), (2, 2)),
}


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize(("view", "shape"), AFFINE.values(), ids=AFFINE)
def test_the_log_volume_is_the_log_determinant_of_the_jacobian(view: View, shape: tuple[int, ...]) -> None:
    at = torch.rand(shape)
    jacobian = torch.autograd.functional.jacobian(view, at).reshape(at.numel(), at.numel())
    assert view.log_volume == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-12)


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize(("view", "shape"), AFFINE.values(), ids=AFFINE)
def test_the_inverse_undoes_the_view(view: View, shape: tuple[int, ...]) -> None:
    raw = torch.rand(5, 7, *shape)
    torch.testing.assert_close(view.inverse(view(raw)), raw, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("_double")
def test_a_standard_normal_through_standardise_is_the_normal_of_the_data() -> None:
    mean, std = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    view, raw = Standardise(mean.tolist(), std.tolist(), size=2), torch.randn(11, 2)
    through = Normal(0.0, 1.0).log_prob(view(raw)).sum(-1) + view.log_volume
    torch.testing.assert_close(through, Normal(mean, std).log_prob(raw).sum(-1), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("_double")
def test_a_density_through_scale_integrates_to_one_over_the_data() -> None:
    view, raw = Scale(0, 255), torch.linspace(0, 255, 100_001)
    density = (ContinuousBernoulli(torch.tensor(0.3)).log_prob(view(raw)) + view.log_volume).exp()
    assert float(torch.trapezoid(density, raw)) == pytest.approx(1, abs=1e-8)


def test_inverses_keep_to_the_range() -> None:
    beyond = torch.tensor([-0.5, 0.5, 1.5])
    assert Scale(0, 16).inverse(beyond).tolist() == [0, 8, 16]
    assert Binarise(17).inverse(beyond).tolist() == [0, 8, 16]
    assert Identity(0, 1).inverse(beyond).tolist() == [0, 0.5, 1]


def test_large_offsets_are_taken_off_before_precision_is_lost() -> None:
    raw = torch.tensor([[1.7e9 + 3.0], [1.7e9 - 1.0]], dtype=torch.float64)
    assert Standardise([1.7e9], [2.0])(raw).flatten().tolist() == [1.5, -0.5]


def drawn(levels: int, count: int, dtype: torch.dtype = torch.uint8) -> tuple[Tensor, Tensor]:
    """`count` draws at every level."""
    torch.manual_seed(0)
    raw = torch.arange(levels, dtype=dtype).repeat(count, 1)
    return raw, Binarise(levels)(raw)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_binarisation_has_the_stated_probability_at_every_level(levels: int) -> None:
    """z-tests at all levels; one in 10^5 runs fails by chance (Bonferroni over 256 levels, |z| < 5.5)."""
    count = 20_000
    _, ones = drawn(levels, count)
    p = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    z = (ones.double().mean(0) - p) / (p * (1 - p) / count).sqrt().clamp(min=1e-12)
    assert float(z.abs().max()) < 5.5


def test_black_stays_black_and_white_stays_white() -> None:
    view = Binarise(256)
    assert view(torch.zeros(2_000_000, dtype=torch.uint8)).sum() == 0
    assert view(torch.full((2_000_000,), 255, dtype=torch.uint8)).sum() == 2_000_000


def test_neighbouring_pixels_are_drawn_independently() -> None:
    """Two pixels share one 64-bit number; their correlation over 10^6 pairs is a z-score below 5."""
    torch.manual_seed(1)
    pairs = Binarise(256)(torch.full((1_000_000, 2), 100, dtype=torch.uint8)).double()
    centred = pairs - pairs.mean(0)
    correlation = (centred[:, 0] * centred[:, 1]).mean() / centred.var(0).prod().sqrt()
    assert abs(float(correlation)) * 1_000 < 5


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3, 5), (0, 4)])
def test_binarisation_takes_any_shape_and_integer_type(shape: tuple[int, ...]) -> None:
    for dtype in (torch.uint8, torch.int32, torch.int64):
        ones = Binarise(256)(torch.full(shape, 255, dtype=dtype))
        assert ones.shape == shape
        assert ones.dtype == torch.float32
        assert bool((ones == 1).all())


def test_binarisation_follows_torch_s_seed_and_leaves_the_pixels_alone() -> None:
    raw, first = drawn(256, 10)
    same, again = drawn(256, 10)
    assert torch.equal(first, again)
    assert torch.equal(raw, same)
    assert not torch.equal(first, Binarise(256)(raw))


def test_only_binarisation_is_random() -> None:
    assert Binarise(256).random
    assert not any(view.random for view in (Identity(), Scale(0, 1), Standardise([0.0], [1.0])))


@pytest.mark.parametrize("likelihood", ACCEPTS)
def test_every_accepted_pair_has_a_view_into_the_likelihood_s_support(likelihood: str) -> None:
    for kind in ACCEPTS[likelihood]:
        variable = VARIABLES[kind]
        low, high = torch.full((3, *variable.shape), variable.low), torch.full((3, *variable.shape), variable.high)
        seen = view_for(variable, likelihood)(torch.cat([low, high]))
        assert seen.dtype == torch.get_default_dtype()
        if likelihood in {"bernoulli", "continuous-bernoulli"}:
            assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
        if likelihood.startswith(("discretized", "categorical", "poisson", "negative")):
            assert torch.equal(seen, torch.cat([low, high]).float())


def test_the_view_of_real_values_standardises_by_the_training_rows() -> None:
    view = view_for(VARIABLES["real"], "gaussian")
    assert view(torch.tensor([3.0, 1.0])).tolist() == [1.0, -2.0]
    assert view.log_volume == pytest.approx(-math.log(2.0 * 0.5))


def test_counts_may_exceed_those_seen() -> None:
    assert view_for(VARIABLES["count"], "poisson").inverse(torch.tensor([-1.0, 99.0])).tolist() == [0, 99]


def test_a_view_moves_with_its_module_but_adds_nothing_to_its_state() -> None:
    view = Standardise([1.0], [2.0]).to(torch.float32)
    assert view.state_dict() == {}
    assert view(torch.tensor([3.0])).tolist() == [1.0]
