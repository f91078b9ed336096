"""Training as a whole: the same numbers again and again, the best weights kept, and honest ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lowerbound.core import AnalyticELBO, Batch
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.distributed import World
from lowerbound.errors import DivergedError, InputError, Interrupted
from lowerbound.run.folder import Run
from lowerbound.training import acceleration, loop
from lowerbound.training.interrupts import Request
from lowerbound.training.loop import Trainer, train
from lowerbound.training.progress import Progress, Silent, Tick

MakeRun = Callable[..., Run]
CPU = torch.device("cpu")


def weights(run: Run) -> bytes:
    return (run.path / "weights.safetensors").read_bytes()


def metrics(run: Run) -> bytes:
    return (run.path / "metrics.jsonl").read_bytes()


class Stopper(Progress):
    """Sends Ctrl-C to the process at the tick of a step, as a user would."""

    def __init__(self, step: int) -> None:
        self.step, self.said = step, list[str]()

    def tick(self, tick: Tick) -> None:
        if tick.step == self.step:
            signal.raise_signal(signal.SIGINT)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def close(self) -> None:
        pass


def test_training_learns_and_leaves_a_run_that_opens(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(epochs=10, batch_size=32, lr=1e-2)
    train(run, digits)
    records = Run.open(run.path).metrics()
    assert [record["epoch"] for record in records] == list(range(1, 11))
    # The first epoch starts from the mean picture, so what comes after is owed to the latent.
    assert records[-1]["validation"]["objective"] > records[0]["validation"]["objective"] + 1.5
    assert Run.open(run.path).record.state == "trained"
    assert not (run.path / "checkpoints").exists()


def test_the_same_seed_is_the_same_run_and_another_is_not(new_run: MakeRun, digits: Dataset) -> None:
    first, second, other = new_run("a"), new_run("b"), new_run("c", seed=1)
    for run in (first, second, other):
        torch.manual_seed(len(run.path.name))
        train(run, digits)
    assert weights(first) == weights(second)
    assert metrics(first) == metrics(second)
    assert weights(first) != weights(other)


def test_the_callers_random_numbers_are_left_alone(new_run: MakeRun, digits: Dataset) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(new_run(), digits)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("step", [3, 5, 6, 17])
def test_ctrl_c_saves_and_going_on_gives_the_same_bits(
    new_run: MakeRun, digits: Dataset, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_LOOKS", 0.0)
    settings = {"epochs": 4, "ema": 0.9, "clip": 1.0, "schedule": "cosine", "lr_warmup": 3, "patience": 2}
    whole, broken = new_run("whole", **settings), new_run("broken", **settings)
    train(whole, digits)
    with pytest.raises(Interrupted, match=f"after step {step} of 20 .* --resume {broken.path}"):
        train(broken, digits, progress=Stopper(step))
    train(Run.open(broken.path), digits)
    assert weights(broken) == weights(whole)
    assert metrics(broken) == metrics(whole)


def test_a_trained_run_is_not_trained_again(new_run: MakeRun, digits: Dataset) -> None:
    run, listener = new_run(), Stopper(-1)
    train(run, digits)
    before = weights(run)
    (run.path / "checkpoints").mkdir()
    train(Run.open(run.path), digits, progress=listener)
    assert weights(run) == before
    assert not (run.path / "checkpoints").exists()
    assert listener.said == [f"nothing to do: {run.path} has trained already"]


def test_other_data_are_refused_by_fingerprint(new_run: MakeRun, digits: Dataset) -> None:
    other = load_data({"x": np.array(digits.arrays["x"])[::-1]})
    run = new_run()
    with pytest.raises(InputError, match=f"{digits.spec.fingerprint[:12]}.*{other.spec.fingerprint[:12]}"):
        train(run, other)
    resplit = replace(digits, spec=replace(digits.spec, split_seed=7))
    with pytest.raises(InputError, match=r"split seed 0.*split seed 7"):
        train(run, resplit)


def test_the_test_split_is_never_read(new_run: MakeRun, digits: Dataset) -> None:
    hidden = dict(digits.arrays)
    hidden["x"] = hidden["x"].copy()
    hidden["x"][digits.splits["test"]] = 0
    seen, unseen = new_run("seen"), new_run("unseen")
    train(seen, digits)
    train(unseen, replace(digits, arrays=hidden))
    assert weights(seen) == weights(unseen)


def test_the_best_weights_are_kept_and_patience_ends_it(
    new_run: MakeRun, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = iter([-50.0, -40.0, -45.0, float("nan"), -30.0])
    monkeypatch.setattr("lowerbound.training.validation.Validation.score", lambda *_: next(bounds))
    stopped, short = (
        new_run("stopped", epochs=9, patience=2, schedule="constant"),
        new_run("short", epochs=2, schedule="constant"),
    )
    listener = Stopper(-1)
    train(stopped, digits, progress=listener)
    assert listener.said == ["stopped early: 2 epochs without a better validation objective"]
    assert Run.open(stopped.path).record.result == {"steps": 20, "epoch_kept": 2, "validation_objective": -40.0}
    assert stopped.metrics()[3]["validation"]["objective"] is None
    bounds = iter([-50.0, -40.0])
    train(short, digits)
    assert weights(stopped) == weights(short)


def test_training_that_diverges_stops_and_keeps_good_weights(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(epochs=50, lr=1e5, arguments={"likelihood": "gaussian"})
    with pytest.raises(DivergedError, match=r"diverged by step \d+.*lr below 100000"):
        train(run, digits)
    opened = Run.open(run.path)
    assert opened.record.state == "diverged"
    assert all(value.isfinite().all() for value in opened.setup().model.state_dict().values())


def test_one_bad_step_is_left_out_and_reported(
    new_run: MakeRun, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LARGEST_SKIPPED_SHARE", 0.5)
    run = new_run(epochs=1)
    trainer = Trainer(run, digits, World(), CPU, Silent(), Request())
    forward, calls = trainer.loss.forward, []

    def poisoned(seen: Batch, step: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(step)
        terms = forward(seen, step)
        return {name: term * (float("nan") if len(calls) == 2 else 1.0) for name, term in terms.items()}

    monkeypatch.setattr(trainer.loss, "forward", poisoned)
    trainer.fit()
    (record,) = run.metrics()
    assert record["skipped"] == 1
    assert all(np.isfinite(value) for value in record["train"].values())
    assert all(value.isfinite().all() for value in Run.open(run.path).setup().model.state_dict().values())


class Reads(TorchDispatchMode):
    """Counts how often the host asks a tensor for its value."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("arguments", [{}, {"bound": "iwae", "particles": 3, "estimator": "dreg"}, {"anneal": 5}])
