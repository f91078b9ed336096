"""A model shown training rows between two steps: when, which rows, and with nothing left of what went before."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lowerbound.core import Batch
from lowerbound.data.dataset import Dataset
from lowerbound.errors import Interrupted
from lowerbound.recipes import get
from lowerbound.recipes.registry import Meeting, Setup
from lowerbound.run.folder import Run
from lowerbound.training import loop
from lowerbound.training.loop import train
from lowerbound.training.meetings import Meetings
from lowerbound.training.progress import Progress, Silent, Tick

MakeRun = Callable[..., Run]
VADE = {"hidden": [8], "components": 3, "latent": 2, "restarts": 2}
CPU = torch.device("cpu")


class Stopper(Progress):
    """Sends Ctrl-C at the tick of a step, and keeps the steps it saw."""

    def __init__(self, step: int) -> None:
        self.step = step

    def tick(self, tick: Tick) -> None:
        if tick.step == self.step:
            signal.raise_signal(signal.SIGINT)

    def say(self, sentence: str) -> None:
        pass

    def close(self) -> None:
        pass


def setup(digits: Dataset, meet: dict[float, Meeting]) -> Setup:
    return replace(get("vae").build(digits.spec, latent=2, hidden=[4]), meet=meet)


def meetings(digits: Dataset, meet: dict[float, Meeting]) -> Meetings:
    return Meetings(setup(digits, meet), digits.split("train").resident(CPU), 10, 0, CPU)


def test_each_is_held_before_its_step_and_told_which_that_is(digits: Dataset) -> None:
    held: list[tuple[int, int]] = []
    met = meetings(digits, {share: lambda _, step, steps: held.append((step, steps)) for share in (0.55, 0.0)})
    assert [met.hold(step) for step in range(10)] == [True, *[False] * 4, True, *[False] * 4]
    assert held == [(0, 10), (5, 10)]
    assert [met.over(step) for step in (0, 1, 5, 6)] == [False, False, False, True]


def test_a_setup_without_meetings_is_past_them(digits: Dataset) -> None:
    assert meetings(digits, {}).over(0)


def test_rows_are_of_the_training_split_without_noise_and_draws_those_of_the_step(digits: Dataset) -> None:
    seen: list[tuple[Batch, torch.Tensor]] = []
    met = meetings(digits, {0.0: lambda rows, *_: seen.append((rows(7), torch.rand(3)))})
    for _ in range(2):
        torch.rand(1)
        met.hold(0)
    (first, drawn), (second, again) = seen
    assert torch.equal(first.x["x"], second.x["x"])
    assert torch.equal(drawn, again)
    assert first.index is not None
    assert set(first.index.tolist()) <= set(digits.splits["train"].tolist())
    assert first.size == 7


def test_what_is_drawn_differs_between_meetings(digits: Dataset) -> None:
    drawn: list[float] = []
    met = meetings(digits, {0.0: lambda *_: drawn.append(float(torch.rand(()))), 0.5: lambda *_: drawn.append(0.0)})
    met.due = [(0, met.due[0][1]), (1, met.due[0][1])]
    met.hold(0), met.hold(1)
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("step", [4, 5, 6, 9])
def test_interrupted_before_and_after_a_meeting_it_goes_on_to_the_same_bytes(
    new_run: MakeRun, digits: Dataset, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 15 steps, the mixture is fitted before step 5: checkpoints lie right before, right after and around it."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_LOOKS", 0.0)
    settings: dict[str, Any] = {"recipe": "vade", "arguments": {**VADE, "ahead": 0.34, "rise": 0.3}, "epochs": 3}
    settings |= {"ema": 0.9, "patience": 2}
    whole, broken = new_run("whole", **settings), new_run("broken", **settings)
    train(whole, digits)
    with pytest.raises(Interrupted, match=f"after step {step} of 15"):
        train(broken, digits, progress=Stopper(step))
    train(Run.open(broken.path), digits)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (broken.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_no_weights_from_before_the_last_meeting_are_kept_and_patience_counts_from_there(
    new_run: MakeRun, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([-10.0, -11.0, -12.0, -50.0, -40.0, -60.0, -60.0, -1.0])
    monkeypatch.setattr("lowerbound.training.validation.Validation.score", lambda *_: next(scores))
    run = new_run(recipe="vade", arguments={**VADE, "ahead": 0.4}, epochs=8, patience=2)
    train(run, digits, progress=Silent())
    assert Run.open(run.path).record.result == {"steps": 35, "epoch_kept": 5, "validation_objective": -40.0}


def test_moments_and_average_begin_anew(new_run: MakeRun, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meeting that moves a weight: Adam's first step after it is that of an Adam that knows nothing else."""
    counts: list[int] = []
    step = loop.State.renew

    def renewed(state: loop.State) -> None:
        step(state)
        counts.append(len(state.optimiser.state()))
        assert all(torch.equal(a, p) for a, p in zip(state.average.values, state.average.parameters))

    monkeypatch.setattr(loop.State, "renew", renewed)
    train(new_run(recipe="vade", arguments={**VADE, "ahead": 0.5}, ema=0.9), digits)
    assert counts == [0]
