"""Texts as data: vocabularies of the training rows, ends that are scored, and nothing beyond them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lowerbound
from lowerbound.data.dataset import load_data
from lowerbound.data.reading import require_alike
from lowerbound.data.spec import DataSpec
from lowerbound.data.text.vocabulary import END, UNKNOWN, Vocabulary
from lowerbound.errors import InputError

WORDS = ("a", "red", "cat", "dog", "runs", "fast")


def sentences(count: int = 200, least: int = 2, most: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([" ".join(rng.choice(WORDS, rng.integers(least, most + 1))) for _ in range(count)])


def test_texts_come_back_from_their_codes() -> None:
    texts = sentences()
    data = load_data(texts)
    x = data.spec.variables[0]
    assert (x.kind, x.form, x.shape, x.missing) == ("category", "words", (6,), True)
    assert x.labels == (END, UNKNOWN, *sorted(WORDS))
    assert (Vocabulary.by(x).decode(data.arrays["x"]) == texts).all()


def test_a_text_is_its_symbols_an_end_and_nothing() -> None:
    data = load_data(sentences())
    codes, counts = data.arrays["x"], [len(text.split()) for text in sentences().tolist()]
    assert (np.isfinite(codes).sum(1) == np.array(counts) + 1).all()
    assert (codes[np.arange(len(codes)), counts] == 0).all()


def test_texts_of_one_length_are_whole_rows() -> None:
    texts = np.array([f"天地{'玄黄'[n % 2]}{'日月'[n // 2 % 2]}" for n in range(40)])
    x = load_data(texts).spec.variables[0]
    assert (x.form, x.shape, x.missing) == ("characters", (4,), False)
    assert load_data(texts).arrays["x"].dtype == np.int64


def test_the_vocabulary_is_of_the_training_rows_alone() -> None:
    texts = sentences()
    held = load_data(texts).splits["test"][0]
    texts[held] = "zebra zebra"
    data = load_data(texts)
    x = data.spec.variables[0]
    assert "zebra" not in (x.labels or ())
    assert data.arrays["x"][held, :3].tolist() == [1, 1, 0]
    assert "0.00% in train" in x.why
    assert "0.00% in test" not in x.why


def test_what_is_rare_is_unknown() -> None:
    assert Vocabulary.of(["a b", "a c"], "words").symbols == (END, UNKNOWN, "a")
    assert Vocabulary.of(["a b", "a b", "a c c"], "words", most=3).symbols == (END, UNKNOWN, "a")


def test_a_word_cannot_be_taken_for_a_special_symbol() -> None:
    assert END not in Vocabulary.of([f"{END} {UNKNOWN}"] * 3, "words").symbols[2:]
    assert END not in Vocabulary.of([END] * 3, "characters").symbols[2:]


def test_other_texts_take_the_codes_of_the_model() -> None:
    spec = load_data(sentences()).spec
    other = load_data(np.array(["dog"] * 20), alike=spec)
    assert other.spec.variables == spec.variables
    assert (other.arrays["x"][:, 0] == (spec.variables[0].labels or ()).index("dog")).all()


def test_descriptions_of_texts_are_kept() -> None:
    spec = load_data(sentences()).spec
    assert DataSpec.from_json(spec.to_json()) == spec


def test_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(sentences().tolist()), encoding="utf-8")
    assert load_data(tmp_path / "a.txt").spec.count == 200
    assert load_data(tmp_path / "a.txt", kind="characters").spec.variables[0].form == "characters"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"good\nbad \xff\n", "line 2 is no UTF-8"),
        (b"\n \n", "has no text"),
        (b"", "is empty"),
        (b"one line\n" * 3, "too few"),
        (b"x " * 2000 + b"\n" + b"y\n" * 20, "line 1 has 2,000 symbols"),
    ],
)
def test_unfit_files_are_refused_with_their_place(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_data(tmp_path / "a.txt", kind="words")


@pytest.mark.parametrize(
    ("texts", "kind", "words"),
    [
        ([*"ab" * 10, " "], None, "row 20 .from 0. is an empty text"),
        (["a b"] * 20, "real", "holds texts"),
        (np.zeros((20, 2)), "words", "holds numbers and no words"),
    ],
)
def test_unfit_texts_are_refused(texts: object, kind: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_data(texts, kind=kind)  # type: ignore[arg-type]


def test_a_trained_model_takes_texts_and_gives_texts() -> None:
    model = lowerbound.train("vae", sentences(), epochs=1, latent=2, hidden=[8])
    assert model.sample(3).dtype.kind == "U"  # type: ignore[union-attr]
    codes = np.array([[2, 3, 0, np.nan, np.nan, np.nan]], np.float32)
    assert model.log_prob(["a cat"], 10) == model.log_prob(codes, 10)
    assert model.interpolate("a cat", "red dog", steps=3).shape == (3,)  # type: ignore[arg-type,union-attr]
    assert model.variations(["a cat"], 2).shape == (1, 2)  # type: ignore[arg-type,union-attr]
    with pytest.raises(InputError, match="takes 1 to 5"):
        model.log_prob(["a cat " * 3])


def test_data_of_another_form_are_refused(tmp_path: Path) -> None:
    model = lowerbound.train("vae", sentences(), epochs=1, latent=2, hidden=[8])
    spec = load_data(sentences()).spec
    other = replace(spec, variables=(replace(spec.variables[0], form="characters"),))
    with pytest.raises(InputError, match="of the form words, but these are characters"):
        require_alike(other, model.spec)
