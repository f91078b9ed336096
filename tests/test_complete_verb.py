"""The verb complete end to end: pictures, tables with a mask from a file, and its refusals."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.cli.command import run
from lowerbound.data.dataset import load_data

Asked = Callable[..., tuple[int, str, str]]
TINY = ["--latent", "2", "--hidden", "8", "--epochs", "2", "--quiet"]
FEW = ["--count", 3, "--draws", 2, "--particles", 20]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    assert run(["train", "vae", "--data", "digits", "--out", str(path), *TINY]) == 0
    return path


@pytest.mark.parametrize("method", ["importance", "metropolis"])
def test_pictures_are_completed(digits: Path, ask: Asked, tmp_path: Path, method: str) -> None:
    out = tmp_path / "c.npz"
    code, text, _ = ask("complete", digits, "--mask", "bottom", *FEW, "--method", method, "--out", out, "--json")
    assert code == 0
    facts, found = json.loads(text), np.load(out)
    assert (facts["rows"], facts["draws"], facts["hidden"]) == (3, 2, 3 * 32)
    assert found["x"].shape == (6, 8, 8)
    assert found["draw"].tolist() == [0, 0, 0, 1, 1, 1]
    assert np.isfinite(found["log_p"]).all()
    rows = load_data("digits").split("test")
    assert found["row"].tolist() == [*rows.numbers[:3]] * 2
    assert (found["x"][:, :4] == np.tile(rows.array("x")[:3, :4], (2, 1, 1))).all()
    assert np.isclose(facts["log_p"]["value"] * 3, facts["log_p_per_value"] * facts["hidden"])


def test_a_picture_shows_what_was_hidden_in_colour(digits: Path, ask: Asked, tmp_path: Path) -> None:
    out = tmp_path / "c.png"
    code, _, _ = ask(
        "complete", digits, "--mask", "random", "--share", 0.9, *FEW, "--method", "importance", "--out", out
    )
    assert code == 0
    picture = np.asarray(Image.open(out))
    assert picture.ndim == 3
    assert (picture[..., 2] > picture[..., 0]).any()


def test_a_table_is_completed_by_a_mask_from_a_file(ask: Asked, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["a", "b", "c"], *random.normal(size=(60, 3)).round(3).tolist()])
    np.save(tmp_path / "mask.npy", np.array([True, False, True]))
    assert run(["train", "vae", "--data", str(tmp_path / "t.csv"), "--out", str(tmp_path / "run"), *TINY]) == 0
    code, text, _ = ask(
        "complete", tmp_path / "run", "--mask", tmp_path / "mask.npy", *FEW, "--out", tmp_path / "out.csv"
    )
    assert code == 0
    assert "log p of what was hidden" in text
    with (tmp_path / "out.csv").open(newline="") as stream:
        head, *rows = csv.reader(stream)
    assert head == ["a", "b", "c", "row", "draw", "log_p", "stderr"]
    assert len(rows) == 6
    first, again = (np.array(part, float) for part in (rows[:3], rows[3:]))
    assert (first[:, [0, 2, 3]] == again[:, [0, 2, 3]]).all()
    assert (first[:, 1] != again[:, 1]).all()


def test_what_cannot_be_is_refused_in_a_sentence(digits: Path, ask: Asked, tmp_path: Path) -> None:
    code, _, error = ask("complete", digits, "--mask", "lft", "--out", tmp_path / "c.npz")
    assert code == 2
    assert error.startswith("lowerbound: error: there is no mask 'lft' and no such file; choose one of bottom, ")
    code, _, error = ask("complete", digits, "--mask", "left", "--draws", 0, "--out", tmp_path / "c.npz")
    assert code == 2
    assert "draws must be a whole number of at least 1, not 0" in error
