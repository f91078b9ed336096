"""Gradients of discrete latents: their value is the bound, their mean the enumerated gradient or, where biased, not.

Each of some ten parameters of fifteen cases is compared at 4.5 standard errors: one seed in a thousand would fail.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from agree import LIMIT, assert_close, assert_mean, refused, z_scores
from lowerbound.core import (
    ELBO,
    IWAE,
    RELAX,
    AnalyticELBO,
    Average,
    Baselined,
    Batch,
    Bernoulli,
    DisARM,
    Distortion,
    Enumerate,
    Estimator,
    Fixed,
    GumbelSoftmax,
    GumbelStraightThrough,
    Homoscedastic,
    Latent,
    LogMeanExp,
    Mean,
    Objective,
    OfRelaxed,
    OneHot,
    Predicted,
    Rate,
    Score,
    SignalScale,
    StraightThrough,
    bits,
    leave_one_out,
    no_control,
    one_hot,
    total,
)
from lowerbound.core.baselines import DECAY, RunningMean
from toys import Affine, Bits, Constant, Mixture, TwoLatents, gradient, gradients

pytestmark = pytest.mark.usefixtures("double")

DRAWS = 40_000


class Beside(nn.Module):
    """A control: a small network of x and of the softened scores beside it."""

    def __init__(self, x: int, width: int) -> None:
        super().__init__()
        self.x, self.z, self.out = nn.Linear(x, 6), nn.Linear(width, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor, soft: Tensor) -> Tensor:
        return self.out(torch.tanh(self.x(x) + self.z(soft)))


class Free(nn.Module):
    """Logits of two symbols out of three, the same for all data."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), 2, 3)


def symbols() -> Latent:
    """Two symbols out of three each, x ~ N(W z, I)."""
    prior = Fixed(partial(one_hot, event_dims=2), logits=nn.Parameter(torch.randn(2, 3)))
    decoder = nn.Sequential(nn.Flatten(-2), Affine(torch.randn(4, 6), torch.zeros(4)))
    return Latent(prior, OneHot(Free(), 2), Homoscedastic(decoder, torch.zeros(())))


def toy(latent: str) -> tuple[Latent, Tensor]:
    """A model with a posterior that is off, and a datum."""
    if latent == "bits":
        made = Bits()
        return made.model(shift=0.8), made.data(1).x["x"][0]
    if latent == "one-hot":
        mixture = Mixture()
        return mixture.amortised(Constant(torch.randn(3))), mixture.data(1).x["x"][0]
    return symbols(), torch.randn(4)


WIDTHS = {"bits": (3, 3), "one-hot": (2, 3), "symbols": (4, 6)}
"""Numbers in x and in z."""


def estimator(name: str, latent: str = "bits") -> Estimator:
    """One with a state of its own that is not trivial."""
    x, z = WIDTHS[latent]
    made = {
        "average": lambda: Baselined(Average()),
        "predicted": lambda: Baselined(Predicted(nn.Linear(x, 1))),
        "disarm": DisARM,
        "relax": lambda: RELAX(Beside(x, z), temperature=0.7),
        "straight-through": StraightThrough,
        "gumbel-straight-through": lambda: GumbelStraightThrough(1.0),
        "gumbel": lambda: GumbelSoftmax(1.0),
        "leave-one-out": Score,
    }[name]()
    if isinstance(made, Baselined):
        made.guess.follow(torch.randn(5) - 3)
    if isinstance(made, RELAX):
        made.mean.follow(torch.randn(5) - 3)
    return made


def exact(model: Latent, x: Tensor) -> Tensor:
    """The gradient of minus the ELBO, enumerated."""
    return gradient(total(ELBO()(model.trace(Batch({"x": x[None]}), 1, Enumerate()))), model)


def exact_iwae(model: Latent, x: Tensor) -> Tensor:
    """The gradient of minus IWAE with K = 2, summed over all pairs."""
    trace = model.trace(Batch({"x": x[None]}), 1, Enumerate())
    log_w, log_mass = trace.log_w.squeeze(1), trace.log_q.squeeze(1)
    pairs = torch.logaddexp(log_w[:, None], log_w) - torch.tensor(2.0).log()
    return gradient(-((log_mass[:, None] + log_mass).exp() * pairs).sum(), model)


