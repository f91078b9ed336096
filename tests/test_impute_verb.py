"""The verb impute end to end, from a table with empty cells to completed ones, and its refusals."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowerbound
from lowerbound.cli.command import run
from lowerbound.data.dataset import load_data
from lowerbound.data.reading import Reading
from lowerbound.run.settings import Settings

Asked = Callable[..., tuple[int, str, str]]
TINY = ["--latent", "1", "--hidden", "4", "--epochs", "2", "--quiet"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3))
    cells = [["" if random.random() < 0.2 else f"{value:.3f}" for value in row] for row in x]
    path = tmp_path_factory.mktemp("data") / "t.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["a", "b", "kind"], *([*row[:2], "xy"[i % 2]] for i, row in enumerate(cells))])
    return path


@pytest.fixture(scope="module")
def trained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    line = ["train", "vae", "--data", str(table), "--missing", "--labels", "kind", "--out", str(path), *TINY]
    assert run(line) == 0
    return path


def rows_of(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="") as stream:
        head, *rows = csv.reader(stream)
    return head, rows


def test_files_are_completed_under_their_own_columns(ask: Asked, trained: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.csv"
    code, text, err = ask("impute", trained, "--data", table, "--out", out, "--draws", 2, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(text)
    _, given = rows_of(table)
    assert found["rows"] == 40
    assert found["missing"] == sum(cell == "" for row in given for cell in row)
    assert found["out"] == [str(out), str(tmp_path / "whole-1.csv"), str(tmp_path / "whole-2.csv")]
    columns = [np.array(rows_of(Path(path))[1]) for path in found["out"]]
    for head, rows in (rows_of(Path(path)) for path in found["out"]):
        assert head == ["a", "b", "kind"]
        assert [row[2] for row in rows] == [row[2] for row in given]
        told = [(float(new), float(old)) for r, g in zip(rows, given) for new, old in zip(r[:2], g[:2]) if old]
        assert all(new == old for new, old in told)
    assert (columns[1] != columns[2]).any()


def test_the_run_s_other_verbs_cope(ask: Asked, trained: Path, tmp_path: Path) -> None:
    files = {"log-prob": "csv", "encode": "npy", "reconstruct": "npz", "anomaly": "parquet", "report": "html"}
    lines = [
        ["evaluate", trained],
        ["features", trained],
        *([v, trained, "--out", tmp_path / f"x.{e}"] for v, e in files.items()),
    ]
    for line in lines:
        code, _, err = ask(*line)
        assert code == 0, err


def test_an_interrupted_run_goes_on_with_its_gaps(table: Path, tmp_path: Path) -> None:
    data = load_data(table, labels="kind", missing=True)
    settings, arguments = Settings(epochs=1), {"latent": 1, "hidden": [4]}
    reading = Reading(str(table), None, "kind", missing=True)
    lowerbound.Run.create(tmp_path / "run", "vae", arguments, data.spec, settings, reading)
    model = lowerbound.resume(tmp_path / "run")
    assert model.run is not None
    assert model.run.finished


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train vae --data {table} --labels kind --out {new}", "say that values may be missing"),
        ("impute {run} --data {table} --out {new}.png", "must end in one of: .npy"),
        ("impute {run} --data {table} --out {table}", "is there already"),
        ("impute {run} --data {table} --out {new}.csv --particles 0", "particles must be a whole number of at least 1"),
        ("impute {run} --data nowhere.csv --out {new}.csv", "there is no file"),
    ],
)
def test_refusals_are_one_sentence(
    ask: Asked, trained: Path, table: Path, tmp_path: Path, line: str, words: str
) -> None:
    code, out, err = ask(*line.format(run=trained, table=table, new=tmp_path / "new").split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
