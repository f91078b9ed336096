"""The plain autoencoder against principal components, which a linear one must find, and what it shares with its kin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import lowerbound
from catalogue import batch, spec, variable
from lowerbound.core import CodeDensity, Distortion
from lowerbound.errors import LowerboundError
from lowerbound.recipes import get
from lowerbound.training.progress import Silent

KIN = ["ae", "contractive-ae", "dae", "rae", "sparse-ae"]


@pytest.fixture(scope="module")
def linear() -> lowerbound.Fitted:
    """Four numbers for a digit, nothing but products between."""
    given = {"hidden": [], "latent": 4, "likelihood": "mse", "components": 5}
    return lowerbound.train("ae", "digits", progress=Silent(), epochs=60, lr=0.02, batch_size=256, **given)


def test_a_linear_autoencoder_comes_to_the_principal_components(linear: lowerbound.Fitted) -> None:
    """Pierre Baldi and Kurt Hornik, "Neural networks and principal component analysis", 1989."""
    x = {split: linear.rows(split=split).array("x").reshape(-1, 64) for split in ("train", "test")}
    pca = PCA(4).fit(x["train"])
    theirs = np.square(pca.inverse_transform(pca.transform(x["test"])) - x["test"]).mean() / 16**2
    ours = linear.evaluate(split="test")["reconstruction_mse"]["value"]
    assert 0.95 * theirs < ours < 1.05 * theirs


def test_its_samples_are_drawn_from_its_codes(linear: lowerbound.Fitted) -> None:
    """The fitted density has their mean and covariance, as a mixture fitted by maximum likelihood must."""
    codes = torch.from_numpy(linear.encode(linear.rows(split="train").array("x")))
    density = linear.setup.model.prior()
    assert (density.mean - codes.mean(0)).abs().max() < 1e-3 * codes.std(0).max()
    assert (density.variance - codes.var(0)).abs().max() < 1e-2 * codes.var(0).max()
    assert np.abs(linear.sample(500).mean(0) - linear.rows(split="train").array("x").mean(0)).max() < 2


def test_there_is_no_bound_to_speak_of(linear: lowerbound.Fitted, tmp_path: Path) -> None:
    figures = linear.evaluate(split="test")
    assert not {"log_p", "elbo", "rate", "khat"} & set(figures)
    with pytest.raises(LowerboundError):
        linear.log_prob(linear.rows(split="test").array("x")[:2])


@pytest.mark.parametrize("recipe", KIN)
def test_its_kin_differ_from_it_by_what_they_are_trained_on(recipe: str) -> None:
    setup = get(recipe).build(spec(variable("unit")), latent=3, hidden=(6,), components=4)
    trace = setup.model.trace(setup.see(batch("unit", 5)))
    assert torch.equal(trace.z[0], trace.q.mean)
    assert isinstance(setup.model.prior, CodeDensity)
    assert setup.model.prior.loc.shape == (4, 3)
    terms = setup.objective(trace)
    assert torch.equal(terms["distortion"], Distortion()(trace)["distortion"])
    assert all(name == "distortion" or name.startswith("weighted_") for name in terms)


def test_it_is_trained_on_the_distortion_alone() -> None:
    setup = get("ae").build(spec(variable("unit")))
    assert isinstance(setup.objective, Distortion)
    assert not setup.corruptions
    assert setup.model.infer(setup.see(batch("unit", 2))).event_shape == (32,)


@pytest.mark.parametrize("recipe", KIN)
def test_it_has_no_density_until_it_is_trained(recipe: str) -> None:
    setup = get(recipe).build(spec(variable("unit")), latent=3, hidden=(6,))
    assert setup.model.generate(4)["x"].sample().shape == (4, 8, 8)
