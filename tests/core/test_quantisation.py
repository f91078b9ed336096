"""Codebooks: nearest codes, moving averages, revival, straight-through gradients, and a bound that can be summed."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import lowerbound.core.quantisation as q
from agree import assert_close, assert_mean
from lowerbound.core import AnalyticELBO, Batch, Bernoulli, Latent, Rate, log_marginal, total
from lowerbound.core.quantisation import (
    FSQ,
    CodebookUse,
    CodePrior,
    Commitment,
    EMACodebook,
    Quantised,
    QuantisedPoint,
    Quantiser,
    drawn_codes,
    levels_for,
)
from lowerbound.nets.autoregressive import CausalTransformer

pytestmark = pytest.mark.usefixtures("double")

QUANTISERS = {"ema": lambda: EMACodebook(6, 3), "fsq": lambda: FSQ((4, 3, 2)), "one number": lambda: FSQ((5,))}


@pytest.fixture(params=QUANTISERS)
def quantiser(request: pytest.FixtureRequest) -> Quantiser:
    return QUANTISERS[request.param]().eval()


def test_codes_and_numbers_are_one_to_one(quantiser: Quantiser) -> None:
    numbers = torch.arange(quantiser.codes)
    vectors = quantiser.vectors(numbers)
    assert vectors.shape == (quantiser.codes, quantiser.width)
    assert torch.equal(quantiser.index(vectors), numbers)
    assert len(vectors.unique(dim=0)) == quantiser.codes


def test_what_is_quantised_is_exactly_a_code(quantiser: Quantiser) -> None:
    """Bit for bit, though the gradient is that of h; numbers found again from the vectors alone."""
    h = (3 * torch.randn(2, 50, quantiser.width)).requires_grad_()
    z = quantiser(h)
    assert torch.equal(z, quantiser.vectors(quantiser.index(z)))
    assert z.requires_grad


def test_the_codebook_takes_the_nearest() -> None:
    book, h = EMACodebook(20, 4).eval(), 2 * torch.randn(3, 100, 4)
    assert torch.equal(book.index(h), torch.cdist(h.reshape(-1, 4), book.codebook).argmin(-1).reshape(3, 100))


def test_the_gradient_goes_straight_through() -> None:
    book, weight = EMACodebook(6, 3).eval(), torch.randn(5, 3)
    h = torch.randn(5, 3, requires_grad=True)
    (weight * book(h)).sum().backward()
    assert torch.equal(h.grad, weight)
    fsq, h = FSQ((4, 3, 2)), torch.randn(5, 3, requires_grad=True)
    (weight * fsq(h)).sum().backward()
    assert_close(h.grad, weight * (1 - torch.tanh(h.detach()).square()))


def test_scalars_are_rounded_to_the_nearest_of_their_levels() -> None:
    fsq = FSQ((5, 2))
    h = 2 * torch.randn(1000, 2)
    for i, levels in enumerate((torch.linspace(-1, 1, 5), torch.tensor([-1.0, 1.0]))):
        nearest = levels[(torch.tanh(h[:, i : i + 1]) - levels).abs().argmin(1)]
        assert_close(fsq(h)[:, i], nearest)


@pytest.mark.parametrize("codes", [2, 3, 8, 9, 100, 512, 1000, 5000])
def test_levels_make_nearly_as_many_codes_as_asked_for(codes: int) -> None:
    levels = levels_for(codes)
    assert 0.7 * codes <= math.prod(levels) <= codes
    assert max(levels) <= 8


def by_hand(book: EMACodebook, batches: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The paper's averages N and m, each kept by itself, with e = m / N."""
    n, m, e = book.usage.clone(), book.usage[:, None] * book.codebook, book.codebook.clone()
    for h in batches:
        chosen = torch.nn.functional.one_hot(torch.cdist(h, e).argmin(-1), len(e)).double()
        n = q.DECAY * n + (1 - q.DECAY) * chosen.sum(0)
        m = q.DECAY * m + (1 - q.DECAY) * chosen.T @ h
        e = m / n[:, None]
    return n, e


def test_a_codebook_follows_moving_averages() -> None:
    book = EMACodebook(4, 2)
    book.usage.fill_(3.0)
    batches = [torch.randn(64, 2) for _ in range(20)]
    usage, codes = by_hand(book, batches)
    for h in batches:
        book(h)
    assert_close(book.usage, usage)
    assert_close(book.codebook, codes)


def test_a_codebook_finds_the_clusters_of_its_data() -> None:
    """From nothing: the first batch places the codes, and each comes to rest at a mean."""
    centres = torch.tensor([[10.0, 0.0], [-10.0, 0.0], [0.0, 10.0]])
    book = EMACodebook(16, 2)
    for _ in range(400):
        book(centres[torch.randint(3, (64,))] + 0.1 * torch.randn(64, 2))
    assert torch.cdist(book.codebook, centres).min(1).values.max() < 0.5
    assert torch.cdist(book.codebook, centres).min(0).values.max() < 0.1


