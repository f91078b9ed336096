"""The conditional model of what is hidden: what it scores, what it reads, and that its guess learns by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close
from catalogue import Case, batch
from lowerbound.core.evidence import evidence
from lowerbound.data.dataset import load_data
from lowerbound.recipes import Setup

pytestmark = pytest.mark.usefixtures("double")


def built(**arguments: object) -> Setup:
    torch.manual_seed(0)
    return Case("completing-vae", "binary", ()).build(**arguments)


@torch.no_grad()
def test_what_is_told_is_certain_and_the_rest_is_scored() -> None:
    setup = built(masks=("left",))
    seen = setup.see(batch("binary", 5))
    trace = setup.model.trace(seen, 3)
    plain = setup.model.likelihood["x"].part.part(trace.z)
    assert_close(trace.log_px, plain.base_dist.log_prob(seen.x["x"])[..., :4].sum((-1, -2)))
    assert torch.equal(trace.px["x"].mean[..., 4:], seen.x["x"][..., 4:].expand(3, 5, 8, 4))
    assert torch.equal(trace.px["x"].sample()[..., 4:], seen.x["x"][..., 4:].expand(3, 5, 8, 4))


@torch.no_grad()
def test_nothing_told_is_no_condition() -> None:
    """Then all of x is scored, and log w is that of a model of x."""
    setup = built(masks=("all",))
    seen = setup.see(batch("binary", 5))
    found = []
    for b in (seen, replace(seen, c=None)):
        torch.manual_seed(1)
        found.append(setup.model.trace(b, 3).log_w)
    assert_close(found[0], found[1], within=1e-10)


@torch.no_grad()
def test_the_prior_reads_what_is_told_alone() -> None:
    setup = built(masks=("left",))
    seen = setup.see(batch("binary", 5))
    x = seen.x["x"].clone()
    x[..., :4] = 1 - x[..., :4]
    other = setup.model.trace(replace(seen, x={"x": x}), 1)
    assert_close(setup.model.trace(seen, 1).p.mean, other.p.mean)
    assert (setup.model.infer(seen).mean - other.q.mean).abs().max() > 1e-6
    told = evidence(x, torch.zeros_like(x, dtype=torch.bool))
    assert (setup.model.prior(told).mean - other.p.mean).abs().max() > 1e-6


def test_no_gradient_of_the_bound_reaches_the_guess() -> None:
    setup = built()
    terms = setup.objective(setup.model.trace(setup.see(batch("binary", 5)), 1, setup.estimator))
    guess = setup.model.prior.net.get_submodule("0").guess
    (terms["distortion"] + terms["rate"]).sum().backward(retain_graph=True)
    assert all(p.grad is None for p in guess.parameters())
    terms["guess"].sum().backward()
    assert all(p.grad is not None for p in guess.parameters())


def test_without_a_latent_the_guess_is_left() -> None:
    torch.set_default_dtype(torch.float32)
    model = lowerbound.train("completing-vae", "digits", latent=0, hidden=[16], masks=["bottom"], epochs=3)
    figures = model.evaluate(particles=10)
    assert figures["rate"]["value"] == 0
    assert np.isclose(figures["log_p"]["value"], figures["elbo"]["value"])
    assert np.isclose(figures["guess"]["log_p"], figures["log_p"]["value"], rtol=1e-5)


def test_trained_it_completes_better_than_by_chance_and_measures_the_hidden_alone() -> None:
    torch.set_default_dtype(torch.float32)
    model = lowerbound.train(
        "completing-vae", "digits", latent=4, hidden=[64], masks=["bottom"], epochs=40, batch_size=32, lr=3e-3
    )
    x = load_data("digits").split("test").array("x")[:50]
    observed = np.ones((8, 8), bool)
    observed[4:] = False
    found = model.complete(x, observed)
    assert found.draws.shape == (5, 50, 8, 8)
    assert (found.draws[..., :4, :] == x[:, :4]).all()
    error = np.square(found.mean[:, 4:].astype(float) - x[:, 4:]).mean()
    assert error < 0.8 * np.square(x[:, 4:] - load_data("digits").split("train").array("x")[:, 4:].mean(0)).mean()
    assert (found.ess > 999).all()
    assert found.truth is not None
    other = model.complete(np.where(observed, x, 0), observed)
    assert (other.draws == found.draws).all()


def test_rows_with_gaps_are_filled_in_from_its_own_prior() -> None:
    torch.set_default_dtype(torch.float32)
    model = lowerbound.train("completing-vae", "digits", latent=4, hidden=[16], epochs=2)
    x = load_data("digits").split("test").array("x")[:5].astype(float)
    x[:, 4:] = np.nan
    found = model.impute(x)
    assert (found.values[:, :4] == x[:, :4]).all()
    assert np.isfinite(found.values).all()
    assert (found.ess > 999).all()


def test_log_p_of_standardised_data_is_that_of_the_hidden_as_given() -> None:
    """A column in other units moves log p of what is hidden of it, and of nothing else."""
    torch.set_default_dtype(torch.float32)
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    found = []
    for unit in (1.0, 1000.0):
        data = x * np.array([1.0, unit], np.float32)
        for mask in ("left", "right"):
            model = lowerbound.train("completing-vae", data, latent=1, hidden=[4], masks=[mask], epochs=1)
            found.append([model.log_prob(data[:20], 50).mean(), model.evaluate(data, particles=50)["log_p"]["value"]])
    one, thousand = np.array(found[:2]), np.array(found[2:])
    assert np.allclose(one[0], thousand[0], atol=1e-2)
    assert np.allclose(one[1] - thousand[1], np.log(1000), atol=1e-2)
