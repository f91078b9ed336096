"""A collapsed posterior is told of, and an encoder may learn ahead of its decoder."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lowerbound
from lowerbound.data.dataset import Dataset
from lowerbound.errors import Interrupted
from lowerbound.recipes import get
from lowerbound.run.folder import Run
from lowerbound.training.collapse import Collapse
from lowerbound.training.loop import train
from lowerbound.training.progress import Progress, Tick

MakeRun = Callable[..., Run]
CPU = torch.device("cpu")


class Listener(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tick(self, tick: Tick) -> None:
        pass

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def close(self) -> None:
        pass


class Interrupting(Progress):
    """Sends Ctrl-C at the tick of a step, as a user would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def tick(self, tick: Tick) -> None:
        if tick.step == self.step:
            signal.raise_signal(signal.SIGINT)

    def say(self, sentence: str) -> None:
        pass

    def close(self) -> None:
        pass


def trained(run: Run, data: Dataset) -> list[str]:
    """What was said in training."""
    listener = Listener()
    train(run, data, progress=listener)
    return listener.said


def test_a_code_that_is_too_dear_collapses_and_is_told_of_once(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(epochs=10, batch_size=32, lr=1e-2, arguments={"beta": 1000.0})
    (said,) = trained(run, digits)
    assert said.startswith("z carries nothing: after epoch 7 its rate is 0.0")
    assert run.metrics()[-1]["validation"]["rate"] < 0.1


def test_a_decoder_of_texts_that_does_without_z_is_told_of_with_its_own_remedies(tmp_path: Path) -> None:
    texts = [f"{a} {b}{' at last' * (a == b)}" for a in ("one", "two") for b in ("one", "two", "three")] * 40
    listener, run = Listener(), tmp_path / "run"
    given: dict[str, Any] = {"latent": 2, "width": 8, "layers": 1, "embedding": 4, "decoder": "gru", "beta": 100.0}
    lowerbound.train("text-vae", texts, run, progress=listener, epochs=6, batch_size=3, lr=1e-2, **given)
    (said,) = listener.said
    assert said.startswith("z carries nothing: after epoch 5 its rate is 0.0")
    assert "anneal, free_bits, word_dropout (of a decoder that reads the words before), lag" in said


def test_only_what_a_recipe_takes_is_named(digits: Dataset) -> None:
    rows = digits.split("validation").resident(CPU)
    beta, none = (Collapse(rows, 0, CPU, arguments=names).warning(0.0, 3, 300) for names in (["beta"], []))
    assert beta is not None
    assert beta.endswith("; try a smaller beta, or a weaker decoder")
    assert none is not None
    assert none.endswith("; try a weaker decoder")


def test_a_code_that_is_used_is_not_warned_of(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(epochs=10, batch_size=32, lr=1e-2)
    assert trained(run, digits) == []
    assert run.metrics()[-1]["validation"]["rate"] > 1


def test_when_there_is_something_to_warn_of(digits: Dataset) -> None:
    watch = Collapse(digits.split("validation").resident(CPU), 0, CPU)
    assert watch.warning(0.05, epoch=2, step=1000) is None
    assert watch.warning(0.05, epoch=3, step=299) is None
    assert watch.warning(0.15, epoch=3, step=300) is None
    assert watch.warning(None, epoch=3, step=300) is None
    assert watch.warning(0.05, epoch=3, step=300) is not None
    assert watch.warning(0.05, epoch=4, step=400) is None


def test_the_rate_is_that_of_the_rows_and_a_model_without_a_bound_has_none(digits: Dataset) -> None:
    validation = digits.split("validation")
    watch = Collapse(validation.resident(CPU), 0, CPU)
    setup = get("vae").build(digits.spec, latent=2, hidden=[8], likelihood="gaussian-fixed")
    rows = validation.resident(CPU).batch(torch.arange(validation.count))
    kl = setup.model.trace(setup.steady(rows)).kl
    assert watch.rate(setup) == pytest.approx(kl["z"].sum(-1).mean().item(), rel=1e-5)
    assert setup.model.training
    assert watch.rate(get("ae").build(digits.spec, latent=2, hidden=[8])) is None


def moved(run: Run, digits: Dataset) -> dict[str, bool]:
    """Which parts of the model training moved from where they were drawn, by their matrices."""
    train(run, digits)
    before, after = (dict(setup.model.named_parameters()) for setup in (run.draw(), Run.open(run.path).setup()))
    return {name: not torch.equal(before[name], after[name]) for name in before if before[name].dim() > 1}


def test_while_the_encoder_learns_ahead_the_decoder_stands_still(new_run: MakeRun, digits: Dataset) -> None:
    found = moved(new_run(epochs=1, arguments={"lag": 5}), digits)
    assert {name.partition(".")[0] for name, moved in found.items() if moved} == {"posterior"}
    assert {name.partition(".")[0] for name, moved in found.items() if not moved} == {"likelihood"}


@pytest.mark.parametrize("arguments", [{"lag": 4}, {"lag": 100, "lag_steps": 4}, {"lag": 0}])
def test_then_both_move(new_run: MakeRun, digits: Dataset, arguments: dict[str, int]) -> None:
    """In the fifth of five steps."""
    assert all(moved(new_run(epochs=1, arguments=arguments), digits).values())


def test_a_run_interrupted_while_the_decoder_rests_goes_on_as_if_nothing_were(
    new_run: MakeRun, digits: Dataset
) -> None:
    arguments, step = {"lag": 100, "lag_steps": 7}, 5
    whole, parts = (new_run(name, epochs=2, arguments=arguments) for name in ("whole", "parts"))
    train(whole, digits)
    with pytest.raises(Interrupted):
        train(parts, digits, progress=Interrupting(step))
    train(parts, digits)
    assert (whole.path / "weights.safetensors").read_bytes() == (parts.path / "weights.safetensors").read_bytes()


def test_a_prior_made_of_the_encoder_rests_but_for_the_encoder(digits: Dataset) -> None:
    setup = get("vae").build(digits.spec, latent=2, hidden=[8], prior="vamp", components=5, lag=3, lag_steps=8)
    own = {id(parameter) for parameter in setup.model.posterior.parameters()}
    still = {id(parameter) for parameter in setup.resting(0)}
    assert own.isdisjoint(still)
    assert own | still == {id(parameter) for parameter in setup.model.parameters()}
    assert [step for step in range(10) if not list(setup.resting(step))] == [3, 7, 8, 9]
