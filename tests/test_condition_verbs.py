"""What the command tells a model: labels, texts, pictures, and each row its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import lowerbound
from lowerbound.training.progress import Silent

SMALL: dict[str, Any] = {"epochs": 4, "latent": 3, "hidden": [32], "batch_size": 128, "lr": 3e-3, "progress": Silent()}

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    lowerbound.train("cvae", "digits", path, **SMALL)
    return path


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts")
    words = np.array(["a red car", "a blue boat"] * 30)
    np.savez(path / "data.npz", x=np.eye(3)[np.arange(60) % 3] + np.arange(60)[:, None], caption=words)
    settings = {**SMALL, "epochs": 1, "labels": "caption", "text": "hash"}
    lowerbound.train("cvae", path / "data.npz", path / "run", **settings)
    return path / "run"


def refusal(ask: Ask, *args: object) -> str:
    code, out, err = ask(*args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_samples_of_a_label(ask: Ask, trained: Path, tmp_path: Path) -> None:
    assert ask("sample", trained, "--label", "7", "--count", "5", "--out", tmp_path / "a.npy")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), lowerbound.load(trained).given(7).sample(5))


def test_samples_of_every_label(ask: Ask, trained: Path, tmp_path: Path) -> None:
    out = json.loads(ask("sample", trained, "--each", "--count", "3", "--out", tmp_path / "a.npz", "--json")[1])
    assert (out["count"], out["labels"]) == (30, [str(digit) for digit in range(10)])
    found = np.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["x"], lowerbound.load(trained).sample_each(3).reshape(30, 8, 8))
    assert found["label"].tolist() == np.repeat(out["labels"], 3).tolist()
    assert ask("sample", trained, "--each", "--out", tmp_path / "a.png")[0] == 0
    assert Image.open(tmp_path / "a.png").size == (10 * 58 - 2, 10 * 58 - 2)


def test_data_like_a_picture(ask: Ask, trained: Path, tmp_path: Path) -> None:
    model = lowerbound.load(trained)
    x = model.rows().array("x")[:1]
    Image.fromarray((x[0] * (255 / 16)).round().astype(np.uint8)).save(tmp_path / "like.png")
    Image.fromarray(np.stack([np.asarray(Image.open(tmp_path / "like.png"))] * 3, -1)).save(tmp_path / "rgb.png")
    np.save(tmp_path / "like.npy", x)
    for name, label in (("like.png", None), ("rgb.png", "2"), ("like.npy", "2")):
        words = [] if label is None else ["--label", label]
        made = ("sample", trained, "--like", tmp_path / name, *words, "--count", "4", "--out", tmp_path / "made.npy")
        assert ask(*made, "--force")[0] == 0
        np.testing.assert_allclose(np.load(tmp_path / "made.npy"), model.given(label).variations(x, 4)[0], atol=1e-5)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "large.png")
    refused = refusal(ask, "sample", trained, "--like", tmp_path / "large.png", "--out", tmp_path / "b.npy")
    assert "(8, 8) is wanted" in refused


def test_rows_are_told_their_own_labels_unless_one_is_said(ask: Ask, trained: Path, tmp_path: Path) -> None:
    model = lowerbound.load(trained)
    rows = model.rows()
    x = rows.array("x")
    ask("encode", trained, "--split", "test", "--out", tmp_path / "own.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "own.npz")["z"], model.given(rows).encode(x))
    ask("encode", trained, "--split", "test", "--label", "3", "--out", tmp_path / "three.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "three.npz")["z"], model.given(3).encode(x))
    ask("log-prob", trained, "--split", "test", "--particles", "5", "--out", tmp_path / "p.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "p.parquet")["log_p"].to_numpy()
    np.testing.assert_array_equal(found, model.given(rows).log_prob(x, 5))
    ask("reconstruct", trained, "--count", "9", "--out", tmp_path / "r.npy")
    few = rows.where(slice(9))
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), model.given(few).reconstruct(x[:9]))


def test_figures_under_a_label_are_not_kept_as_the_run_s(ask: Ask, trained: Path) -> None:
    kept = trained / "evaluation-test.json"
    code, out, _ = ask("evaluate", trained, "--particles", "3", "--label", "3")
    assert (code, "told               one condition" in out, kept.exists()) == (0, True, False)
    out = ask("evaluate", trained, "--particles", "3")[1]
    assert "each row's own condition" in out
    assert json.loads(kept.read_text())["told"] == "each row's own condition"
    few = ("--count", "3", "--steps", "2", "--anneal", "0", "--particles", "5")
    ask("gap", trained, *few, "--label", "3")
    assert not (trained / "gap-test.json").exists()
    assert "and below" in ask("sandwich", trained, "--count", "3", "--steps", "4", "--label", "3")[1]


def test_paths_move_the_label_too(ask: Ask, trained: Path, tmp_path: Path) -> None:
    model = lowerbound.load(trained)
    rows, x = model.rows(), model.rows().array("x")
    ask("interpolate", trained, "--from", "4", "--to", "1", "--steps", "5", "--out", tmp_path / "i.npy")
    ends = model.given(rows.where(np.array([4, 1])))
    np.testing.assert_array_equal(np.load(tmp_path / "i.npy"), ends.interpolate(x[4], x[1], 5))
    ask("traverse", trained, "--row", "2", "--steps", "3", "--dims", "1", "--out", tmp_path / "t.npz")
    spread = model.given(rows).spread(x)
    found = model.given(rows.where(np.array([2]))).traverse(spread, x[2], [1], 3)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npz")["x"], found.x[0])
    code, out, _ = ask("attributes", trained, "--from", "1", "--to", "8", "--count", "2", "--out", tmp_path / "a.png")
    assert (code, out) == (0, f"wrote {tmp_path / 'a.png'}\n")


def test_strange_rows_are_scored_as_ordinary_ones(ask: Ask, tmp_path: Path) -> None:
    """Where not all rows have a label that the model knows, none is told his; rows without labels are no error."""
    x = np.random.default_rng(0).normal(size=(60, 3)) + 3 * (np.arange(60) % 2)[:, None]
    np.savez(tmp_path / "data.npz", x=x, kind=np.arange(60) % 2)
    np.save(tmp_path / "others.npy", x[:40] + 9)
    run = tmp_path / "run"
    model = lowerbound.train("cvae", tmp_path / "data.npz", run, labels="kind", **{**SMALL, "epochs": 1})
    rows, others = model.rows(split="all"), model.rows(tmp_path / "others.npy", "all")
    score = ("anomaly", run, "--split", "all", "--particles", "3", "--force", "--out", tmp_path / "s.npz")
    assert ask(*score, "--against", tmp_path / "others.npy")[0] == 0
    both = model.scores(np.concatenate([rows.array("x"), others.array("x")]), 3)["minus_log_p"]
    np.testing.assert_allclose(np.load(tmp_path / "s.npz")["minus_log_p"], both, rtol=1e-5)
    assert ask(*score, "--label", "1")[0] == 0
    own = model.given(rows).scores(rows.array("x"), 3)["minus_log_p"]
    np.testing.assert_allclose(np.load(tmp_path / "s.npz")["minus_log_p"], own, rtol=1e-5)
    assert model.evaluate(tmp_path / "others.npy", particles=2)["told"] == "nothing"


def test_a_text_is_told_by_its_meaning(ask: Ask, of_texts: Path, tmp_path: Path) -> None:
    model = lowerbound.load(of_texts)
    assert ask("sample", of_texts, "--text", "a blue car", "--count", "3", "--out", tmp_path / "a.npy")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), model.given("a blue car").sample(3))
    assert model.given(["a car", "a boat"]).sample(2).shape == (2, 3)
    assert not np.array_equal(model.given("a blue car").sample(3), model.given("a red boat").sample(3))
    assert "told no labels; say what it is told with --text" in refusal(
        ask, "sample", of_texts, "--label", "car", "--out", tmp_path / "b.npy"
    )


def test_a_word_that_no_encoder_knows_is_told_on_stderr(
    ask: Ask, of_texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lowerbound.data.text.hashed import Hashed

    monkeypatch.setattr(Hashed, "unknown", lambda self, text: ("wug",) if "wug" in text else ())
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "cache"))
    code, out, err = ask("sample", of_texts, "--text", "a wug", "--count", "3", "--out", tmp_path / "a.npy")
    assert (code, out.count("wrote")) == (0, 1)
    assert (
        err
        == "lowerbound: warning: the text encoder hash does not know all words of 1 of 1 captions, such as wug (1)\n"
    )


def test_several_labels_to_a_row(ask: Ask, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    data = lowerbound.load_data(x, labels={"size": np.arange(40) % 2, "hue": np.arange(40) % 3})
    model = lowerbound.train("cvae", data, tmp_path / "run", **{**SMALL, "epochs": 1})
    ask("sample", tmp_path / "run", "--label", "size=1, hue=2", "--count", "3", "--out", tmp_path / "a.npy")
    found = model.given({"hue": 2, "size": 1}).sample(3)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), found)
    np.testing.assert_array_equal(found, model.given([1, 2]).sample(3))
    both = model.given({"hue": [0, 2], "size": 1}).decode(np.zeros((2, 3)))
    np.testing.assert_allclose(both[1], model.given([1, 2]).decode(np.zeros((1, 3)))[0], rtol=1e-5)
    assert "write them as in --label size=0,hue=0" in refusal(
        ask, "sample", tmp_path / "run", "--label", "big", "--out", tmp_path / "b.npy"
    )
    with pytest.raises(lowerbound.InputError, match="size alone; give each of: size, hue"):
        model.given({"size": 1})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--label", "ten"), "no datum is labelled 'ten'"),
        (("--text", "seven"), "no datum is labelled 'seven'"),
        (("--label", "1", "--text", "one"), "give one of them"),
        (("--each", "--label", "1"), "or that every label is (--each)"),
        (("--like", "nowhere.npy"), "there is no file"),
        (("--like", "nowhere.png"), "nowhere.png cannot be read as a picture"),
    ],
)
def test_what_cannot_be_told_is_refused(
    ask: Ask, trained: Path, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    assert why in refusal(ask, "sample", trained, *words, "--out", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_model_that_is_told_nothing_is_not_told(ask: Ask, tmp_path: Path) -> None:
    lowerbound.train("vae", "digits", tmp_path / "run", **{**SMALL, "epochs": 1})
    assert "told nothing but x" in refusal(ask, "evaluate", tmp_path / "run", "--label", "3")
    assert "told nothing but x" in refusal(ask, "sample", tmp_path / "run", "--each", "--out", tmp_path / "a.png")


def test_the_page_shows_every_label(ask: Ask, trained: Path, of_texts: Path) -> None:
    assert ask("report", trained, "--particles", "3", "--force")[0] == 0
    page = (trained / "report.html").read_text()
    assert "Samples: a row for each of the labels 0, 1, 2" in page
    assert "told otherwise with their z kept" in page
    assert "category [], as 10 numbers" in page
    assert ask("report", of_texts, "--particles", "3", "--force")[0] == 0


def test_a_picture_is_told_from_its_file(ask: Ask, tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "halves.npz", x=whole[:, :2], c=whole[:, 2:])
    model = lowerbound.train("cvae", tmp_path / "halves.npz", tmp_path / "run", **{**SMALL, "epochs": 1, "labels": "c"})
    Image.fromarray(whole[0, 2:]).save(tmp_path / "c.png")
    ask("sample", tmp_path / "run", "--like", tmp_path / "c.png", "--count", "3", "--out", tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), model.given(whole[0, 2:]).sample(3))
    assert ask("report", tmp_path / "run", "--particles", "3")[0] == 0
    assert "each above a sample that is told the same" in (tmp_path / "run" / "report.html").read_text()


def test_a_temporary_run_lives_as_long_as_a_model_that_was_given_something() -> None:
    told = lowerbound.train("cvae", "digits", **{**SMALL, "epochs": 1}).given(3)
    assert told.run is not None
    assert told.run.path.exists()
    again = told.given(4)
    del told
    assert again.run is not None
    assert again.evaluate(particles=2)["told"] == "one condition"
