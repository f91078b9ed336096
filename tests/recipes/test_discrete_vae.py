"""The autoencoder with discrete latents: what its arguments make of it, what it refuses, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close, refused
from catalogue import batch, spec, variable
from lowerbound.core import ELBO, IWAE, AnalyticELBO, Baselined, Batch, Enumerate, Score, enumerated_log_marginal, total
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get
from lowerbound.recipes.discrete import EstimatorName
from lowerbound.run.folder import modules_of
from lowerbound.training.progress import Silent

NAMES = get_args(EstimatorName)


def built(**arguments: Any) -> Setup:
    return get("discrete-vae").build(spec(variable("binary", (8,))), **{"latent": 3, "hidden": (6,), **arguments})


def seen(setup: Setup, rows: int = 5) -> Batch:
    return setup.see(batch("binary", rows, (8,)))


def test_defaults() -> None:
    setup = get("discrete-vae").build(spec(variable("unit")))
    assert isinstance(setup.objective, AnalyticELBO)
    assert isinstance(setup.estimator, Score)
    assert setup.particles == 2
    assert setup.model.prior().event_shape == (200,)
    assert not list(setup.model.prior.parameters())


def test_no_hidden_width_is_one_linear_layer_each_side() -> None:
    setup = get("discrete-vae").build(spec(variable("binary", (28, 28))), latent=200, hidden=())
    shapes = [tuple(p.shape) for p in setup.model.parameters()]
    assert shapes == [(200, 784), (200,), (784, 200), (784,)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("prior", ["uniform", "learned"])
def test_both_forms_of_the_bound_agree_when_enumerated(prior: str, classes: int) -> None:
    """And lie below log p(x), which a sum over all values of z gives."""
    setup = built(prior=prior, classes=classes, estimator="enumerate")
    torch.nn.init.normal_(next(iter(setup.model.prior.parameters()), torch.empty(1)))
    b = seen(setup)
    trace = setup.model.trace(b, 2, setup.estimator)
    assert trace.z.shape == (classes**3, 5, *((3,) if classes == 2 else (3, 3)))
    assert trace.kl["z"].shape == (5, 3)
    analytic, plain = sum(AnalyticELBO()(trace).values()), ELBO()(trace)["negative_elbo"]
    assert_close(analytic, plain, within=1e-5)
    assert_close(-IWAE()(trace)["negative_iwae"], enumerated_log_marginal(setup.model, b), within=1e-5)
    assert (-plain < enumerated_log_marginal(setup.model, b)).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_learns(name: str) -> None:
    """A hundred steps on five rows raise the enumerated bound by nats; its own parameters, if any, move too."""
    torch.manual_seed(1)
    setup = built(estimator=name, bound="iwae" if name == "vimco" else "elbo", particles=4, prior="learned")
    b, everything = seen(setup), modules_of(setup)
    before = [p.detach().clone() for p in everything.parameters()]
    start = bound(setup, b)
    adam = torch.optim.Adam(everything.parameters(), 0.03)
    for _ in range(100):
        adam.zero_grad()
        total(setup.objective(setup.model.trace(b, setup.particles, setup.estimator))).backward()
        adam.step()
    assert bound(setup, b) > start + 1
    assert all(not torch.equal(*pair) for pair in zip(before, everything.parameters()))


@torch.no_grad()
def bound(setup: Setup, b: Batch) -> float:
    """The ELBO, enumerated."""
    return -total(ELBO()(setup.model.trace(b, 1, Enumerate()))).item()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"estimator": "disarm", "bound": "iwae"},
            "the estimator disarm weighs each particle by itself, which the bound iwae does not; use vimco",
        ),
        (
            {"estimator": "gumbel", "bound": "elbo-mc"},
            "the estimator gumbel relaxes z, which then has no log q; use bound elbo, or gumbel-straight-through",
        ),
        (
            {"estimator": "enumerate", "bound": "iwae"},
            "the estimator enumerate makes the bound iwae log p(x) itself, whatever the encoder; use bound elbo",
        ),
        ({"bound": "iwae"}, "the estimator rloo is called vimco under the bound iwae; use vimco"),
        ({"estimator": "vimco"}, "the estimator vimco is called rloo under the bound elbo; use rloo"),
        ({"particles": 1}, "the estimator rloo compares particles with each other; use particles of at least 2"),
        (
            {"estimator": "disarm", "particles": 3},
            "the estimator disarm draws particles in pairs, and 3 is odd; use particles of 2, 4 and so on",
        ),
        (
            {"estimator": "disarm", "classes": 3},
            "the estimator disarm is for latents of 2 classes; use rloo or vimco",
        ),
        (
            {"estimator": "enumerate", "latent": 200},
            "z has 2^200 values, too many for the estimator enumerate; use rloo",
        ),
        ({"classes": 1}, "a latent of 1 class says nothing; use classes of at least 2"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with refused(sentence, InputError):
        built(**arguments)


def test_only_the_monte_carlo_bound_has_its_signal_normalised() -> None:
    for bound, normalised in (("elbo", False), ("elbo-mc", True), ("iwae", False)):
        estimator = built(estimator="nvil", bound=bound).estimator
        assert isinstance(estimator, Baselined)
        assert (estimator.normalise is not None) == normalised


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_a_step_compiles_whole(name: str) -> None:
    setup = built(estimator=name, bound="elbo-mc")
    b, everything = seen(setup), modules_of(setup)
    before = {key: value.clone() for key, value in everything.state_dict().items()}

    def loss() -> torch.Tensor:
        return total(setup.objective(setup.model.trace(b, setup.particles, setup.estimator)))

    found = []
    torch.compiler.reset()
    for step in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(0)
        everything.load_state_dict(before)
        everything.zero_grad()
        value = step()
        value.backward()
        found.append([value.detach(), *(p.grad.clone() for p in everything.parameters())])
    for eager, compiled in zip(*found):
        assert_close(compiled, eager, within=1e-5)


@pytest.mark.parametrize(("name", "classes"), [("nvil", 2), ("relax", 3)])
def test_what_an_estimator_learned_is_kept_with_the_run(name: str, classes: int, tmp_path: Path) -> None:
    """And a model of several classes has codes like any other: encoded, decoded, evaluated, opened again."""
    arguments = {"latent": 4, "classes": classes, "hidden": (8,), "estimator": name, "bound": "elbo-mc"}
    fitted = lowerbound.train(
        "discrete-vae", "digits", tmp_path / "run", progress=Silent(), epochs=2, batch_size=256, **arguments
    )
    opened = lowerbound.load(tmp_path / "run", device="cpu")
    held, kept = modules_of(opened.setup).state_dict(), modules_of(fitted.setup).state_dict()
    assert any(key.startswith("estimator.") for key in kept)
    assert all(torch.equal(held[key], value) for key, value in kept.items())
    x = np.zeros((3, 8, 8))
    assert fitted.encode(x).shape == (3, 4 if classes == 2 else 12)
    assert np.array_equal(opened.decode(fitted.encode(x)), fitted.decode(fitted.encode(x)))
    figures = opened.evaluate(split="validation", particles=50)
    assert figures["elbo"]["value"] < figures["log_p"]["value"]
    assert (figures["kl_per_dimension"] is not None) == (classes == 2)  # a symbol's is not that of one number
