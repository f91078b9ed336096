"""The regularised autoencoder: its three terms."""

from __future__ import annotations

import pytest
import torch

from agree import assert_close
from catalogue import batch, spec, variable
from lowerbound.core import Contractive, Exact, Probed, SquaredWeights
from lowerbound.recipes import Setup, get

RAE = get("rae")

pytestmark = pytest.mark.usefixtures("double")


def terms_of(setup: Setup) -> dict[str, torch.Tensor]:
    return setup.objective(setup.model.trace(setup.see(batch("unit", 4))))


def test_a_code_costs_half_its_squared_length() -> None:
    setup = RAE.build(spec(variable("unit")), latent=3, hidden=(6,), code=0.5)
    trace = setup.model.trace(setup.see(batch("unit", 4)))
    assert_close(setup.objective(trace)["weighted_code"], 0.25 * trace.z[0].square().sum(-1))


def test_the_decoders_weights_are_priced() -> None:
    setup = RAE.build(spec(variable("unit")), latent=3, hidden=(6,), weight=0.1)
    (penalty,) = (m for m in setup.objective.modules() if isinstance(m, SquaredWeights))
    decoder = setup.model.likelihood["x"].net
    expected = 0.1 * sum(p.square().sum() for p in decoder.parameters() if p.dim() > 1)
    assert_close(terms_of(setup)["weighted_weights"], expected.expand(4))
    assert penalty.nets == [decoder]


@pytest.mark.parametrize(("latent", "kind"), [(3, Exact), (20, Probed)])
def test_or_its_gradient_is(latent: int, kind: type) -> None:
    setup = RAE.build(spec(variable("unit")), latent=latent, hidden=(6,), regulariser="gradient", likelihood="mse")
    (penalty,) = (m for m in setup.objective.modules() if isinstance(m, Contractive))
    assert type(penalty.norm) is kind


def test_that_gradient_is_autograds() -> None:
    given = {"regulariser": "gradient", "likelihood": "mse", "weight": 2.0}
    setup = RAE.build(spec(variable("unit")), latent=3, hidden=(6,), **given)
    trace = setup.model.trace(setup.see(batch("unit", 4)))
    decode = lambda z: setup.model.likelihood["x"](z).mean  # noqa: E731
    expected = [torch.autograd.functional.jacobian(decode, z).square().sum() for z in trace.z[0].detach()]
    assert_close(setup.objective(trace)["weighted_contraction"], 2 * torch.stack(expected), within=1e-9)
