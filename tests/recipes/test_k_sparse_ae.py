"""The k-sparse autoencoder: its loss and gradients against a dense one written out, its dead units, its samples."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lowerbound
from agree import assert_close, refused
from catalogue import raw, spec, variable
from lowerbound.core import Batch, total
from lowerbound.core.sparse_codes import UnitUse
from lowerbound.errors import InputError
from lowerbound.nets import topk
from lowerbound.recipes import Setup, get

ACTIVATIONS = get_args(get("k-sparse-ae").parameters["activation"].hint)


def build(kind: str = "unit", shape: tuple[int, ...] = (8, 8), **arguments: object) -> Setup:
    given = {"latent": 40, "k": 3, "likelihood": "mse", **arguments}
    return get("k-sparse-ae").build(spec(variable(kind, shape)), **given)


def seen_by(setup: Setup, rows: int = 6) -> Batch:
    return setup.see(Batch({"x": raw("unit", rows, 8, 8)}))


def loss_of(setup: Setup, seen: Batch) -> Tensor:
    return total(setup.objective(setup.model.trace(seen, 1, setup.estimator)))


def dead(setup: Setup, units: list[int]) -> Setup:
    encoder = setup.model.encoder
    encoder.idle[units] = encoder.dead_after
    return setup


@pytest.mark.usefixtures("double")
def test_loss_and_gradients_are_those_of_a_dense_implementation() -> None:
    """Squared error of the k largest, and a share of that with which dead units tell the residual, cut from it."""
    setup = dead(build(revive=0.5), [4, 11, 12, 30])
    setup.start({"x": torch.rand(8, 8)})
    seen = seen_by(setup)
    loss_of(setup, seen).backward()
    encoder, net = setup.model.encoder, setup.model.likelihood["x"].net
    weight, bias, rows, mean = (
        each.detach().clone().requires_grad_() for each in (encoder.weight, encoder.bias, net.weight, net.bias)
    )
    x, units = seen.x["x"].flatten(1), F.normalize(rows)
    h = F.linear(x, weight, bias)
    z = torch.zeros_like(h).scatter(1, h.topk(3).indices, h.topk(3).values)
    told = z @ units + mean.flatten()
    buried = h[:, [4, 11, 12, 30]].relu()
    spare = torch.zeros_like(buried).scatter(1, buried.topk(3).indices, buried.topk(3).values) @ units[[4, 11, 12, 30]]
    left = x - told
    loss = left.square().sum(1).mean() + 0.5 * (left.detach() - spare).square().sum(1).mean()
    loss.backward()
    for ours, theirs in ((encoder.weight, weight), (encoder.bias, bias), (net.weight, rows), (net.bias, mean)):
        assert_close(ours.grad.flatten(), theirs.grad.flatten())


def test_the_living_learn_nothing_from_the_revival_of_the_dead() -> None:
    setup, seen = dead(build(), [7]), None
    seen = seen_by(setup)
    revival = setup.objective.right(setup.model.trace(seen))
    total(revival).backward()
    net, encoder = setup.model.likelihood["x"].net, setup.model.encoder
    assert net.bias.grad.abs().max() == 0
    for p in (net.weight, encoder.weight):
        assert p.grad.abs().sum(1).nonzero().flatten().tolist() == [7]


def test_nothing_is_revived_in_evaluation_or_where_nothing_is_dead() -> None:
    setup = build()
    seen = seen_by(setup)
    assert setup.objective(setup.model.trace(seen))["weighted_revival"].abs().max() < 1e-4
    dead(setup, list(range(40)))
    assert setup.objective(setup.model.trace(seen))["weighted_revival"].abs().min() > 1e-3
    setup.model.eval()
    assert setup.objective(setup.model.trace(seen))["weighted_revival"].abs().max() == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_training_step_compiles_whole(activation: str) -> None:
    setup = dead(build(activation=activation, pull=1.0), [1, 2, 3])
    seen = seen_by(setup)
    loss_of(setup, seen)  # a first step sets the scale of thresholds
    state = {name: value.clone() for name, value in setup.model.state_dict().items()}
    found = []
    torch.compiler.reset()
    for step in (loss_of, torch.compile(loss_of, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(0)
        setup.model.load_state_dict(state)
        setup.model.zero_grad()
        value = step(setup, seen)
        value.backward()
        found.append([value.detach(), *(p.grad.clone() for p in setup.model.parameters())])
    for eager, compiled in zip(*found):
        assert_close(compiled, eager, within=1e-5)


class Largest(TorchDispatchMode):
    """The most entries of any tensor that an operation makes."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        self.entries = max(self.entries, *(each.numel() for each in made), 0)
        return out


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_makes_nothing_of_the_size_of_a_dense_code(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk, "BLOCK", 1 << 14)
    setup = dead(build(shape=(2, 2), latent=10_000, activation=activation), list(range(500)))
    seen = setup.see(Batch({"x": raw("unit", 64, 2, 2)}))
    with Largest() as made:
        loss_of(setup, seen).backward()
    weights, codes = 10_000 * 4, 64 * 10_000
    assert weights <= made.entries < codes / 5


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_parameter_learns(activation: str) -> None:
    setup = build(activation=activation, k=1)
    setup.objective(setup.model.trace(seen_by(setup)))
    loss_of(setup, seen_by(setup, 400)).backward()
    for name, p in setup.model.named_parameters():
        assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rows_alone_are_what_they_are_in_a_batch(activation: str) -> None:
    setup = build(activation=activation)
    seen = seen_by(setup)
    setup.model.trace(seen)
    setup.model.eval()
    together = setup.model.infer(seen).mean
    assert_close(torch.cat([setup.model.infer(seen[i : i + 1]).mean for i in range(6)]), together, within=1e-6)
    assert_close(setup.model.decode(together)["x"].mean, setup.model.trace(seen).px["x"].mean[0], within=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_learns_digits_and_says_how_its_units_are_used(activation: str) -> None:
    model = lowerbound.train(
        "k-sparse-ae", "digits", epochs=8, lr=0.01, latent=128, k=8, likelihood="mse", activation=activation
    )
    figures = model.evaluate()
    assert figures["reconstruction_mse"]["value"] < 0.025
    assert figures["units_used"]["mean"] == pytest.approx(8, abs=0 if activation == "topk" else 4)
    assert 0 <= figures["dead_units"] < 0.9
    assert "log_p" not in figures
    codes = model.encode(model.rows().array("x"))
    assert codes.shape == (179, 128)
    assert (codes != 0).sum(1).mean() == pytest.approx(figures["units_used"]["mean"])
    assert_close(torch.from_numpy(model.decode(codes)), torch.from_numpy(model.reconstruct(model.rows().array("x"))))


def test_a_sample_is_the_reconstruction_of_a_training_datum() -> None:
    model = lowerbound.train("k-sparse-ae", "digits", epochs=1, latent=64, k=8, likelihood="mse")
    known = model.reconstruct(model.rows(split="train").array("x")).reshape(-1, 64)
    drawn = model.sample(20).reshape(-1, 64)
    nearest = np.abs(drawn[:, None] - known[None]).max(2).min(1)
    assert nearest.max() < 1e-4
    assert len(np.unique(drawn.round(3), axis=0)) > 10


def test_more_units_than_there_are_is_refused() -> None:
    with refused("k is 41, more units than the 40 of latent; lower k or raise latent", InputError):
        build(k=41)


def test_unit_use_counts() -> None:
    setup = build(latent=4, k=1).model.eval()
    meter = UnitUse(4)
    setup.encoder.weight.data = torch.eye(64)[:4]
    setup.encoder.bias.data.zero_()
    x = torch.zeros(4, 64)
    x[[0, 1, 2, 3], [0, 0, 0, 2]] = 1
    meter.add(setup.trace(Batch({"x": x.reshape(4, 8, 8)})))
    assert meter.figures() == {
        "units_used": {"mean": 1.0, "min": 1, "max": 1},
        "dead_units": 0.5,
        "density": {"median": 0.25, "max": 0.75},
    }
