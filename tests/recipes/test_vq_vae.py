"""The recipe vq-vae as a user meets it: figures of the codebook, a bound that is one, and codes that decode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import lowerbound
from catalogue import Case, batch, spec, variable
from lowerbound.core import Batch
from lowerbound.data.dataset import load_data
from lowerbound.evaluation.perdatum import PARTICLES_FOR_TERMS, traced
from lowerbound.recipes import get
from lowerbound.training.progress import Silent

SMALL: dict[str, Any] = {"codes": 16, "latent": 4, "places": 4, "hidden": [64], "prior_width": 32, "prior_layers": 1}


@pytest.fixture(scope="module", params=["ema", "fsq"])
def fitted(request: pytest.FixtureRequest) -> lowerbound.Fitted:
    data = load_data("digits")
    settings = {"epochs": 6, "batch_size": 64, "lr": 5e-3, "precision": "fp32"}
    return lowerbound.train("vq-vae", data, progress=Silent(), quantiser=request.param, **SMALL, **settings)


def test_the_prior_knows_more_than_how_often_codes_occur(fitted: lowerbound.Fitted) -> None:
    figures = fitted.evaluate(particles=1)
    book = figures["codebook"]
    assert book["codes"] == 16
    assert book["used"] > 0.8
    assert 1 < book["perplexity"] <= 16
    assert book["bits_per_code"] < math.log2(book["perplexity"])
    assert figures["rate"]["value"] == pytest.approx(4 * math.log(2) * book["bits_per_code"], rel=1e-6)


def test_log_p_is_the_bound_whatever_the_particles(fitted: lowerbound.Fitted) -> None:
    one, many = (fitted.evaluate(split="validation", particles=k) for k in (1, 1000))
    assert one["log_p"]["value"] == pytest.approx(one["elbo"]["value"], abs=1e-4)
    assert many["log_p"]["value"] == pytest.approx(one["log_p"]["value"], abs=1e-4)


def test_one_particle_says_what_all_would(fitted: lowerbound.Fitted) -> None:
    seen = fitted.setup.see(Batch({"x": torch.from_numpy(load_data("digits").arrays["x"][:5])}))
    assert traced(fitted.setup, seen, 5000).log_w.shape == (1, 5)
    vae = Case("vae", "byte", ()).build()
    assert traced(vae, vae.see(batch("byte", 5)), 5000).log_w.shape == (PARTICLES_FOR_TERMS, 5)


def test_codes_say_what_a_reconstruction_needs(fitted: lowerbound.Fitted) -> None:
    x = load_data("digits").arrays["x"][:200].astype(float)
    codes = fitted.encode(x).reshape(200 * 4, -1)
    assert len(np.unique(codes, axis=0)) <= 16
    error = np.square(fitted.reconstruct(x) - x).mean()
    assert error < 0.6 * np.square(x.mean(0) - x).mean()


def test_pictures_keep_their_two_directions() -> None:
    pictures = spec(variable("byte", (32, 32, 3)))
    setup = get("vq-vae").build(pictures, net="conv", hidden=(4, 8, 8), codes=8, latent=3, prior_width=8)
    assert setup.model.generate(2)["x"].mean.shape == (2, 32, 32, 3)
    assert setup.model.prior().event_shape == (8, 8, 3)


def test_scalars_need_no_commitment() -> None:
    names = {kind: str(Case("vq-vae", "unit", (("quantiser", kind),)).build().objective) for kind in ("ema", "fsq")}
    assert "Commitment" in names["ema"]
    assert "Commitment" not in names["fsq"]