def test_a_step_reads_nothing_back_to_the_host(new_run: MakeRun, digits: Dataset, arguments: dict[str, Any]) -> None:
    run = new_run(clip=1.0, ema=0.9, arguments=arguments)
    trainer = Trainer(run, digits, World(), CPU, Silent(), Request())
    trainer._resume()
    batch = trainer.rows.batch(torch.arange(8))
    trainer._take_step(batch)
    with Reads() as reads:
        trainer._take_step(batch)
    with Reads() as control:
        float(trainer.clock)
    assert (reads.count, control.count) == (0, 1)


def test_validating_is_repeatable_and_equals_the_bound_by_hand(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(arguments={"likelihood": "gaussian-fixed"})
    trainer = Trainer(run, digits, World(), CPU, Silent(), Request())
    first = trainer.validation.score(trainer.loss, trainer.context)
    torch.rand(3)
    assert trainer.validation.score(trainer.loss, trainer.context) == first
    setup = trainer.loss.setup
    rows = digits.split("validation").resident("cpu")
    batch = setup.see(rows.batch(torch.arange(rows.count)))
    traces = [AnalyticELBO()(setup.model.trace(batch)) for _ in range(50)]
    draws = torch.stack([-sum(terms.values()).mean() for terms in traces]) + setup.log_volume
    assert first == pytest.approx(draws.mean().item(), abs=6 * draws.std().item())


def test_metrics_hold_what_they_say(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(epochs=2, lr=0.01, schedule="cosine", tensorboard=True)
    train(run, digits)
    first, last = run.metrics()
    assert set(first) == {"epoch", "step", "lr", "skipped", "train", "validation"}
    assert set(first["train"]) == {"distortion", "rate", "gradient_norm"}
    assert (last["step"], last["skipped"]) == (10, 0)
    assert last["lr"] == pytest.approx(0.01 * (1 + np.cos(np.pi * 0.9)) / 2)
    timing = [json.loads(line) for line in (run.path / "timing.jsonl").read_text().splitlines()]
    assert [line["step"] for line in timing] == [5, 10]
    assert any((run.path / "tensorboard").iterdir())


def test_a_batch_may_be_larger_than_the_data(new_run: MakeRun, digits: Dataset) -> None:
    run = new_run(batch_size=10**6, epochs=1)
    train(run, digits)
    assert run.metrics()[0]["step"] == 1


def test_an_objective_with_a_schedule_is_resumed_in_place(
    new_run: MakeRun, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_LOOKS", 0.0)
    whole, broken = (new_run(name, arguments={"anneal": 8}) for name in ("whole", "broken"))
    train(whole, digits)
    with pytest.raises(Interrupted):
        train(broken, digits, progress=Stopper(4))
    train(Run.open(broken.path), digits)
    assert weights(broken) == weights(whole)


def test_bf16_trains_to_about_the_same_bound(new_run: MakeRun, digits: Dataset) -> None:
    full, half = new_run("full", epochs=6), new_run("half", epochs=6, precision="bf16")
    for run in (full, half):
        train(run, digits)
    bounds = [run.metrics()[-1]["validation"]["objective"] for run in (full, half)]
    assert bounds[0] == pytest.approx(bounds[1], abs=0.5)
    assert all(v.dtype == torch.float32 for v in half.setup().model.state_dict().values())


def test_leftovers_of_a_killed_process_are_cleared_away(new_run: MakeRun, digits: Dataset, tmp_path: Path) -> None:
    run = new_run(epochs=1)
    (run.path / ".recipe.json.x.tmp.json").write_text("{")
    train(run, digits)
    assert sorted(path.name for path in run.path.iterdir()) == [
        "metrics.jsonl",
        "recipe.json",
        "timing.jsonl",
        "weights.safetensors",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not acceleration._compiler(), reason="no C++ compiler")
def test_a_compiled_step_repeats_itself_and_learns_the_same(new_run: MakeRun, digits: Dataset) -> None:
    eager = new_run("eager", epochs=4, compile="off")
    built, again = new_run("built", epochs=4, compile="on"), new_run("again", epochs=4, compile="on")
    for run in (eager, built, again):
        train(run, digits)
    assert weights(built) == weights(again)
    bounds = [run.metrics()[-1]["validation"]["objective"] for run in (eager, built)]
    assert bounds[0] == pytest.approx(bounds[1], abs=0.5)


def test_compiling_without_a_compiler_is_refused(
    new_run: MakeRun, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(compile="on")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"install g\+\+ or set compile to off"):
        train(run, digits)
