"""The verb gap end to end: its figures, its picture, what it leaves for the report, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lowerbound
from lowerbound.cli.command import run
from lowerbound.evaluation.gap import Effort

QUICK = ["--count", "6", "--steps", "20", "--particles", "30", "--anneal", "3"]
Asked = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    tiny = ["--latent", "3", "--hidden", "16", "--epochs", "2", "--batch-size", "256"]
    assert run(["train", "vae", "--data", "digits", "--out", str(path), "--quiet", *tiny]) == 0
    return path


def test_figures_picture_and_page(ask: Asked, trained: Path, tmp_path: Path) -> None:
    code, out, err = ask("gap", trained, *QUICK, "--out", tmp_path / "gap.png", "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    assert (found["count"], found["steps"], found["split"]) == (6, 20, "test")
    parts = found["approximation_gap"]["value"] + found["amortisation_gap"]["value"]
    assert found["inference_gap"]["value"] == pytest.approx(parts)
    assert Image.open(tmp_path / "gap.png").size[0] > 500
    kept = json.loads((trained / "gap-test.json").read_text())
    assert {**kept, "out": str(tmp_path / "gap.png")} == found
    assert ask("report", trained, "--out", tmp_path / "report.html", "--particles", "5", "--quiet")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "and why: 6 data" in page
    assert "mutual information" in page


def test_the_text_names_each_gap(ask: Asked, trained: Path) -> None:
    code, out, _ = ask("gap", trained, *QUICK)
    assert code == 0
    for words in ("inference gap", "approximation gap", "amortisation gap", "any covariance", "still rising"):
        assert words in out


def test_in_python_the_same_seed_gives_the_same_figures(trained: Path) -> None:
    model, effort = lowerbound.load(trained), Effort(steps=10, particles=20, anneal=0)
    first, again = (model.gap(count=4, effort=effort) for _ in range(2))
    other = model.gap(count=4, effort=effort, seed=1)
    assert first == again != other
    assert set(first["estimates"]) == {"encoder", "local", "full"}


def test_refusals_come_before_work(ask: Asked, trained: Path, tmp_path: Path) -> None:
    for line, words in (
        (["--count", "0"], "count must be"),
        (["--steps", "0"], "steps must be"),
        (["--anneal", "-1"], "anneal must be"),
        (["--out", tmp_path / "gap.npz"], "must end in one of: .png"),
    ):
        code, out, err = ask("gap", trained, *line)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err


def test_a_plain_autoencoder_has_no_gap(ask: Asked, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    where = ["--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--epochs", "1", "--latent", "2"]
    assert ask("train", "ae", *where, "--hidden", "8", "--quiet")[0] == 0
    code, _, err = ask("gap", tmp_path / "run")
    assert code == 2
    assert "a posterior is refined where it is Gaussian, and PointMass is not" in err
