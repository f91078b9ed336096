"""The variational autoencoder: what its arguments make of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from agree import assert_close, refused
from catalogue import FITS, Case, batch, cases, spec, variable
from lowerbound.core import AnalyticELBO, Batch, Pathwise, Rate
from lowerbound.errors import InputError
from lowerbound.recipes import get, parts

VAE = get("vae")


@pytest.mark.parametrize("case", [case for case in cases("net") if case.values[0].recipe == "vae"])
def test_no_network_or_likelihood_is_refused_that_fits(case: Case) -> None:
    setup = case.build()
    assert set(setup.model.likelihood) == set(setup.views) == {"x"}


def test_defaults() -> None:
    setup = VAE.build(spec(variable("unit")))
    assert isinstance(setup.objective, AnalyticELBO)
    assert isinstance(setup.estimator, Pathwise)
    assert (setup.particles, setup.condition) == (1, None)
    assert setup.model.infer(setup.see(batch("unit", 2))).event_shape == (50,)


@pytest.mark.parametrize("latent", [1, 7])
def test_the_latent_has_the_dimensions_asked_for(latent: int) -> None:
    setup = VAE.build(spec(variable("real", (5,))), latent=latent, hidden=(6,))
    trace = setup.model.trace(setup.see(batch("real", 4, (5,))), 3)
    assert trace.z.shape == (3, 4, latent)
    assert setup.model.prior().event_shape == (latent,)


def test_hidden_widths_are_from_the_data_to_the_latent() -> None:
    setup = VAE.build(spec(variable("unit", (5,))), latent=2, hidden=(9, 6))
    widths = [tuple(p.shape) for name, p in setup.model.named_parameters() if name.endswith("weight")]
    assert widths == [(9, 5), (6, 9), (4, 6), (6, 2), (9, 6), (5, 9)]


def test_the_published_network_is_a_line() -> None:
    """784-200-200-z50 with tanh: Burda et al.'s model of one stochastic layer."""
    setup = VAE.build(spec(variable("binary", (28, 28))), latent=50, hidden=(200, 200), activation="tanh")
    encoder = 784 * 200 + 200 + 200 * 200 + 200 + 200 * 100 + 100
    decoder = 50 * 200 + 200 + 200 * 200 + 200 + 200 * 784 + 784
    assert sum(p.numel() for p in setup.model.parameters()) == encoder + decoder


@pytest.mark.parametrize(
    ("likelihood", "kind"),
    [
        ("bernoulli", "binary"),
        ("gaussian", "real"),
        ("gaussian-per-dim", "unit"),
        ("mse", "unit"),
        ("laplace", "real"),
        ("poisson", "count"),
        ("negative-binomial", "count"),
    ],
)
def test_a_decoder_starts_at_the_mean_of_the_data(likelihood: str, kind: str) -> None:
    setup = VAE.build(spec(variable(kind, (3,))), latent=2, hidden=(4,), likelihood=likelihood)
    mean = torch.tensor([0.25, 0.5, 0.75])
    setup.start({"x": mean})
    assert_close(setup.model.decode(torch.zeros(2))["x"].mean, mean, within=1e-6)


def test_several_variables_are_refused() -> None:
    two = spec(variable("unit"), replace(variable("unit"), name="y"))
    with refused("the recipe models one variable, and 'toy' has 2", InputError):
        VAE.build(two)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(InputError, match="there is no activation 'swish'; choose one of tanh, relu"):
        VAE.build(spec(variable("unit")), activation="swish")


def test_a_picture_network_refuses_a_row() -> None:
    with pytest.raises(InputError, match="takes pictures"):
        VAE.build(spec(variable("real", (5,))), net="conv")


def test_a_constant_category_is_certain() -> None:
    """One category is nothing to model: log p(x|z) = 0."""
    constant = replace(variable("category", (3,)), high=0, levels=1)
    setup = VAE.build(spec(constant), latent=2, hidden=(4,))
    trace = setup.model.trace(setup.see(batch("category", 4, (3,)).map(torch.zeros_like)), 2)
    assert trace.log_px.shape == (2, 4)
    assert_close(trace.log_px, 0.0)


LARGE = {
    "byte": replace(variable("byte"), high=255, levels=256),
    "count": replace(variable("count"), high=100_000),
    "category": replace(variable("category"), high=99, levels=100),
}


@pytest.mark.parametrize("net", ["mlp", "conv", "resnet"])
@pytest.mark.parametrize(("kind", "likelihood"), [(kind, name) for name, kind in FITS if kind in LARGE])
def test_large_values_do_not_throw_the_first_posterior_off(kind: str, likelihood: str, net: str) -> None:
    """Bytes, codes and counts reach the encoder small: it starts near the prior, not millions of nats away."""
    large = LARGE[kind]
    setup = VAE.build(spec(large), net=net, likelihood=likelihood, latent=10)
    raw = Batch({"x": torch.randint(int(large.high) + 1, (6, 8, 8), dtype=torch.int32)})
    seen = setup.see(raw.map(lambda t: t.byte()) if kind == "byte" else raw)
    rate = Rate()(setup.model.trace(seen, 1))["rate"]
    assert (rate < 20 * 10).all()


def test_an_encoder_reads_what_was_observed_in_small_numbers() -> None:
    for kind, seen, read in (("byte", 255.0, 1.0), ("count", 99_999.0, 1.0), ("category", 49.5, 0.5)):
        reader = parts.reads(LARGE[kind], LARGE[kind].likelihood)
        mask = torch.tensor([[True, False]])
        x, c = reader(Batch({"x": torch.tensor([[seen, math.nan]])}, torch.ones(1, 2), mask={"x": mask}))
        assert x.tolist() == [[pytest.approx(read, rel=1e-5), 0.0]]
        assert c.shape == (1, 2)
    x, c = parts.reads(variable("real"), "gaussian")(Batch({"x": torch.tensor([[7.0]])}))
    assert x.item() == 7.0
    assert c is None
