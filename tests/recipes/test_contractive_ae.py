"""The contractive autoencoder: how its Jacobian is measured, and that training lowers it."""

from __future__ import annotations

import pytest
import torch

import lowerbound
from agree import assert_close
from catalogue import batch, spec, variable
from lowerbound.core import Contractive, Exact, OneLayer, Probed, SquaredJacobian
from lowerbound.recipes import Setup, get
from lowerbound.training.progress import Silent

CONTRACTIVE = get("contractive-ae")


def norm_of(setup: Setup) -> SquaredJacobian:
    (penalty,) = (m for m in setup.objective.modules() if isinstance(m, Contractive))
    return penalty.norm


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"hidden": (), "latent": 20}, OneLayer),
        ({"hidden": (), "latent": 20, "probes": 2}, OneLayer),
        ({"hidden": (5,), "latent": 8}, Exact),
        ({"hidden": (5,), "latent": 20}, Probed),
        ({"hidden": (5,), "latent": 20, "probes": 0}, Exact),
        ({"hidden": (5,), "latent": 2, "probes": 3}, Probed),
        ({"net": "conv", "hidden": (4, 8), "latent": 2}, Exact),
    ],
)
def test_it_is_measured_exactly_where_that_is_cheap(given: dict[str, object], kind: type) -> None:
    assert type(norm_of(CONTRACTIVE.build(spec(variable("unit")), **given))) is kind


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", ["unit", "byte", "real", "count"])
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_the_penalty_is_autograds(kind: str, hidden: tuple[int, ...]) -> None:
    """Of the code with respect to what the encoder reads, bytes and counts brought to [0, 1]."""
    setup = CONTRACTIVE.build(spec(variable(kind)), latent=3, hidden=hidden, weight=2.0)
    seen = setup.see(batch(kind, 4))
    read = setup.model.reads(seen)[0]
    code = setup.model.posterior.net
    expected = [torch.autograd.functional.jacobian(lambda x: code(x[None])[0], row).square().sum() for row in read]
    found = setup.objective(setup.model.trace(seen))["weighted_contraction"]
    assert_close(found, 2 * torch.stack(expected), within=1e-6)


def test_a_dearer_penalty_makes_a_stiller_code() -> None:
    """Its sensitivity in units of its own spread, so that a smaller code is no gain."""
    given = {"latent": 6, "hidden": [32], "likelihood": "mse", "components": 2}
    still = []
    for weight in (0.0, 1.0):
        model = lowerbound.train(
            "contractive-ae", "digits", epochs=20, lr=0.01, batch_size=128, progress=Silent(), weight=weight, **given
        )
        x = torch.from_numpy(model.rows(split="test").array("x")) / 16
        norm, code = Exact(model.setup.model.posterior.net), model.setup.model.posterior.net(x.float())
        still.append((norm(x.float()).mean() / code.var(0).sum()).item())
    assert still[1] < 0.7 * still[0]