def test_a_dead_code_comes_back_on_a_vector_of_the_batch_and_a_living_one_stays() -> None:
    book = EMACodebook(3, 2)
    book.codebook.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [90.0, 90.0]]))
    book.usage.copy_(torch.tensor([10.0, 10.0, 1e-3]))
    h = torch.tensor([[0.0, 0.0], [5.0, 5.0]])
    assert torch.equal(book(h), h)
    assert any(torch.equal(book.codebook[2], vector) for vector in h)
    assert_close(book.codebook[:2], h)
    assert_close(book.usage[2], (q.DECAY * 20.001 + (1 - q.DECAY) * 2) / 3)


def test_a_dead_code_that_this_batch_uses_is_not_moved_away_from_it() -> None:
    book = EMACodebook(3, 2)
    book.codebook.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [90.0, 90.0]]))
    book.usage.copy_(torch.tensor([10.0, 10.0, 1e-3]))
    z = book(torch.tensor([[90.0, 91.0]]))
    assert torch.equal(z[0], book.codebook[2])
    assert torch.cdist(z, torch.tensor([[90.0, 91.0]])) < 0.2


def test_what_is_not_finite_leaves_no_trace() -> None:
    broken, whole = EMACodebook(4, 2), EMACodebook(4, 2)
    whole.load_state_dict(broken.state_dict())
    for book in (broken, whole):
        book.usage.fill_(1.0)
    h = torch.randn(64, 2)
    worse = torch.cat([h, torch.tensor([[math.nan, 0.0], [math.inf, 1.0]])])
    broken(worse)
    whole(h)
    assert_close(broken.codebook, whole.codebook)
    before = broken.codebook.clone()
    broken(torch.full((8, 2), math.nan))
    assert torch.equal(broken.codebook, before)
    empty = EMACodebook(4, 2)
    empty(torch.full((8, 2), math.nan))
    assert empty.codebook.isfinite().all()


def test_in_eval_mode_the_codebook_stands_still() -> None:
    book = EMACodebook(4, 2).eval()
    before = {name: value.clone() for name, value in book.state_dict().items()}
    book(torch.randn(64, 2))
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


TOGETHER = """
import sys, torch, torch.distributed as dist
from safetensors.torch import save_file
from lowerbound.core.quantisation import EMACodebook

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
book, h = EMACodebook(8, 2), torch.randn(64, 2)
book.usage.copy_(torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 0]))
book.codebook[7] = 99.0
torch.manual_seed(rank)
book(h[rank::2])
save_file(book.state_dict(), f"{sys.argv[1]}/rank{rank}.safetensors")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_processes_add_up_their_batches_and_keep_one_codebook(tmp_path: Path) -> None:
    """Two halves of a batch in two processes move the codes as the whole batch in one."""
    (tmp_path / "script.py").write_text(TOGETHER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = subprocess.run([*launch, str(tmp_path / "script.py"), str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    book, h = EMACodebook(8, 2), torch.randn(64, 2)
    book.usage.copy_(torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 0]))
    book.codebook[7] = 99.0
    book(h)
    assert_close(first["usage"], book.usage, within=1e-5)
    assert_close(first["codebook"][:7], book.codebook[:7], within=1e-5)
    assert any(torch.equal(first["codebook"][7], vector) for vector in h)


class Tiny:
    """Codes 0 … 2 at three places: 27 values of z, so that every sum can be made."""

    def __init__(self) -> None:
        self.book = EMACodebook(3, 2)
        net = CausalTransformer(3, 3, 8, 1)
        for p in net.parameters():
            nn.init.normal_(p, std=0.7)
        encoder = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(-1, (3, 2)))
        decoder = nn.Sequential(nn.Flatten(-2), nn.Linear(6, 4))
        self.model = Latent(CodePrior(net, (3,), self.book), Quantised(encoder, self.book, 2), Bernoulli(decoder))
        self.model.eval()
        self.batch = Batch({"x": torch.randint(2, (5, 4)).double()})
        self.grids = torch.tensor(list(itertools.product(range(3), repeat=3)))


def test_the_prior_is_a_mass_and_its_samples_follow_it() -> None:
    tiny = Tiny()
    p = tiny.model.prior()
    mass = p.log_prob(tiny.book.vectors(tiny.grids)).exp().detach()
    assert_close(mass.sum(), 1.0)
    found = tiny.book.index(p.sample((40_000,)))
    assert_mean((found[:, None] == tiny.grids).all(-1).double(), mass)


def test_the_elbo_is_below_log_p_by_the_posterior_mass_of_other_codes() -> None:
    """log p(x) by the sum over all z; the bound is its one term at the encoder's code, and importance sampling too."""
    tiny = Tiny()
    vectors = tiny.book.vectors(tiny.grids)[:, None].expand(-1, 5, -1, -1)
    joint = tiny.model.prior().log_prob(vectors) + tiny.model.decode(vectors)["x"].log_prob(tiny.batch.x["x"])
    trace = tiny.model.trace(tiny.batch, 4)
    elbo = -torch.stack(list(AnalyticELBO()(trace).values())).sum(0)
    chosen = (tiny.book.index(trace.q.value)[None] == tiny.grids[:, None]).all(-1)
    assert_close(elbo, (joint * chosen).sum(0))
    assert (elbo < joint.logsumexp(0)).all()
    assert trace.certain
    found = log_marginal(tiny.model, tiny.batch, 5000)
    assert_close(found.log_p, elbo)
    assert_close(found.stderr, 0.0, within=1e-7)
    assert_close(found.ess, 5000.0, within=1e-6)


