"""What z tells of x, against channels whose capacity is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from agree import assert_close
from lowerbound.core import (
    Batch,
    Conditional,
    Gaussian,
    Homoscedastic,
    Latent,
    Model,
    Point,
    correlated,
    standard_normal,
)
from lowerbound.evaluation import information
from lowerbound.evaluation.information import Information, lost_by_shuffling
from toys import Affine, Head, LinearGaussian, TwoLatents

pytestmark = pytest.mark.usefixtures("double")


def measured(model: Model, x: Tensor, chunk: int = 256) -> dict[str, Any]:
    meter = Information(model)
    for part in x.split(chunk):
        meter.add(model.trace(Batch({"x": part})))
    return meter.figures().get("information", {})


class Channel:
    """q(z|x) = N(ax, s²) in each of the dimensions, and a decoder that reads z."""

    def __init__(self, gain: float, noise: float, size: int = 2) -> None:
        self.gain, self.noise, self.size = gain, noise, size

    def model(self) -> Latent:
        scale = torch.full((self.size,), 2 * math.log(self.noise))
        encoder = Gaussian(Head(Affine(self.gain * torch.eye(self.size), torch.zeros(self.size)), scale))
        decoder = Homoscedastic(Affine(torch.eye(self.size), torch.zeros(self.size)), torch.zeros(()))
        return Latent(standard_normal(self.size), encoder, decoder)


def agrees(found: dict[str, float], truth: float, slack: float = 0.0) -> bool:
    """Within 4.5 of its own standard errors: a true equality fails once in 150 000."""
    return abs(found["value"] - truth) < 4.5 * found["stderr"] + slack


def test_a_gaussian_channel_has_its_known_capacity() -> None:
    """I = D/2 log(1 + a²/s²) and q(z) = N(0, a² + s²), for x ~ N(0, I); 4 000 rows stand for that within 0.03 nats."""
    found = measured(Channel(gain=0.9, noise=0.6).model(), torch.randn(4000, 2))
    variance = 0.9**2 + 0.6**2
    assert agrees(found["mutual_information"], math.log(variance / 0.6**2), slack=0.03)
    assert agrees(found["aggregate_kl"], variance - 1 - math.log(variance), slack=0.03)
    assert (found["rows"], found["draws"]) == (4000, 1000)
    assert found["at_most"] == math.log(4000)


def test_what_tells_eight_groups_apart_tells_the_logarithm_of_eight() -> None:
    groups = 10.0 * torch.arange(8.0).repeat(50)
    found = measured(Channel(gain=1.0, noise=0.1, size=1).model(), groups.unsqueeze(1))
    assert found["mutual_information"]["value"] == pytest.approx(math.log(8), abs=1e-9)


def test_what_tells_every_row_apart_tells_as_much_as_there_can_be() -> None:
    found = measured(Channel(gain=1.0, noise=1e-3, size=1).model(), torch.arange(300.0).unsqueeze(1))
    assert found["mutual_information"]["value"] == pytest.approx(found["at_most"], abs=1e-9)


def test_a_posterior_that_does_not_look_at_x_tells_nothing() -> None:
    found = measured(Channel(gain=0.0, noise=0.5).model(), torch.randn(500, 2))
    assert found["mutual_information"]["value"] == pytest.approx(0, abs=1e-9)
    assert agrees(found["aggregate_kl"], 0.25 - 1 - math.log(0.25))


def test_information_and_aggregate_make_up_the_rate() -> None:
    toy = LinearGaussian()
    model, batch = toy.model(shrink=0.7, widen=0.3), toy.data(1000)
    found = measured(model, batch.x["x"])
    trace = model.trace(batch)
    rate = trace.kl["z"].sum(-1)
    total = found["mutual_information"]["value"] + found["aggregate_kl"]["value"]
    assert total == pytest.approx(rate.mean().item(), abs=0.2)


class Widened(Conditional):
    """The same Gaussian, of a family with correlations."""

    def __init__(self, part: Conditional) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: object) -> Distribution:
        return correlated(self.part(*given))


def test_a_posterior_with_correlations_is_measured_alike() -> None:
    model, x = Channel(gain=0.9, noise=0.6).model(), torch.randn(300, 2)
    torch.manual_seed(1)
    plain = measured(model, x)
    model.posterior = Widened(model.posterior)
    torch.manual_seed(1)
    wide = measured(model, x)
    for name in ("mutual_information", "aggregate_kl", "shuffled"):
        assert wide[name]["value"] == pytest.approx(plain[name]["value"], abs=0.05)


def test_of_two_data_each_is_decoded_from_the_other() -> None:
    model, x = Channel(gain=1.0, noise=0.1).model(), torch.randn(2, 2)
    trace = model.trace(Batch({"x": x}))
    own, others = (x - trace.z[0]).square().sum(-1), (x - trace.z[0].flip(0)).square().sum(-1)
    assert_close(lost_by_shuffling(model, trace), 0.5 * (others - own))
    assert lost_by_shuffling(model, model.trace(Batch({"x": x[:1]}))).shape == (0,)


def test_no_datum_keeps_its_z() -> None:
    model = Channel(gain=1.0, noise=1e-6, size=1).model()
    x = 10 * torch.arange(7.0).unsqueeze(1)
    for _ in range(50):
        assert (lost_by_shuffling(model, model.trace(Batch({"x": x}))) > 1).all()


def test_a_decoder_that_does_without_z_loses_nothing() -> None:
    model = Channel(gain=1.0, noise=0.5).model()
    with torch.no_grad():
        model.likelihood["x"].net.weight.zero_()
    assert measured(model, torch.randn(100, 2))["shuffled"]["value"] == 0


def test_rows_beyond_what_is_kept_are_left_out_and_counted_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information, "NUMBERS_KEPT", 2 * 128)
    found = measured(Channel(gain=1.0, noise=0.5).model(), torch.randn(200, 2), chunk=50)
    assert found["rows"] == 100
    assert found["at_most"] == math.log(100)


def test_draws_in_many_parts_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Channel(gain=1.0, noise=0.5).model(), torch.randn(200, 2)
    torch.manual_seed(1)
    whole = measured(model, x)
    monkeypatch.setattr(information, "AT_ONCE", 1000)
    torch.manual_seed(1)
    assert measured(model, x)["mutual_information"] == pytest.approx(whole["mutual_information"])


def test_models_whose_z_is_no_gaussian_have_no_such_figures() -> None:
    point = Latent(standard_normal(2), Point(nn.Identity()), Homoscedastic(nn.Identity(), torch.zeros(())))
    assert measured(point, torch.randn(5, 2)) == {}
    parts = {"u": Gaussian(Head(nn.Identity(), torch.zeros(1))), "v": Gaussian(Head(nn.Identity(), torch.zeros(1)))}
    assert measured(TwoLatents(parts), torch.randn(5, 1)) == {}
