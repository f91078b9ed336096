"""Regularisers of codes and weights: their values, and that weights are not saved twice."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from agree import assert_close
from lowerbound.core import Batch, Gaussian, Latent, Rate, SquaredCode, SquaredWeights, squared_error, standard_normal

pytestmark = pytest.mark.usefixtures("double")


def test_a_code_costs_what_a_standard_normal_would_have_it() -> None:
    encoder = nn.Sequential(nn.Linear(5, 6), nn.Unflatten(-1, (3, 2)))
    model = Latent(standard_normal(3), Gaussian(encoder), squared_error(nn.Linear(3, 5)))
    trace = model.trace(Batch({"x": torch.randn(4, 5)}), particles=7)
    expected = -trace.log_p.mean(0) - 1.5 * math.log(2 * math.pi)
    assert_close(SquaredCode()(trace)["code"], expected)
    assert not torch.allclose(SquaredCode()(trace)["code"], Rate()(trace)["rate"])


def test_weights_are_counted_without_biases() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))
    model = Latent(standard_normal(3), Gaussian(nn.Unflatten(-1, (3, 2))), squared_error(net))
    objective = SquaredWeights(net)
    terms = objective(model.trace(Batch({"x": torch.randn(2, 6)[:, :5]}, None, None, None, {"x": torch.randn(2, 6)})))
    expected = net[0].weight.square().sum() + net[2].weight.square().sum()
    assert_close(terms["weights"], expected.expand(2))
    assert not list(objective.parameters())
    assert not objective.state_dict()