def test_the_posterior_is_a_mass() -> None:
    tiny = Tiny()
    d = tiny.model.infer(tiny.batch)
    everywhere = tiny.book.vectors(tiny.grids)[:, None].expand(-1, 5, -1, -1)
    assert_close(d.log_prob(everywhere).exp().sum(0), 1.0)
    assert d.support.is_discrete
    assert d.support.check(d.sample()).all()
    assert tiny.model.trace(tiny.batch).proper
    assert_close(d.entropy(), 0.0)


def test_the_prior_learns_from_codes_and_teaches_them_nothing() -> None:
    tiny = Tiny()
    total(Rate()(tiny.model.trace(tiny.batch, 2))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tiny.model.prior.parameters())
    assert all(p.grad is None or not p.grad.any() for p in tiny.model.posterior.parameters())


def test_commitment_is_the_squared_distance_and_pulls_the_encoder_alone() -> None:
    tiny = Tiny()
    trace = tiny.model.trace(tiny.batch, 2)
    raw = tiny.model.posterior.net(tiny.batch.x["x"])
    term = Commitment()(trace)["commitment"]
    assert_close(term, (raw - tiny.book(raw).detach()).square().sum((-1, -2)))
    expected = torch.autograd.grad((raw - trace.q.value.detach()).square().sum(), tiny.model.posterior.net[0].weight)
    (found,) = torch.autograd.grad(term.sum(), tiny.model.posterior.net[0].weight)
    assert_close(found, expected[0])


def test_the_codebook_is_kept_once_and_learned_by_no_optimiser() -> None:
    model = Tiny().model
    assert [name for name in model.state_dict() if "codebook" in name] == ["posterior.quantiser.codebook"]
    assert not any("quantiser" in name for name, _ in model.named_parameters())


def test_a_step_trains_on_the_codes_that_it_scores() -> None:
    """The codebook moves between q and p; what p scores must still be the codes that q chose."""
    tiny = Tiny()
    for _ in range(10):
        tiny.model.train()
        chosen = tiny.book.index(tiny.model.posterior.net(tiny.batch.x["x"]).detach())
        trace = tiny.model.trace(tiny.batch)
        assert torch.equal(tiny.book.index(trace.z[0]), chosen)


def test_use_is_counted_over_the_data() -> None:
    book = EMACodebook(8, 1).eval()
    value = book.vectors(torch.tensor([[0, 1], [1, 5], [0, 1]]))

    class Seen:
        def __init__(self, rows: Tensor) -> None:
            self.named_z, self.log_p = {"z": rows[None]}, torch.full((1, len(rows)), -2 * math.log(2))

    meter = CodebookUse(book)
    for rows in (value[:1], value[1:]):
        meter.add(Seen(rows))
    entropy = -(2 / 6 * math.log(2 / 6) + 3 / 6 * math.log(3 / 6) + 1 / 6 * math.log(1 / 6))
    figures = meter.figures()["codebook"]
    assert figures["codes"] == 8
    assert figures["used"] == 3 / 8
    assert figures["perplexity"] == pytest.approx(math.exp(entropy))
    assert figures["bits_per_code"] == pytest.approx(1.0)


def test_expanded_posteriors_keep_their_code() -> None:
    d = QuantisedPoint(torch.ones(4, 3, 2), torch.zeros(4, 3, 2), 2)
    wide = d.expand((5, 4))
    assert wide.batch_shape == (5, 4)
    assert wide.sample((7,)).shape == (7, 5, 4, 3, 2)
    assert_close(wide.error, 6.0)
    assert_close(d.variance, 0.0)


def test_codes_are_drawn_row_by_row() -> None:
    torch.manual_seed(3)
    rows = drawn_codes(CausalTransformer(5, 4, 8, 1), 7)
    assert rows.shape == (7, 4)
    assert ((rows >= 0) & (rows < 5)).all()
