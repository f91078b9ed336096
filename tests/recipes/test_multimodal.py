"""Recipes of several variables: what they are made of, what they refuse, and training with variables missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close, refused
from catalogue import Case, batch, spec, variable, variables
from lowerbound.core import MVTCAE, Latent, MixtureOfProducts, Private, ProductOfExperts, Subsampled
from lowerbound.data.dataset import assemble, read
from lowerbound.data.presence import hidden
from lowerbound.errors import InputError
from lowerbound.nets.conv import Strided
from lowerbound.nets.picture import PictureEncoder
from lowerbound.recipes import get
from lowerbound.training.progress import Silent

TWO = spec(*variables("byte+real"))


def built(recipe: str = "multimodal-vae", **arguments: object) -> lowerbound.recipes.Setup:
    return get(recipe).build(TWO, **{"latent": 3, "hidden": (8,), **arguments})


def test_experts_by_name() -> None:
    for name, sets in (("moe", 3), ("mopoe", 4)):
        setup = built(experts=name, particles=5)
        assert isinstance(setup.model, Latent)
        assert isinstance(setup.model.posterior, MixtureOfProducts)
        assert len(setup.model.posterior.sets) == sets
        assert setup.particles == 5 * (sets - 1)
    assert isinstance(built(experts="poe").model.posterior, ProductOfExperts)
    assert built(experts="poe", particles=5).particles == 5


def test_objectives_by_name() -> None:
    assert isinstance(built(experts="poe", objective="subsampled").objective, Subsampled)
    assert isinstance(built(experts="poe", objective="mvtcae").objective, MVTCAE)
    assert isinstance(built("mmvae-plus").model, Private)
    assert built("mmvae-plus", particles=3).particles == 6


def test_every_variable_has_the_likelihood_that_fits_it() -> None:
    trace = built().model.trace(built().see(batch("byte+real", 4)), 2)
    assert {name: type(d.base_dist).__name__ for name, d in trace.px.items()} == {
        "x": "DiscretizedLogistic",
        "y": "LogScaleNormal",
    }


def test_likelihoods_weigh_inversely_to_the_sizes_of_variables() -> None:
    sizes = spec(variable("unit", (8, 8)), variables("unit+unit", (4, 4))[1])
    setup = get("multimodal-vae").build(sizes, latent=2, hidden=(4,), weights="size", objective="elbo")
    assert setup.objective.left.weights == {"x": 1.0, "y": 4.0}


def test_what_is_no_picture_gets_a_perceptron() -> None:
    mixed = spec(variables("byte", (8, 8))[0], variables("byte+real", (5,))[1])
    setup = get("multimodal-vae").build(mixed, net="conv", latent=2, hidden=(4, 8))
    kinds = {name: type(net[0]).__name__ for name, net in setup.model.posterior.encoders.nets.items()}
    assert kinds == {"x": "PictureEncoder", "y": "MLPEncoder"}
    assert PictureEncoder((8, 8), 2, (4, 8), Strided("relu"))  # the name is that of the network there is


@pytest.mark.parametrize(
    ("recipe", "arguments", "sentence"),
    [
        (
            "multimodal-vae",
            {"experts": "moe", "objective": "mvtcae"},
            "the objective mvtcae is of a product of experts, not of moe; use experts poe, or elbo",
        ),
        (
            "multimodal-vae",
            {"objective": "iwae", "beta": 2.0},
            "beta and weights weigh the parts of an ELBO, which the objective iwae has not; use elbo",
        ),
        (
            "mmvae-plus",
            {"objective": "iwae", "weights": "size"},
            "beta and weights weigh the parts of an ELBO, which the objective iwae has not; use elbo",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(recipe: str, arguments: dict[str, object], sentence: str) -> None:
    with refused(sentence, InputError):
        built(recipe, **arguments)


def test_draws_in_an_order_of_variables_stay_with_their_variables() -> None:
    """A model decodes what it encodes, whatever order the latents come in."""
    setup = Case("mmvae-plus", "byte+real", ()).build()
    q = setup.model.infer(setup.see(batch("byte+real", 3)))
    z = {name: d.mean for name, d in q.items()}
    swapped = dict(reversed(z.items()))
    for name, d in setup.model.decode(z).items():
        assert_close(d.mean, setup.model.decode(swapped)[name].mean)


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        ("multimodal-vae", {"experts": "poe", "objective": "subsampled"}),
        ("multimodal-vae", {}),
        ("mmvae-plus", {"own": 2}),
    ],
    ids=["poe", "mopoe", "mmvae-plus"],
)
def test_training_takes_rows_that_lack_any_variable(recipe: str, arguments: dict[str, object]) -> None:
    """Half of each variable hidden; the model still rates whole rows, rows of one half, and rows of nothing."""
    data = assemble(hidden(read("digits-halves"), 0.5), 0, None, missing=True)
    model = lowerbound.train(
        recipe, data, latent=4, hidden=[32], epochs=2, device="cpu", progress=Silent(), **arguments
    )
    figures = model.evaluate(particles=20)
    assert np.isfinite(figures["log_p"]["value"])
    x = {name: load[:3].astype(np.float32) for name, load in read("digits-halves").arrays.items()}
    x["left"][1], x["right"][1:] = np.nan, np.nan
    log_p = model.log_prob(x, 50)
    assert log_p[0] < log_p[2] < log_p[1] == 0
    assert model.sample(4)["left"].shape == (4, 8, 4)
    assert torch.isfinite(torch.from_numpy(model.encode(x))).all()
