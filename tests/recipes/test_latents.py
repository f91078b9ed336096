"""Priors and posteriors by name: each pair trains or is refused, and lives the life of a run."""

from __future__ import annotations

import signal
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close, refused
from catalogue import Case, batch
from lowerbound.core import IWAE, DReG, Pathwise, Score, total
from lowerbound.data.dataset import load_data
from lowerbound.errors import InputError, Interrupted
from lowerbound.recipes import Setup, get
from lowerbound.recipes.latents import PosteriorName, PriorName
from lowerbound.training.progress import Progress, Silent, Tick

PAIRS = list(product(get_args(PriorName), get_args(PosteriorName)))
SMALL = {"latent": 3, "hidden": [6], "components": 4, "transforms": 2}


def case(prior: str, posterior: str, **more: object) -> Case:
    return Case("vae", "unit", (("prior", prior), ("posterior", posterior), *more.items()))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("prior", "posterior"), PAIRS)
def test_every_pair_trains_or_is_refused(prior: str, posterior: str) -> None:
    if prior == "vamp" and posterior in ("iaf", "realnvp", "spline"):
        with pytest.raises(InputError, match=f"which takes {posterior} far too long; use a posterior diagonal"):
            case(prior, posterior).build()
        return
    setup = case(prior, posterior).build()
    b = setup.see(batch("unit", 4))
    for estimator in (setup.estimator, DReG()):
        objective = IWAE() if isinstance(estimator, DReG) else setup.objective
        setup.model.zero_grad()
        total(objective(setup.model.trace(b, 3, estimator))).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in setup.model.parameters())


def test_free_bits_want_dimensions_apart() -> None:
    sentence = (
        "free_bits charges each dimension of z by itself, which only prior normal and posterior diagonal allow; "
        "use anneal against an early collapse"
    )
    for pair in (("mixture", "diagonal"), ("normal", "full")):
        with refused(sentence, InputError):
            case(*pair, free_bits=0.5).build()


def test_without_a_choice_the_networks_are_what_they_were() -> None:
    names = list(Case("vae", "unit", ()).build().model.state_dict())
    assert "posterior.net.0.body.0.weight" in names
    assert not any("flow" in name for name in names)


class Stopper(Progress):
    """Sends Ctrl-C at the end of the first epoch, as a user would."""

    def tick(self, tick: Tick) -> None:
        if tick.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    def say(self, sentence: str) -> None:
        pass

    def close(self) -> None:
        pass


LIVES = [("mixture", "low-rank"), ("vamp", "full"), ("maf", "iaf"), ("realnvp", "realnvp"), ("spline", "spline")]


@pytest.mark.parametrize(("prior", "posterior"), LIVES)
def test_a_pair_lives_through_a_run(prior: str, posterior: str, tmp_path: Path) -> None:
    pair = {"prior": prior, "posterior": posterior, "epochs": 2, "batch_size": 512, "precision": "fp32", **SMALL}
    whole = lowerbound.train("vae", "digits", tmp_path / "run", progress=Silent(), **pair)
    x = load_data("digits").arrays["x"][:5]
    codes, drawn = whole.encode(x), whole.sample(4)
    figures = whole.evaluate(split="validation", particles=20)
    assert figures["elbo"]["value"] <= figures["log_p"]["value"]
    assert figures["kl_per_dimension"] is None
    assert whole.interpolate(x[0], x[1], 3).shape == (3, 8, 8)
    assert whole.traverse(x, steps=3).x.shape == (3, 3, 8, 8)
    opened = lowerbound.load(tmp_path / "run", device="cpu")
    assert np.array_equal(opened.encode(x), codes)
    assert np.array_equal(opened.sample(4), drawn)


@pytest.mark.parametrize(("prior", "posterior"), [("vamp", "diagonal"), ("maf", "iaf")])
def test_a_stopped_run_goes_on_as_if_nothing_had_been(prior: str, posterior: str, tmp_path: Path) -> None:
    pair = {"prior": prior, "posterior": posterior, "epochs": 2, "batch_size": 512, "precision": "fp32", **SMALL}
    lowerbound.train("vae", "digits", tmp_path / "whole", progress=Silent(), **pair)
    with pytest.raises(Interrupted):
        lowerbound.train("vae", "digits", tmp_path / "stopped", progress=Stopper(), **pair)
    lowerbound.resume(tmp_path / "stopped", progress=Silent())
    whole, stopped = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped


def test_pseudo_inputs_begin_as_training_rows(tmp_path: Path) -> None:
    """At a rate of nothing they are what they began as, seen as the encoder sees data."""
    options = {"prior": "vamp", "epochs": 1, "lr": 1e-30, "precision": "fp32", **SMALL}
    fitted = lowerbound.train("vae", "digits", tmp_path / "run", progress=Silent(), **options)
    inputs = fitted.setup.model.prior.inputs.detach()
    data = load_data("digits").split("train").array("x")
    seen = torch.from_numpy(data / 16).float()
    nearest = torch.cdist(inputs.flatten(1), seen.flatten(1)).min(1).values
    assert nearest.max() < 1e-5
    assert (torch.cdist(inputs.flatten(1), inputs.flatten(1)) + torch.eye(4)).min() > 0.1


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "arguments",
    [("prior", name) for name in get_args(PriorName)[1:]]
    + [("posterior", name) for name in get_args(PosteriorName)[1:]],
)
def test_a_training_step_compiles_whole(arguments: tuple[str, str]) -> None:
    setup = Case("vae", "unit", (arguments,)).build()
    seen = setup.see(batch("unit", 4))
    found = []
    torch.compiler.reset()
    for step in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(0)
        setup.model.zero_grad()
        value = step(setup, seen)
        value.backward()
        found.append([value.detach(), *(p.grad.clone() for p in setup.model.parameters())])
    for eager, compiled in zip(*found):
        assert_close(compiled, eager, within=1e-10)


def loss(setup: Setup, seen: object) -> torch.Tensor:
    return total(setup.objective(setup.model.trace(seen, 1, Pathwise())))


def test_the_score_function_serves_any_posterior() -> None:
    setup = case("normal", "iaf").build()
    total(setup.objective(setup.model.trace(setup.see(batch("unit", 4)), 3, Score()))).backward()
    assert all(p.grad.isfinite().all() for p in setup.model.parameters())


def test_every_choice_is_documented() -> None:
    docs = {name: parameter.doc for name, parameter in get("vae").parameters.items()}
    assert all(name in docs["prior"] for name in get_args(PriorName))
    assert all(name in docs["posterior"] for name in get_args(PosteriorName))
