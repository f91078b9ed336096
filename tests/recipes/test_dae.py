"""The denoising autoencoder: what it is shown, what it is held to, and that it tells clean data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close, refused
from catalogue import batch, spec, variable
from lowerbound.errors import InputError
from lowerbound.recipes import get
from lowerbound.training.progress import Silent

DAE = get("dae")


@pytest.mark.parametrize("corruption", ["masking", "gaussian", "salt-and-pepper", "patches"])
def test_the_encoder_is_shown_what_is_corrupted_and_judged_by_what_is_clean(corruption: str) -> None:
    setup = DAE.build(spec(variable("unit")), latent=3, hidden=(6,), corruption=corruption, likelihood="mse")
    raw = batch("unit", 5)
    seen = setup.see(raw)
    assert torch.equal(seen.x["x"], raw.x["x"])
    assert not torch.equal(seen.filled("x"), raw.x["x"])
    trace = setup.model.trace(seen)
    assert_close(trace.q.mean, setup.model.posterior.net(seen.filled("x")))
    clean = trace.px["x"].log_prob(raw.x["x"])[0]
    assert_close(setup.objective(trace)["distortion"], -clean)


def test_the_verbs_see_what_they_are_given() -> None:
    setup = DAE.build(spec(variable("unit")), latent=3, hidden=(6,))
    raw = batch("unit", 5)
    assert torch.equal(setup.steady(raw).filled("x"), raw.x["x"])


def test_the_amount_is_how_much_is_lost() -> None:
    for amount in (0.0, 0.25, 1.0):
        setup = DAE.build(spec(variable("binary", (100, 100))), latent=2, hidden=(4,), amount=amount)
        ones = batch("binary", 4, (100, 100)).map(torch.ones_like)
        assert_close(1 - setup.see(ones).filled("x").mean(), amount, within=0.02)


def test_more_than_all_of_it_is_refused() -> None:
    with refused("the amount of masking is a share of the values, at most 1, not 2", InputError):
        DAE.build(spec(variable("unit")), amount=2.0)


def test_it_tells_clean_digits_better_than_a_plain_autoencoder() -> None:
    given = {"latent": 16, "hidden": [64], "likelihood": "mse", "components": 2}
    settings = {"epochs": 25, "lr": 0.01, "batch_size": 128, "progress": Silent()}
    error = {}
    for recipe in ("ae", "dae"):
        model = lowerbound.train(recipe, "digits", **given, **settings)
        clean = model.rows(split="test").array("x").astype(float)
        masked = np.where(np.random.default_rng(0).random(clean.shape) < 0.5, 0, clean)
        error[recipe] = np.square(model.reconstruct(masked.astype(np.uint8)) - clean).mean()
    assert error["dae"] < 0.6 * error["ae"]
