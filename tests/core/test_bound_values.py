"""Bounds of given log weights: what each is by hand, how they lie to one another, and what they refuse."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from agree import assert_close, refused
from exact import equal
from lowerbound.core import (
    Bound,
    Groups,
    Largest,
    LogMeanExp,
    Mean,
    Mixed,
    Partial,
    Renyi,
    Tempered,
    log_uniform,
    renyi,
    thermodynamic,
    thermodynamic_upper,
)

pytestmark = pytest.mark.usefixtures("double")

ALPHAS = (-3.0, -0.5, 0.0, 0.3, 0.9, 1.0, 1.5, 6.0)


@pytest.fixture
def log_w() -> Tensor:
    return 3 * torch.randn(12, 50)


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 12])
def test_groups_are_averaged_over_and_particles_summed_within(log_w: Tensor, groups: int) -> None:
    """M groups of K, not K groups of M: the two differ, and are easily taken for each other."""
    by_hand = torch.stack([each.exp().mean(0).log() for each in log_w.split(12 // groups)]).mean(0)
    assert_close(Groups(groups, LogMeanExp())(log_w, equal(12)), by_hand)
    if groups not in (1, 12):
        other = torch.stack([each.exp().mean(0).log() for each in log_w.split(groups)]).mean(0)
        assert (by_hand - other).abs().max() > 0.1


def test_groups_of_one_are_the_elbo_and_one_group_is_iwae(log_w: Tensor) -> None:
    assert_close(Groups(12, LogMeanExp())(log_w, equal(12)), Mean()(log_w, equal(12)))
    assert_close(Groups(1, LogMeanExp())(log_w, equal(12)), LogMeanExp()(log_w, equal(12)))


def test_groups_must_be_equal(log_w: Tensor) -> None:
    with refused("12 particles are not 5 equal groups; use a multiple of that number"):
        Groups(5, LogMeanExp())(log_w, equal(12))


def test_groups_lie_between_the_elbo_and_iwae(log_w: Tensor) -> None:
    """For every draw, since the log of a mean is at least the mean of logs; larger groups are tighter."""
    values = [Groups(count, LogMeanExp())(log_w, equal(12)) for count in (12, 6, 3, 1)]
    for looser, tighter in pairwise(values):
        assert (looser < tighter).all()


def test_a_mixture_lies_between_its_parts(log_w: Tensor) -> None:
    low, high = Mean()(log_w, equal(12)), LogMeanExp()(log_w, equal(12))
    for share in (0.0, 0.25, 1.0):
        mixed = Mixed(((share, Mean()), (1 - share, LogMeanExp())))(log_w, equal(12))
        assert_close(mixed, share * low + (1 - share) * high)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_renyi_is_the_log_of_a_power_mean(log_w: Tensor, alpha: float) -> None:
    power = 1 - alpha
    by_hand = log_w.exp().pow(power).mean(0).log() / power if power else log_w.mean(0)
    assert_close(renyi(alpha)(log_w, equal(12)), by_hand)


def test_renyi_falls_with_its_order(log_w: Tensor) -> None:
    orders = (-math.inf, *ALPHAS)
    values = [renyi(alpha)(log_w, equal(12)) for alpha in orders]
    for above, below in pairwise(values):
        assert (above > below).all()
    assert torch.equal(values[0], log_w.amax(0))
    assert torch.equal(renyi(0.0)(log_w, equal(12)), LogMeanExp()(log_w, equal(12)))


def test_renyi_passes_through_the_elbo_and_ends_at_the_largest(log_w: Tensor) -> None:
    for alpha in (1 - 1e-6, 1 + 1e-6):
        assert_close(Renyi(alpha)(log_w, equal(12)), Mean()(log_w, equal(12)), within=1e-4)
    assert_close(Renyi(-1e6)(log_w, equal(12)), Largest()(log_w, equal(12)), within=1e-4)
    with refused("Renyi(1) is a limit, the ELBO; use Mean()"):
        Renyi(1.0)


def test_the_tempered_mean_is_the_slope_of_the_log_of_the_mean_power(log_w: Tensor) -> None:
    for beta in (0.0, 0.2, 1.0):
        at = torch.tensor(beta, requires_grad=True)
        (slope,) = torch.autograd.grad(torch.logsumexp(at * log_w, 0).sum(), at)
        assert_close(Tempered(beta)(log_w, equal(12)).sum(), slope, within=1e-9)
    assert_close(Tempered(0.0)(log_w, equal(12)), log_w.mean(0))


def test_the_thermodynamic_sums_close_in_on_iwae(log_w: Tensor) -> None:
    """Lower ≤ IWAE ≤ upper for every draw, and with points halved the sum of the errors halves too."""
    iwae, before = LogMeanExp()(log_w, equal(12)), None
    for intervals in (1, 2, 4, 64, 1024):
        points = tuple(i / intervals for i in range(intervals + 1))
        low, high = thermodynamic(points)(log_w, equal(12)), thermodynamic_upper(points)(log_w, equal(12))
        assert (low < iwae).all()
        assert (high > iwae).all()
        spread = Tempered(1.0)(log_w, equal(12)) - log_w.mean(0)
        assert_close(high - low, spread / intervals, within=1e-9)
        assert before is None or (low > before).all()
        before = low
    assert_close(thermodynamic((0.0, 1.0))(log_w, equal(12)), Mean()(log_w, equal(12)))


def test_points_in_between_make_it_tighter_wherever_they_lie(log_w: Tensor) -> None:
    coarse, fine = ((0.0, 0.3, 1.0), (0.0, 0.01, 0.3, 0.8, 1.0))
    assert (thermodynamic(fine)(log_w, equal(12)) > thermodynamic(coarse)(log_w, equal(12))).all()
    assert (thermodynamic_upper(fine)(log_w, equal(12)) < thermodynamic_upper(coarse)(log_w, equal(12))).all()


def test_points_are_equally_spaced_in_their_logarithm() -> None:
    points = torch.tensor(log_uniform(6, 0.02))
    assert (points[0], points[1], points[-1]) == (0.0, 0.02, 1.0)
    assert_close(points[1:].log().diff(), -math.log(0.02) / 5)
    assert log_uniform(2, 0.3) == (0.0, 0.3, 1.0)


@pytest.mark.parametrize(("intervals", "first"), [(1, 0.5), (3, 0.0), (3, 1.0)])
def test_a_path_that_goes_nowhere_is_refused(intervals: int, first: float) -> None:
    ask = "a path from 0 to 1 needs 2 intervals or more and a first point in between"
    with refused(f"{ask}, not {intervals} and {first}"):
        log_uniform(intervals, first)


def test_the_largest_has_no_second_derivative(log_w: Tensor) -> None:
    complaint = "the largest log weight has a derivative that jumps, and DReG needs the second; use Pathwise or Score"
    with refused(complaint):
        Largest().path_weights(log_w, equal(12))


@pytest.mark.parametrize(
    "bound",
    [
        Mean(),
        LogMeanExp(),
        Renyi(0.4),
        Renyi(-2.0),
        Tempered(0.7),
        Groups(2, LogMeanExp()),
        Groups(2, Renyi(0.5)),
        Mixed(((0.3, Mean()), (0.7, Groups(4, LogMeanExp())))),
        thermodynamic(log_uniform(4, 0.1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("measure", ["equal", "each its own"])
def test_bounds_state_their_own_derivatives(bound: Bound, measure: str) -> None:
    """weights: the first derivative; path_weights: the first less the second; both against autograd."""
    log_w = (2 * torch.randn(4, 5)).requires_grad_()
    log_measure = equal(4) if measure == "equal" else torch.randn(4, 5).log_softmax(0)
    (first,) = torch.autograd.grad(bound(log_w, log_measure).sum(), log_w, create_graph=True)
    assert_close(bound.weights(log_w, log_measure), first, within=1e-11)
    assert_close(bound.path_weights(log_w, log_measure), first - seconds(first, log_w), within=1e-11)


def seconds(first: Tensor, log_w: Tensor) -> Tensor:
    """∂ first_k / ∂ log w_k."""
    if not first.requires_grad:
        return torch.zeros_like(log_w)
    rows = [torch.autograd.grad(row.sum(), log_w, retain_graph=True, allow_unused=True)[0] for row in first]
    return torch.stack([torch.zeros(log_w.shape[1]) if row is None else row[k] for k, row in enumerate(rows)])


def test_the_largest_has_the_weight_of_one(log_w: Tensor) -> None:
    at = log_w.requires_grad_()
    (first,) = torch.autograd.grad(Largest()(at, equal(12)).sum(), at)
    assert torch.equal(Largest().weights(at, equal(12)), first)


def test_a_partial_bound_has_the_decoders_value_and_the_encoders_path(log_w: Tensor) -> None:
    decoder, encoder = LogMeanExp(), Groups(3, LogMeanExp())
    both = Partial(decoder, encoder)
    assert torch.equal(both(log_w, equal(12)), decoder(log_w, equal(12)))
    assert_close(both.weights(log_w, equal(12)), decoder.weights(log_w, equal(12)))
    assert torch.equal(both.path_weights(log_w, equal(12)), encoder.path_weights(log_w, equal(12)))


def test_a_group_that_counts_for_nothing_still_teaches_its_encoder() -> None:
    """In single precision its weight among all particles is zero, and what passes through it must not be."""
    log_w = torch.tensor([[0.0], [-1.0], [-500.0], [-502.0]], dtype=torch.float32)
    both = Partial(LogMeanExp(), Groups(2, LogMeanExp()))
    measure = equal(4).float()
    first, path = both.weights(log_w, measure), both.path_weights(log_w, measure)
    assert LogMeanExp().weights(log_w, measure)[2] == 0
    assert_close(first * (path / first), path, within=1e-6)
    assert_close(first, LogMeanExp().weights(log_w, measure), within=1e-15)


@pytest.mark.parametrize("bound", [renyi(0.5), Groups(3, LogMeanExp()), thermodynamic(log_uniform(5, 0.1))], ids=str)
def test_leading_and_trailing_dimensions_are_kept(bound: Bound, log_w: Tensor) -> None:
    """Controls ask for a bound of many variations of the weights at once, with dimensions of their own."""
    many = torch.stack([log_w, log_w + 1], 1)
    found = bound(many, equal(12)[:, None])
    assert_close(found[0], bound(log_w, equal(12)))
    assert_close(found[1], bound(log_w, equal(12)) + 1, within=1e-11)


def test_bounds_are_values() -> None:
    assert Renyi(0.5) == Renyi(0.5) != Renyi(0.6)
    assert Groups(2, LogMeanExp()) == Groups(2, LogMeanExp()) != Groups(4, LogMeanExp())
    assert thermodynamic(log_uniform(3, 0.1)) == thermodynamic(log_uniform(3, 0.1))
