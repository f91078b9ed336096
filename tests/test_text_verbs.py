"""Verbs of a model of texts: they print and write texts, fill gaps, and draw no pictures of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lowerbound.cli.command import run
from lowerbound.fitting import load

Asked = Callable[..., tuple[int, str, str]]
TINY = ["--latent", "2", "--width", "8", "--layers", "1", "--embedding", "4", "--epochs", "2", "--quiet"]
LABELS = ("small", "large")


@pytest.fixture(scope="module", params=["parallel", "gru"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    lines = [f"a {size} {beast}{' there' * (beast == 'cat')}" for size in LABELS for beast in ("cat", "dog", "owl")]
    (folder / "t.txt").write_text("\n".join(lines * 10))
    data, out = str(folder / "t.txt"), str(folder / "run")
    assert run(["train", "text-vae", "--data", data, "--decoder", request.param, "--out", out, *TINY]) == 0
    return folder / "run"


def test_texts_are_printed(trained: Path, ask: Asked) -> None:
    code, out, err = ask("sample", trained, "--count", 3, "--out", "-")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 3
    code, out, _ = ask("sample", trained, "--count", 3, "--out", "-", "--json")
    assert json.loads(out)["texts"] == [{"x": text} for text in load(trained).sample(3).tolist()]


@pytest.mark.parametrize("ending", ["txt", "json", "csv", "npy"])
def test_texts_are_written(trained: Path, ask: Asked, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"x.{ending}"
    code, said, _ = ask("interpolate", trained, "--from", 0, "--to", 3, "--steps", 4, "--out", out)
    assert (code, said) == (0, f"wrote {out}\n")
    read = {
        "txt": lambda: out.read_text().splitlines(),
        "json": lambda: [row["x"] for row in json.loads(out.read_text())],
        "csv": lambda: [row["x"] for row in csv.DictReader(out.open())],
        "npy": lambda: np.load(out).tolist(),
    }
    model = load(trained)
    x = model.rows().array("x")
    assert read[ending]() == model.interpolate(x[0], x[3], 4).tolist()


def test_a_path_goes_between_two_texts_of_ones_own(trained: Path, ask: Asked) -> None:
    between = ["--between", "a small cat there", "a large owl"]
    code, out, _ = ask("interpolate", trained, *between, "--steps", 3, "--out", "-")
    model = load(trained)
    ends = model.reconstruct(np.array(between[1:])).tolist()
    assert code == 0
    assert [out.splitlines()[0], out.splitlines()[-1]] == ends


def test_reconstructions_stand_beside_what_they_are_of(trained: Path, ask: Asked) -> None:
    code, out, _ = ask("reconstruct", trained, "--count", 2, "--out", "-")
    assert code == 0
    assert all(len(line.split("\t")) == 2 for line in out.splitlines())
    assert all(line.split("\t")[1].startswith("a ") for line in out.splitlines())


def test_gaps_are_filled(trained: Path, ask: Asked) -> None:
    code, out, _ = ask("infill", trained, "a ___ cat there", "a small ___", "--draws", 3, "--particles", 60, "--json")
    assert code == 0
    first, second = json.loads(out)["texts"]
    assert all(text.split()[0] == "a" and text.split()[2:] == ["cat", "there"] for text in first["filled"])
    assert len(second["filled"]) == 3
    assert sum(second["words"][0].values()) == pytest.approx(1, abs=1e-4)
    assert first["log_p"] < 0
    code, out, _ = ask("infill", trained, "a ___ owl", "--draws", 1, "--particles", 60)
    assert out.splitlines()[1].startswith("gap 1: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sample {run} --out {new}.png", "must end in one of: .npy"),
        ("interpolate {run} --from 0 --out -", "from one row of the split to another"),
        ("interpolate {run} --from 0 --to 1 --between a b --out -", "two rows (--from, --to) or two texts"),
        ("interpolate {run} --between a elephants,are,not,known,here,at,all --out -", "words, and the model takes"),
        ("infill {run} cat", "has no gap; write ___"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    trained: Path, ask: Asked, tmp_path: Path, line: str, words: str
) -> None:
    code, out, err = ask(*line.format(run=trained, new=tmp_path / "new").split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
