"""The verb translate end to end: from a data set, from a file of less, into pictures and arrays; and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.cli.command import run
from lowerbound.data.dataset import load_data

TINY = ["--latent", "2", "--hidden", "8", "--epochs", "1", "--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("runs") / "run")
    assert run(["train", "multimodal-vae", "--data", "digits-halves", "--out", path, *TINY]) == 0
    return path


def translate(trained: str, out: Path, *more: str) -> int:
    return run(["translate", trained, "--from", "left", "--to", "right", "--out", str(out), *more])


def test_a_data_set_becomes_arrays(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert translate(trained, tmp_path / "y.npy", "--count", "5", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"count": 5, "each": 1, "out": str(tmp_path / "y.npy")}
    assert np.load(tmp_path / "y.npy").shape == (5, 8, 4)
    assert translate(trained, tmp_path / "ys.npz", "--count", "5", "--each", "3", "--draw") == 0
    assert np.load(tmp_path / "ys.npz")["right"].shape == (5, 3, 8, 4)


def test_a_file_need_hold_no_more_than_what_is_given(trained: str, tmp_path: Path) -> None:
    left = load_data("digits-halves").arrays["left"][:20]
    np.save(tmp_path / "left.npy", left)
    np.savez(tmp_path / "left.npz", left=left)
    found = []
    for name in ("left.npy", "left.npz"):
        out = tmp_path / f"of-{name}.npy"
        assert translate(trained, out, "--data", str(tmp_path / name), "--count", "4") == 0
        found.append(np.load(out))
    assert np.array_equal(*found)
    assert len(found[0]) == 4


def test_a_picture_shows_each_datum_and_its_translations(trained: str, tmp_path: Path) -> None:
    assert translate(trained, tmp_path / "y.png", "--count", "2", "--each", "3") == 0
    with Image.open(tmp_path / "y.png") as page:
        wide, high = page.size
    assert wide / high == pytest.approx(4 * 4 / (2 * 8), rel=0.1)


def test_refusals_come_before_work_and_in_one_sentence(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["translate", trained, "--from", "left", "--to", "up", "--out", str(tmp_path / "y.npy")]) == 2
    assert "have no variable 'up'; choose one of: left, right" in capsys.readouterr().err
    (tmp_path / "there.npy").touch()
    assert translate(trained, tmp_path / "there.npy") == 2
    assert "--force" in capsys.readouterr().err
