"""Rows written symbol by symbol: against sums over all rows, and one pass against many steps."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from agree import LIMIT, assert_close, assert_mean
from lowerbound.core import ELBO, Autoregressive, Batch, Gaussian, Latent, standard_normal, total
from lowerbound.core.autoregressive import END, UNKNOWN, Written
from lowerbound.core.observation import observed_log_prob
from lowerbound.nets.sequence import Sizes
from lowerbound.nets.sequence_causal import GRUWriter, TransformerWriter

pytestmark = pytest.mark.usefixtures("double")

SYMBOLS, PLACES, GIVEN = 3, 4, 2
WRITERS = (GRUWriter, TransformerWriter)
ALL = torch.tensor(list(product(range(SYMBOLS), repeat=PLACES)), dtype=torch.float64)
"""Every row there is, (81, 4)."""


def part(writer: type[nn.Module], word_dropout: float = 0.0, ends: bool = False) -> Autoregressive:
    net = writer(Sizes(SYMBOLS, PLACES, width=8, layers=2, embedding=4), GIVEN)
    for p in net.parameters():
        nn.init.normal_(p, std=0.7)
    return Autoregressive(net, word_dropout, ends).eval()


def written(writer: type[nn.Module], *lead: int, ends: bool = False) -> Written:
    d = part(writer, ends=ends)(torch.randn(*lead, GIVEN))
    assert isinstance(d, Written)
    return d


@pytest.mark.parametrize("writer", WRITERS)
def test_all_rows_together_have_probability_one(writer: type[nn.Module]) -> None:
    d = written(writer, 5)
    log_p = d.log_prob(ALL.unsqueeze(1))
    assert log_p.shape == (81, 5)
    assert log_p.std() > 0.3
    assert_close(log_p.exp().sum(0).detach(), 1.0)


@pytest.mark.parametrize("writer", WRITERS)
def test_the_rows_of_each_length_that_end_have_probability_one_together(writer: type[nn.Module]) -> None:
    """Texts up to their end, or of all places without one: NaN beyond the end."""
    texts = {tuple(row[: row.index(END) + 1] if END in row else row) for row in ALL.int().tolist()}
    rows = torch.tensor([(*text, *[math.nan] * (PLACES - len(text))) for text in texts])
    assert_close(written(writer).log_prob(rows).exp().sum().detach(), 1.0)


@pytest.mark.parametrize("writer", WRITERS)
def test_one_pass_gives_what_steps_give(writer: type[nn.Module]) -> None:
    d = written(writer, 6)
    x = torch.randint(0, SYMBOLS, (6, PLACES))
    state, last, steps = d.net.begin(d.given), None, []
    for place in range(PLACES):
        logits, state = d.net.next(last, state)
        last = x[:, place]
        steps.append(logits.log_softmax(-1).gather(-1, last.unsqueeze(-1)).squeeze(-1))
    assert_close(torch.stack(steps).sum(0).detach(), d.log_prob(x.double()).detach())


@pytest.mark.parametrize("writer", WRITERS)
def test_no_place_sees_a_later_one(writer: type[nn.Module]) -> None:
    net = part(writer).net
    x, given = torch.randint(0, SYMBOLS, (1, PLACES)), torch.randn(1, GIVEN)
    before = net(x, given)
    for place in range(PLACES):
        changed = x.clone()
        changed[:, place:] = (changed[:, place:] + 1) % SYMBOLS
        after = net(changed, given)
        assert_close(after[:, : place + 1].detach(), before[:, : place + 1].detach())
        assert place == PLACES - 1 or (after[:, place + 1] - before[:, place + 1]).abs().max() > 1e-3


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_given_is_read_at_every_place(writer: type[nn.Module]) -> None:
    net, given = part(writer).net, torch.randn(1, GIVEN, requires_grad=True)
    logits = net(torch.zeros(1, PLACES, dtype=torch.int64), given)
    slopes = [torch.autograd.grad(logits[0, place, 0], given, retain_graph=True)[0] for place in range(PLACES)]
    assert min(slope.abs().max() for slope in slopes) > 1e-3


@pytest.mark.parametrize("writer", WRITERS)
def test_draws_are_as_frequent_as_they_are_probable(writer: type[nn.Module]) -> None:
    """Two given vectors × 81 rows at 4.5 standard errors: one in 900 to fail by chance."""
    d = written(writer, 2)
    number = (d.sample((30_000,)) * torch.tensor([27.0, 9.0, 3.0, 1.0])).sum(-1).long()
    assert_mean(nn.functional.one_hot(number, 81).double(), d.log_prob(ALL.unsqueeze(1)).exp().T.detach())


@pytest.mark.parametrize("writer", WRITERS)
def test_the_mode_is_greedy(writer: type[nn.Module]) -> None:
    d, row = written(writer), torch.full((PLACES,), math.nan)
    for place in range(PLACES):
        tries = row.expand(SYMBOLS, -1).clone()
        tries[:, place] = torch.arange(SYMBOLS)
        row = tries[d.log_prob(tries).argmax()]
    assert_close(d.mode, row)


@pytest.mark.parametrize("writer", WRITERS)
def test_any_leading_shape(writer: type[nn.Module]) -> None:
    p = part(writer)
    z, c = torch.randn(5, 3, 1), torch.randn(3, 1)
    d = p(z, c)
    x = torch.randint(0, SYMBOLS, (3, PLACES)).double()
    assert (d.batch_shape, d.event_shape) == ((5, 3), (PLACES,))
    assert d.sample((2,)).shape == (2, 5, 3, PLACES)
    assert d.mode.shape == (5, 3, PLACES)
    assert d.log_prob(d.sample((2,))).shape == (2, 5, 3)
    for k, b in product(range(5), range(3)):
        assert_close(p(z[k, b], c[b]).log_prob(x[b]).detach(), d.log_prob(x)[k, b].detach())
    assert_close(d.expand((2, 5, 3)).log_prob(x)[1].detach(), d.log_prob(x).detach())


@pytest.mark.parametrize("writer", WRITERS)
def test_gaps_at_the_end_are_nothing_and_others_leave_a_density(writer: type[nn.Module]) -> None:
    d = written(writer)
    for gaps in product((False, True), repeat=PLACES):
        known = [place for place in range(PLACES) if not gaps[place]]
        rows = torch.full((SYMBOLS ** len(known), PLACES), math.nan)
        rows[:, known] = torch.tensor(list(product(range(SYMBOLS), repeat=len(known)))).double().reshape(len(rows), -1)
        assert_close(d.log_prob(rows).exp().sum().detach(), 1.0)
        if known and known == list(range(len(known))):  # at the end: the marginal of what comes before
            fills = d.log_prob(ALL).exp()
            same = (ALL[:, known] == rows[:, None, known]).all(-1).double()
            assert_close(d.log_prob(rows).exp().detach(), (same @ fills).detach())
            assert_close(d.log_prob(rows[:, : len(known)]).detach(), d.log_prob(rows).detach())


@pytest.mark.parametrize("writer", WRITERS)
def test_what_lies_under_a_mask_has_no_slope(writer: type[nn.Module]) -> None:
    p, x = part(writer), torch.randint(0, SYMBOLS, (4, PLACES)).double()
    given, mask = torch.randn(2, 4, GIVEN), torch.rand(4, PLACES) < 0.5
    found = []
    for hidden in (0.0, 7.0, math.nan, math.inf):
        p.zero_grad()
        log_p = observed_log_prob(p(given), torch.where(mask, x, hidden), mask)
        log_p.sum().backward()
        found.append([log_p.detach(), *(each.grad.clone() for each in p.parameters())])
    assert all(torch.equal(one, other) for each in found[1:] for one, other in zip(found[0], each))


def marginal(d: Written, x: Tensor, told: Tensor, ends: bool) -> Tensor:
    """p of what is told, summed over all rows; where rows end, over those alone that have not ended before it."""
    last = int(told.nonzero().max()) if told.any() else 0
    fits = (ALL[:, told] == x[told]).all(-1)
    if ends:
        gaps = ~told & (torch.arange(PLACES) < last)
        fits &= ~(ALL[:, gaps] == END).any(-1)
    return d.log_prob(ALL).exp()[fits].sum().detach()


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_fillings_weigh_what_was_told_at_its_marginal(writer: type[nn.Module], ends: bool) -> None:
    """16 sets of gaps × 2 × 2 means at 4.5 standard errors: one in 2 300 to fail by chance."""
    d, x = written(writer, ends=ends), torch.tensor([2.0, 1.0, 2.0, 1.0])
    for gaps in product((False, True), repeat=PLACES):
        told = ~torch.tensor(gaps)
        rows, log_weight = d.expand((4000,)).fill(torch.where(told, x, math.nan), told)
        assert torch.equal(rows[:, told], x[told].expand(4000, -1))
        assert_mean(log_weight.exp(), marginal(d, x, told, ends))
        if ends:
            assert not (rows[:, : int(told.nonzero().max()) if told.any() else 0] == END).any()


@pytest.mark.parametrize("writer", WRITERS)
def test_gaps_at_the_end_are_filled_as_probable_as_they_are(writer: type[nn.Module]) -> None:
    """9 frequencies at 4.5 standard errors: one in 16 000 to fail by chance."""
    d, start = written(writer), torch.tensor([1.0, 0.0, math.nan, math.nan])
    drawn = d.expand((20_000,)).completed(start)
    number = (3 * drawn[:, 2] + drawn[:, 3]).long()
    ahead = d.log_prob(ALL).exp()[(ALL[:, :2] == start[:2]).all(-1)].detach()
    assert_mean(nn.functional.one_hot(number, 9).double(), ahead / ahead.sum())


@pytest.mark.parametrize("writer", WRITERS)
def test_filling_by_the_weightiest_particle(writer: type[nn.Module]) -> None:
    d = written(writer, 5, 2)
    x = torch.tensor([[0.0, math.nan, 2.0, math.nan], [math.nan] * 4])
    shares = torch.zeros(5, 2)
    shares[3, 0] = shares[1, 1] = 1
    found = d.filled(x, shares)
    assert torch.equal(found[0, [0, 2]], x[0, [0, 2]])
    assert_close(found[1], d.mode[1, 1])


@pytest.mark.parametrize("writer", WRITERS)
def test_word_dropout_hides_what_is_read_and_scores_it_all_the_same(writer: type[nn.Module]) -> None:
    """For each draw of what is hidden a density, from which it also draws; in eval mode nothing is hidden."""
    p = part(writer, word_dropout=0.5).train()
    d = p(torch.randn(3, GIVEN))
    assert d.hidden is not None
    assert_close(d.log_prob(ALL.unsqueeze(1)).exp().sum(0).detach(), 1.0)
    x = torch.randint(0, SYMBOLS, (3, PLACES)).double()
    shown = torch.where(d.hidden, UNKNOWN, x.long())
    each = p.net(shown, d.given).log_softmax(-1).gather(-1, x.long().unsqueeze(-1)).squeeze(-1)
    assert_close(d.log_prob(x).detach(), each.sum(-1).detach())
    assert p.eval()(torch.zeros(1, GIVEN)).hidden is None
    assert part(writer).train()(torch.zeros(1, GIVEN)).hidden is None


@pytest.mark.parametrize("writer", WRITERS)
def test_draws_under_word_dropout_are_from_what_is_scored(writer: type[nn.Module]) -> None:
    """81 rows at 4.5 standard errors: one in 1 800 to fail by chance."""
    p = part(writer, word_dropout=0.5).train()
    d = p(torch.randn(GIVEN))
    number = (d.sample((30_000,)) * torch.tensor([27.0, 9.0, 3.0, 1.0])).sum(-1).long()
    assert_mean(nn.functional.one_hot(number, 81).double(), d.log_prob(ALL).exp().detach())


def test_the_share_of_words_that_is_hidden() -> None:
    d = part(GRUWriter, word_dropout=0.3).train()(torch.zeros(5000, GIVEN))
    assert_mean(d.hidden.double().flatten(), 0.3)


def test_a_bound_under_word_dropout_is_a_bound_on_the_mean_over_what_is_hidden() -> None:
    """E_d ELBO_d ≤ log E_d p_d(x), the latter summed over all 16 sets of hidden symbols and a fine grid of z."""
    p = Autoregressive(part(GRUWriter, word_dropout=0.5).net, 0.5).train()
    posterior = Gaussian(nn.Sequential(nn.Linear(PLACES, 2 * GIVEN), nn.Unflatten(-1, (GIVEN, 2))))
    model, x = Latent(standard_normal(GIVEN), posterior, p), torch.tensor([[2.0, 0.0, 1.0, 2.0]])
    with torch.no_grad():
        bounds = torch.stack([-total(ELBO()(model.trace(Batch({"x": x}), 500))) for _ in range(200)])
        grid = torch.cartesian_prod(*[torch.linspace(-5, 5, 41)] * GIVEN)
        weight = standard_normal(GIVEN)().log_prob(grid).softmax(0)
        masks = [torch.tensor(each).expand(len(grid), -1) for each in product((False, True), repeat=PLACES)]
        exact = torch.stack([weight @ Written(p.net, grid, mask).log_prob(x[0]).exp() for mask in masks]).mean().log()
    assert bounds.mean() < exact - LIMIT * bounds.std() / len(bounds) ** 0.5


@pytest.mark.parametrize("writer", WRITERS)
def test_rough_products_are_summed_in_single_precision(writer: type[nn.Module]) -> None:
    torch.set_default_dtype(torch.float32)
    p, x = part(writer), torch.zeros(3, PLACES)
    with torch.autocast("cpu", torch.bfloat16):
        log_p = p(torch.randn(3, GIVEN)).log_prob(x)
    assert log_p.dtype == torch.float32
