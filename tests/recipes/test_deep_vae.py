"""The recipe deep-vae: Burda et al.'s networks, and how several layers of z go through the verbs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lowerbound
from agree import assert_close, refused
from catalogue import batch, spec, variable
from lowerbound.core import ELBO, IWAE, DReG, Pathwise
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get


def built(**arguments: object) -> Setup:
    return get("deep-vae").build(spec(variable("binary", (28, 28))), **arguments)


def widths(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def test_the_defaults_are_the_two_layers_of_burda_et_al() -> None:
    model = built().model
    z1, z2 = model.links.values()
    assert widths(z1.posterior) == [(784, 200), (200, 200), (200, 2 * 100)]
    assert widths(z2.posterior) == [(100, 100), (100, 100), (100, 2 * 50)]
    assert widths(z1.prior) == [(50, 100), (100, 100), (100, 2 * 100)]
    assert widths(model.likelihood) == [(100, 200), (200, 200), (200, 784)]
    assert {type(m) for m in model.modules()} >= {nn.Tanh}


def test_bounds_and_estimators_by_name() -> None:
    setup = built()
    assert (type(setup.objective), type(setup.estimator), setup.particles) == (IWAE, DReG, 5)
    setup = built(bound="elbo-mc", estimator="pathwise", particles=1)
    assert (type(setup.objective), type(setup.estimator), setup.particles) == (ELBO, Pathwise, 1)
    with pytest.raises(InputError, match="use dreg"):
        built(estimator="stl")


def test_a_hierarchy_of_one_is_refused() -> None:
    with refused("latents (7,) are one layer of z; use the recipe vae, or give two widths or more", InputError):
        built(latents=(7,))


def test_widths_are_written_from_the_side_of_the_data() -> None:
    model = built(latents=(9, 5, 3), between=(8, 6), hidden=(20, 10)).model
    assert widths(model.links["z3"].posterior) == [(5, 8), (8, 6), (6, 2 * 3)]
    assert widths(model.links["z2"].prior) == [(3, 6), (6, 8), (8, 2 * 5)]


def test_the_decoder_starts_at_the_mean_of_the_data() -> None:
    torch.manual_seed(0)
    setup = built()
    setup.start({"x": torch.full((28, 28), 0.2)})
    assert abs(setup.model.generate(200)["x"].mean.mean() - 0.2) < 0.1


def test_particles_are_scored_as_if_alone() -> None:
    setup = built(latents=(4, 3), between=(5,), hidden=(6,))
    seen = setup.see(batch("binary", 4, (28, 28)))
    trace = setup.model.trace(seen, 3)
    for k in range(3):
        alone = setup.model.decode({name: z[k] for name, z in trace.z.items()})
        assert_close(alone["x"].log_prob(seen.x["x"]), trace.log_px[k], within=1e-3)


def test_the_verbs_take_several_layers() -> None:
    model = lowerbound.train("deep-vae", "digits", epochs=1, latents=(5, 3), hidden=[16], between=[8])
    x = model.rows().array("x")[:7]
    z = model.encode(x)
    assert z.shape == (7, 5 + 3)
    assert model.decode(z).shape == model.sample(7).shape == (7, 8, 8)
    assert np.isfinite(model.log_prob(x, particles=20)).all()
    figures = model.evaluate(particles=20)
    assert list(figures["rate_by_layer"]) == ["z1", "z2"]
    assert figures["kl_per_dimension"] is None
    assert abs(sum(figures["rate_by_layer"].values()) - figures["rate"]["value"]) < 2
