"""A process killed at any moment leaves a folder from which training goes on to the very same weights."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.reading import Reading
from lowerbound.run.folder import Run
from lowerbound.run.settings import Settings
from lowerbound.training.loop import train

SETTINGS = Settings(epochs=15, batch_size=64, ema=0.9, clip=5.0, checkpoint_seconds=0.05, precision="fp32")


def go_on(path: Path, started: Event) -> None:
    """Train the run at `path` from where it stands: what the killed process does."""
    torch.set_num_threads(1)
    data, run = load_data("digits"), Run.open(path)
    started.set()
    train(run, data)


def start(path: Path) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lowerbound.training.loop", "lowerbound.data.dataset", "sklearn.datasets"])
    started = context.Event()
    process = context.Process(target=go_on, args=(path, started))
    process.start()
    assert started.wait(60)
    return process


def make(path: Path, recipe: str, digits: Dataset) -> Path:
    arguments = {"latent": 2, "hidden": [16], **({"steps": 3} if recipe == "svi" else {})}
    return Run.create(path, recipe, arguments, digits.spec, SETTINGS, Reading("digits")).path


def assert_whole(path: Path) -> None:
    """Every file under its final name is complete; what is not has a temporary name."""
    Run.open(path)
    Run.open(path).metrics()
    for facts in path.glob("checkpoints/[0-9]*/state.json"):
        assert json.loads(facts.read_text())["facts"]


@pytest.mark.parametrize(("recipe", "kills"), [("vae", 5), ("svi", 2)])
def test_killed_at_random_moments_it_still_ends_in_the_same_weights(
    recipe: str, kills: int, tmp_path: Path, digits: Dataset
) -> None:
    whole, broken = make(tmp_path / "whole", recipe, digits), make(tmp_path / "broken", recipe, digits)
    process = start(whole)
    began = time.monotonic()
    process.join(120)
    seconds = time.monotonic() - began
    killed, moments = 0, random.Random()
    for _ in range(kills):
        process = start(broken)
        time.sleep(moments.uniform(0, 0.3 * seconds))
        process.kill()
        process.join(60)
        killed += process.exitcode == -9
        assert_whole(broken)
    process = start(broken)
    process.join(120)
    assert process.exitcode == 0
    assert killed, "training was over before any kill, so this showed nothing"
    for name in ("weights.safetensors", "metrics.jsonl", "recipe.json"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    names = ["metrics.jsonl", "recipe.json", "timing.jsonl", "weights.safetensors"]
    assert sorted(file.name for file in broken.iterdir()) == names
