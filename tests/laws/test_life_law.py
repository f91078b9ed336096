"""Every recipe lives the life of a run on real data: trained, stopped, resumed, measured, sampled, kept and opened."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowerbound
from catalogue import SMALL
from lowerbound.data.dataset import load_data
from lowerbound.data.lerobot import Episode, write_episodes
from lowerbound.errors import Interrupted
from lowerbound.recipes import get, names
from lowerbound.training.progress import Progress, Silent, Tick

SETTINGS = {"epochs": 3, "batch_size": 256, "precision": "fp32"}


class Stopper(Progress):
    """Sends Ctrl-C at the end of the second epoch, as a user would."""

    def tick(self, tick: Tick) -> None:
        if tick.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    def say(self, sentence: str) -> None:
        pass

    def close(self) -> None:
        pass


def trained(recipe: str, data: str, out: Path, progress: Progress) -> lowerbound.Fitted:
    small = {name: value for name, value in SMALL.items() if name in get(recipe).parameters}
    return lowerbound.train(recipe, data, out, progress=progress, text=TEXT.get(recipe), **small, **SETTINGS)


def contents(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in ("weights.safetensors", "metrics.jsonl")}


def texts(folder: Path) -> str:
    """A file of texts that differ in length."""
    words = ("red", "cat", "sat", "on", "the", "blue", "mat")
    lines = [" ".join(words[(3 * row + place) % 7] for place in range(1 + row % 6)) for row in range(600)]
    (folder / "texts.txt").write_text("\n".join(lines))
    return str(folder / "texts.txt")


def demonstrations(folder: Path) -> str:
    """Episodes of two tasks in a folder of LeRobot's layout."""
    random = np.random.default_rng(0)
    draws = [(random.normal(size=(60, 2)), random.normal(size=(60, 3)), ("stop", "go")[i % 2]) for i in range(10)]
    write_episodes(folder / "demonstrations", [Episode(*draw) for draw in draws], fps=10, robot="toy")
    return str(folder / "demonstrations")


DATA: dict[str, Callable[[Path], str]] = {"text-vae": texts, "told-act": demonstrations}
"""What recipes live on that are of one kind of data; the others live on digits."""
TEXT = {"told-act": "hash"}
"""The text encoder of what recipes are told in words."""


@pytest.mark.parametrize("recipe", names())
def test_a_recipe_lives_through_a_run(recipe: str, tmp_path: Path) -> None:
    data = DATA[recipe](tmp_path) if recipe in DATA else "digits"
    whole = trained(recipe, data, tmp_path / "whole", Silent())
    with pytest.raises(Interrupted):
        trained(recipe, data, tmp_path / "stopped", Stopper())
    lowerbound.resume(tmp_path / "stopped", progress=Silent())
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")

    x = next(iter(load_data(data, text=TEXT.get(recipe)).arrays.values()))[:5]
    codes, drawn = whole.encode(x), whole.sample(4)
    if data == "digits":
        assert drawn.shape == (4, 8, 8)
        assert drawn.min() >= 0
        assert drawn.max() <= 16
    assert_figures(whole.evaluate(split="validation", particles=20))

    opened = lowerbound.load(tmp_path / "whole", device="cpu")
    assert np.array_equal(opened.encode(x), codes)
    assert np.array_equal(opened.sample(4), drawn)
    assert np.array_equal(opened.reconstruct(x), whole.reconstruct(x))
    assert opened.reconstruct(x).shape == (5, *drawn.shape[1:])


def assert_figures(figures: dict[str, Any]) -> None:
    """All there is, as JSON; a bound only where there is one, and then below log p(x)."""
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["distortion"]["value"] is not None
    assert ("elbo" in figures) == ("log_p" in figures) == ("khat" in figures)
    if "elbo" in figures:
        assert figures["elbo"]["value"] <= figures["log_p"]["value"] + 3 * figures["elbo"]["stderr"]