@pytest.mark.parametrize(
    ("latent", "name", "objective", "particles"),
    [
        ("bits", "disarm", ELBO(), 2),
        ("bits", "disarm", AnalyticELBO(), 4),
        ("bits", "relax", ELBO(), 1),
        ("bits", "relax", AnalyticELBO(), 3),
        ("bits", "average", ELBO(), 1),
        ("bits", "predicted", AnalyticELBO(), 2),
        ("bits", "predicted", IWAE(), 2),
        ("one-hot", "relax", ELBO(), 2),
        ("one-hot", "average", IWAE(), 2),
        ("symbols", "relax", ELBO(), 2),
        ("symbols", "predicted", AnalyticELBO(), 1),
        ("symbols", "leave-one-out", IWAE(), 2),
    ],
)
def test_the_mean_gradient_is_the_enumerated_one(latent: str, name: str, objective: Objective, particles: int) -> None:
    model, x = toy(latent)
    reference = exact_iwae(model, x) if isinstance(objective, IWAE) else exact(model, x)
    assert reference.abs().max() > 0.1
    assert_mean(gradients(model, objective, estimator(name, latent), x, particles, DRAWS), reference)


@pytest.mark.parametrize("name", ["straight-through", "gumbel-straight-through", "gumbel"])
@pytest.mark.parametrize("latent", ["bits", "one-hot"])
def test_the_biased_ones_are(latent: str, name: str) -> None:
    """So the test above can fail: at half its size it finds these biases. They are no larger than the gradient."""
    model, x = toy(latent)
    reference = exact(model, x)
    draws = gradients(model, AnalyticELBO(), estimator(name, latent), x, 2, DRAWS // 2)
    assert z_scores(draws, reference).abs().max() > 2 * LIMIT
    assert (draws.mean(0) - reference).norm() < reference.norm()


def test_a_lower_temperature_is_less_biased() -> None:
    model, x = toy("bits")
    biases = [
        (gradients(model, AnalyticELBO(), GumbelStraightThrough(t), x, 2, DRAWS).mean(0) - exact(model, x)).norm()
        for t in (0.2, 2.0)
    ]
    assert biases[0] < 0.7 * biases[1]


EVERY = ["average", "predicted", "disarm", "relax", "straight-through", "gumbel-straight-through"]


@pytest.mark.parametrize("name", EVERY)
def test_the_value_is_the_bound_of_the_discrete_model(name: str) -> None:
    """Bit for bit: the draws are exactly 0 or 1, and log w is what plain sampling makes of them."""
    model, _ = toy("bits")
    b, made = Bits().data(8), estimator(name)
    trace = model.trace(b, 4, made)
    assert ((trace.z == 0) | (trace.z == 1)).all()
    log_q, log_p = model.infer(b).log_prob(trace.z), model.prior().log_prob(trace.z)
    assert torch.equal(trace.log_w, model.decode(trace.z)["x"].log_prob(b.x["x"]) + log_p - log_q)
    for bound in (Mean(),) if name in {"disarm", "relax"} else (Mean(), LogMeanExp()):
        value = made.surrogate(trace, trace.log_w, bound)
        assert value.requires_grad
        assert torch.equal(value.detach(), bound(trace.log_w, trace.log_measure).detach())


@pytest.mark.parametrize("name", EVERY)
def test_every_draw_is_from_q(name: str) -> None:
    model, _ = toy("bits")
    b, made = Bits().data(3), estimator(name)
    with torch.no_grad():
        z = model.trace(b, DRAWS, made).z
    mean = model.infer(b).mean.detach()
    halves = z.chunk(2)  # of DisARM's the two are antithetic, each by itself independent
    for half in halves:
        assert_mean(half, mean)


def test_one_hot_draws_are_one_hot_and_from_q() -> None:
    model, _ = toy("symbols")
    b = Batch({"x": torch.randn(2, 4)})
    for made in (StraightThrough(), GumbelStraightThrough(0.3)):
        z = model.trace(b, DRAWS, made).z.detach()
        assert ((z == 0) | (z == 1)).all()
        assert (z.sum(-1) == 1).all()
        assert_mean(z, model.infer(b).mean.detach())


def test_antithetic_pairs_are_not_noisier_than_independent_ones() -> None:
    """At equal evaluations; of one bit the ratio of second moments is max(p, 1 − p), of three it is measured."""
    model, x = toy("bits")
    found = {}
    for made in (DisARM(), Score()):
        draws = gradients(model, ELBO(), made, x, 2, DRAWS)
        found[type(made).__name__] = draws[:, 3:15].var(0).sum()  # after the prior's three logits
    assert found["DisARM"] < 0.9 * found["Score"]


def test_one_bit_in_antithetic_pairs() -> None:
    """E g² = 2 min(p, 1−p) max(p, 1−p)² Δ²/4 in the logit, where f(1) − f(0) = Δ."""
    logit, gap = torch.tensor([1.3], requires_grad=True), 2.5
    q, made = bits(logit.expand(DRAWS, 1)), DisARM()
    z = made.draw(q, 2)
    f = gap * z.squeeze(-1)
    g = 0.5 * (f[0] - f[1]) * (z[0] - z[1]).squeeze(-1) * torch.sigmoid(logit.detach().abs())
    p = torch.sigmoid(logit.detach())
    assert_mean(g, gap * p * (1 - p))
    assert_mean(g.square(), 2 * torch.minimum(p, 1 - p) * torch.maximum(p, 1 - p).square() * gap**2 / 4)


def test_a_control_learns_to_lower_the_variance() -> None:
    """RELAX's own parameters follow the gradient of the squared estimate, and its running mean what it lacks."""
    model, x = toy("bits")
    made = RELAX(Beside(3, 3), temperature=0.7)
    posterior = slice(3, 15)
    before = gradients(model, ELBO(), made, x, 1, 5000)[:, posterior].var(0).sum()
    adam = torch.optim.Adam(made.parameters(), 0.05)
    for _ in range(150):
        adam.zero_grad()
        total(ELBO()(model.trace(Batch({"x": x.expand(100, -1)}), 1, made))).backward()
        adam.step()
    after = gradients(model, ELBO(), made, x, 1, 5000)[:, posterior].var(0).sum()
    assert after < 0.3 * before


def test_a_control_s_gradient_is_that_of_the_squared_estimate() -> None:
    """By finite differences, under the same draws: one particle's gradient is the estimate itself."""
    made, mixture = estimator("relax").eval(), Bits()
    model, b = mixture.model(), mixture.data(1)
    model.posterior = Bernoulli(Constant(torch.randn(3)))

    def square(step: float) -> Tensor:
        with torch.no_grad():
            made.log_temperature += step
        torch.manual_seed(1)
        model.zero_grad()
        made.zero_grad()
        total(ELBO()(model.trace(b, 1, made))).backward()
        return model.posterior.net.value.grad.square().sum()

    low, high = square(-1e-5), square(2e-5)
    square(-1e-5)
    assert_close(made.log_temperature.grad, (high - low) / 2e-5, within=1e-6)


@pytest.mark.parametrize("made", [Score(), DisARM()], ids=["leave-one-out", "disarm"])
def test_the_encoder_rests_at_the_exact_posterior(made: Estimator) -> None:
    """All log w are equal there, and the vanishing part of ∇log w is left out."""
    made_of = Bits()
    model = made_of.model()
    total(ELBO()(model.trace(made_of.data(8), 4, made))).backward()
    assert max(p.grad.abs().max() for p in model.posterior.parameters()) < 1e-12
    assert model.likelihood["x"].net.weight.grad.abs().max() > 1e-3


def test_leave_one_out_under_iwae_is_vimco() -> None:
    """By the paper's formula, with the geometric mean of the other weights in place of the one left out."""
    log_w = torch.randn(4, 3)
    log_measure = torch.full((4, 1), -torch.tensor(4.0).log())
    w = log_w.exp()
    for k in range(4):
        others = [i for i in range(4) if i != k]
        geometric = w[others].prod(0) ** (1 / 3)
        vimco = ((w[others].sum(0) + geometric) / 4).log()
        assert_close(leave_one_out(log_w, log_measure, LogMeanExp())[k], vimco)


def test_a_running_mean_forgets_and_stands_still_in_eval() -> None:
    running = RunningMean()
    assert running() == 0
    running.follow(torch.tensor([2.0, 4.0]))
    assert_close(running(), 3.0)
    running.follow(torch.tensor(5.0))
    assert_close(running(), (3 * DECAY + 5) / (DECAY + 1))
    running.eval().follow(torch.tensor(100.0))
    assert_close(running(), (3 * DECAY + 5) / (DECAY + 1))
    assert {*running.state_dict()} == {"total", "weight"}


def test_a_baseline_learns_what_to_expect() -> None:
    """With the model held fixed, the network comes to the mean of log w given x."""
    model, _ = toy("bits")
    made, b = Baselined(Predicted(nn.Linear(3, 1))), Bits().data(4)
    adam = torch.optim.Adam(made.parameters(), 0.1)
    for _ in range(150):
        adam.zero_grad()
        total(ELBO()(model.trace(b, 20, made))).backward()
        adam.step()
    with torch.no_grad():
        expected = -ELBO()(model.trace(b, 1, Enumerate()))["negative_elbo"]
        assert (made.guess(b) - expected).abs().max() < 0.5
        assert expected.std() > 0.5


def test_looking_without_a_gradient_changes_no_state() -> None:
    model, _ = toy("bits")
    made = Baselined(Predicted(nn.Linear(3, 1)), SignalScale())
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with torch.no_grad():
        ELBO()(model.trace(Bits().data(4), 2, made))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    ELBO()(model.trace(Bits().data(4), 2, made))
    assert not torch.equal(made.guess.mean.total, before["guess.mean.total"])


def test_a_normalised_signal_shortens_the_encoder_s_gradient_alone() -> None:
    model, x = toy("bits")
    made = Baselined(Average(), SignalScale()).eval()
    made.normalise.square.total.fill_(4.0)
    made.normalise.square.weight.fill_(1.0)
    draws, reference = gradients(model, ELBO(), made, x, 2, DRAWS), exact(model, x)
    posterior = slice(3, 15)
    assert_mean(draws[:, posterior], reference[posterior] / 2)
    assert_mean(draws[:, 15:], reference[15:])


def test_a_normalised_signal_must_be_all_of_the_gradient() -> None:
    model, _ = toy("bits")
    made = Baselined(Average(), SignalScale())
    with refused("a normalised signal must be all of q's gradient; use ELBO, or do not normalise"):
        AnalyticELBO()(model.trace(Bits().data(2), 2, made))
    sentence = "a normalised signal is for averages over particles, such as the ELBO; for this bound use Score"
    with refused(sentence):
        IWAE()(model.trace(Bits().data(2), 2, made))


@pytest.mark.parametrize(("name", "called"), [("disarm", "DisARM"), ("relax", "RELAX")])
def test_estimators_of_averages_refuse_other_bounds(name: str, called: str) -> None:
    model, _ = toy("bits")
    trace = model.trace(Bits().data(2), 2, estimator(name))
    with refused(f"{called} is for averages over particles, such as the ELBO; for this bound use Score"):
        IWAE()(trace)
    with torch.no_grad():
        assert IWAE()(trace)["negative_iwae"].isfinite().all()  # its value is as good as any


def test_disarm_refuses_what_it_cannot_pair() -> None:
    model, x = toy("one-hot")
    with refused("DisARM is for Bernoulli latents, not OneHotCategorical; use Score"):
        model.trace(Batch({"x": x[None]}), 2, DisARM())
    model, x = toy("bits")
    with refused("DisARM draws particles in antithetic pairs; ask for an even number of them: 3"):
        model.trace(Batch({"x": x[None]}), 3, DisARM())


def test_a_relaxation_needs_a_discrete_latent() -> None:
    q = torch.distributions.Poisson(torch.ones(2))
    for made in (StraightThrough(), DisARM(), estimator("relax")):
        with refused("Poisson is neither Bernoulli nor one-hot; use the estimator Score or Pathwise"):
            made.draw(q, 2)


def test_disarm_takes_several_latents_and_relax_one() -> None:
    parts = {name: Bernoulli(Affine(torch.randn(1, 1), torch.zeros(1))) for name in "uv"}
    model = TwoLatents(parts)
    model.prior = Fixed(bits, logits=torch.zeros(1))
    b = Batch({"x": torch.randn(5, 1)})
    total(ELBO()(model.trace(b, 2, DisARM()))).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    with refused("RELAX has one control, for one latent; use Score for several"):
        ELBO()(model.trace(b, 2, RELAX(Beside(1, 1))))


def test_gumbel_softmax_is_relaxed_only_where_it_is_differentiated() -> None:
    model, _ = toy("bits")
    b, objective = Bits().data(5), OfRelaxed(Distortion()) + Rate()
    trace = model.trace(b, 3, GumbelSoftmax())
    assert ((trace.z > 0) & (trace.z < 1)).all()
    assert objective(trace).keys() == {"relaxed_distortion", "rate"}
    with refused("a relaxed z has no mass under a discrete q; use AnalyticELBO, or GumbelStraightThrough"):
        ELBO()(trace)
    with torch.no_grad():
        hard = model.trace(b, 3, GumbelSoftmax())
        assert ((hard.z == 0) | (hard.z == 1)).all()
        assert objective(hard).keys() == {"distortion", "rate"}
        assert_close(sum(objective(hard).values()), sum(AnalyticELBO()(hard).values()))


def test_a_temperature_is_positive() -> None:
    for made in (GumbelSoftmax, GumbelStraightThrough):
        with refused("a temperature is above zero, not 0.0"):
            made(0.0)


def test_too_many_values_are_not_enumerated() -> None:
    with refused("2^200 values of z are too many to enumerate; use Score, which samples"):
        Enumerate().draw(bits(torch.zeros(1, 200)), 1)


def test_a_discrete_posterior_is_traced_by_the_score_function_unless_told_otherwise() -> None:
    model, x = toy("bits")
    assert isinstance(model.trace(Batch({"x": x[None]}), 1).estimator, Score)
    assert model.trace(Batch({"x": x[None]}), 1).estimator.control is no_control
