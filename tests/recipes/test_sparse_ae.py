"""The sparse autoencoder: which layers are penalised, and that they become as sparse as asked for."""

from __future__ import annotations

import pytest
import torch

import lowerbound
from agree import refused
from catalogue import batch, spec, variable
from lowerbound.core import L1Activation, SparseActivation
from lowerbound.errors import InputError
from lowerbound.recipes import get
from lowerbound.training.progress import Silent

SPARSE = get("sparse-ae")


def test_every_layer_of_its_encoder_is_a_sigmoid_and_is_kept() -> None:
    setup = SPARSE.build(spec(variable("unit")), latent=3, hidden=(7, 5))
    q = setup.model.infer(setup.see(batch("unit", 4))).base_dist
    assert [h.shape[-1] for h in q.layers] == [7, 5, 3]
    assert all(h.min() > 0 and h.max() < 1 for h in q.layers)
    assert q.layers[-1] is q.value


@pytest.mark.parametrize(("layers", "units"), [(None, 15), ((3,), 3), ((1, 2), 12)])
def test_all_layers_are_penalised_or_the_chosen(layers: tuple[int, ...] | None, units: int) -> None:
    setup = SPARSE.build(spec(variable("unit")), latent=3, hidden=(7, 5), layers=layers)
    (penalty,) = (m for m in setup.objective.modules() if isinstance(m, SparseActivation))
    assert penalty.mean.shape == (units,)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with refused("the layers to penalise are numbered from 1 to 3, not (4,)", InputError):
        SPARSE.build(spec(variable("unit")), latent=3, hidden=(7, 5), layers=(4,))


def test_l1_penalises_each_datums_own_activations() -> None:
    setup = SPARSE.build(spec(variable("unit")), latent=3, hidden=(7,), penalty="l1", weight=0.5)
    assert any(isinstance(m, L1Activation) for m in setup.objective.modules())
    trace = setup.model.trace(setup.see(batch("unit", 4)))
    expected = 0.5 * torch.cat(trace.q.base_dist.layers, -1).sum(-1)
    assert torch.allclose(setup.objective(trace)["weighted_l1"], expected)


def test_its_units_are_as_active_on_new_data_as_asked_for() -> None:
    given = {"latent": 20, "hidden": [40], "rho": 0.1, "likelihood": "mse", "components": 2}
    model = lowerbound.train("sparse-ae", "digits", epochs=60, lr=0.01, batch_size=128, progress=Silent(), **given)
    figures = model.evaluate(split="test")
    assert figures["mean_activation"] == [pytest.approx(0.1, rel=0.2)] * 2
