"""Text encoders: what they know, what they do not, and that each text is encoded once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data.text import ENCODERS, TextEncoder, Unknown, encoder, read_captions, word_vectors
from lowerbound.data.text.hashed import Hashed
from lowerbound.data.text.joined import Joined, share_known
from lowerbound.data.text.sentences import in_folder, minilm
from lowerbound.data.text.word_vectors import ChineseWords, read_word2vec
from lowerbound.errors import InputError, MissingExtraError

WORDS = {"红": [1.0, 0.0], "红色": [0.0, 2.0], "汽车": [3.0, 0.0], "car": [5.0, 5.0]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def word2vec(path: Path, words: dict[str, list[float]] = WORDS, between: bytes = b"\n") -> Path:
    width = len(next(iter(words.values())))
    rows = [f"{word} ".encode() + np.array(vector, "<f4").tobytes() + between for word, vector in words.items()]
    path.write_bytes(f"{len(words)} {width}\n".encode() + b"".join(rows))
    return path


@pytest.fixture
def chinese(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChineseWords:
    word2vec(tmp_path / word_vectors.FILE)
    monkeypatch.setattr(word_vectors, "fetched", lambda *told: tmp_path)
    return ChineseWords()


def test_hashes_are_the_same_in_every_process() -> None:
    vector = Hashed().encode(["cat"])[0]
    places = np.flatnonzero(vector)
    assert places.tolist() == [19, 35, 51, 63, 82, 96, 114, 120, 129, 177]
    np.testing.assert_allclose(vector[places] * 10**0.5, [1, -1, -1, -1, -1, -1, 1, -1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize("text", ["a red car", "Ｒｅｄ", "红色汽车", "Straße 7", "красный"])
def test_a_hashed_text_has_length_one_whatever_its_script(text: str) -> None:
    assert np.linalg.norm(Hashed().encode([text])) == pytest.approx(1)
    assert Hashed().unknown(text) == ()


def test_hashing_takes_no_notice_of_case_width_and_punctuation() -> None:
    plain, other, nothing = Hashed().encode(["a red car", "A ＲＥＤ, car!", "?!"])
    np.testing.assert_array_equal(plain, other)
    assert not nothing.any()


@pytest.mark.parametrize("between", [b"\n", b""])
def test_word_vectors_are_read_as_word2vec_writes_them(tmp_path: Path, between: bytes) -> None:
    words, vectors = read_word2vec(word2vec(tmp_path / "w", between=between))
    assert words == list(WORDS)
    np.testing.assert_array_equal(vectors, np.array(list(WORDS.values()), np.float32))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-2],
        lambda content: content[:20],
        lambda content: b"",
        lambda content: b"9 2\n" + content[4:],
        lambda content: b"3 2\n" + content[4:],
        lambda content: b"999999999 99999\n" + content[4:],
        lambda content: b"4 x\n" + content[4:],
        lambda content: content.replace(np.float32(5).tobytes(), np.float32("nan").tobytes()),
        lambda content: b"\x80\x04cos\nsystem\n",
    ],
)
def test_damaged_word_vectors_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = word2vec(tmp_path / "w")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="delete it, and it will be fetched again"):
        read_word2vec(path)


def test_chinese_is_cut_into_the_longest_known_words(chinese: ChineseWords) -> None:
    assert chinese.words("红色汽车, 红x龙 8") == ("红色", "汽车", "红", "x", "龙", "8")
    assert chinese.unknown("红色汽车, 红x龙 8") == ("x", "龙", "8")


def test_chinese_text_is_the_mean_of_its_words_and_nothing_is_zeros(chinese: ChineseWords) -> None:
    both, other_script, nothing = chinese.encode(["红色汽车", "car", ""])
    np.testing.assert_allclose(both, np.full(2, 0.5**0.5), rtol=1e-6)
    assert not other_script.any()
    assert not nothing.any()


def test_joined_encoders_read_the_texts_of_which_they_know_half_the_words(chinese: ChineseWords) -> None:
    joined = Joined([chinese, Hashed()])
    known, half, little = joined.encode(["红色", "红 car", "red car, 红"])
    assert [vector[:2].any() for vector in (known, half, little)] == [True, True, False]
    assert share_known(chinese, "red car, 红") == pytest.approx(1 / 3)
    assert joined.name == "words-zh+hash"
    assert joined.unknown("red car, 龙") == ()
    assert joined.words("红色汽车") == ("红色", "汽车")


class Counting(TextEncoder):
    """Knows only the word "red", and counts how often it is asked."""

    name, digest, asked = "counting", "1", 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += len(texts)
        return np.array([[len(text), "red" in text] for text in texts], np.float32)

    def words(self, text: str) -> tuple[str, ...]:
        return tuple(text.split())

    def unknown(self, text: str) -> tuple[str, ...]:
        return tuple(word for word in text.split() if word != "red")


def test_each_text_is_encoded_once_and_kept(cache: Path) -> None:
    texts, counting = np.array(["red", "red car", "red", "blue car car"]), Counting()
    for _ in range(2):
        found = read_captions(counting, texts)
        assert found.vectors.tolist() == [[3, 1], [7, 1], [3, 1], [12, 0]]
        assert found.unknown == Unknown("counting", 2, 4, (("car", 2), ("blue", 1)))
    assert counting.asked == 3
    assert len(list((cache / "text").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b'\x08\0\0\0\0\0\0\0{"a":{}}', b"no vectors"])
def test_damaged_vectors_are_made_again(cache: Path, content: bytes) -> None:
    texts, counting = np.array(["red", "blue"]), Counting()
    read_captions(counting, texts)
    next((cache / "text").iterdir()).write_bytes(content)
    assert read_captions(counting, texts).vectors.tolist() == [[3, 1], [4, 0]]
    assert counting.asked == 4


def test_other_texts_and_other_encoders_have_vectors_of_their_own(cache: Path) -> None:
    for texts in (["a", "b"], ["ab"], ["a", "c"]):
        read_captions(Counting(), np.array(texts))
        read_captions(Hashed(), np.array(texts))
    assert len(list((cache / "text").iterdir())) == 6


def test_a_cache_that_cannot_be_written_only_costs_time(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert len(read_captions(Counting(), np.array(["red"])).vectors) == 1


def test_an_unknown_encoder_is_one_sentence() -> None:
    with pytest.raises(InputError, match=f"choose one of: {', '.join(ENCODERS)}"):
        encoder("bert")


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no text encoder"):
        encoder(str(tmp_path))


TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT that knows "a", "red" and "car"."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "##car")
    words = tokenizers.BertWordPieceTokenizer({piece: number for number, piece in enumerate(pieces)})
    path = tmp_path / "model"
    transformers.BertModel(transformers.BertConfig(**TINY)).save_pretrained(path)
    words.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return path


def mean_pooled(folder: Path, numbers: list[int]) -> np.ndarray:
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        mean: np.ndarray = model(torch.tensor([numbers])).last_hidden_state[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_a_model_in_a_folder_is_run_as_its_makers_run_it(folder: Path) -> None:
    pytest.importorskip("sentence_transformers")
    vectors = encoder(str(folder)).encode(["a redcar", "red"])
    np.testing.assert_allclose(vectors[0], mean_pooled(folder, [2, 4, 5, 6, 3]), atol=1e-5)
    np.testing.assert_allclose(vectors[1], mean_pooled(folder, [2, 5, 3]), atol=1e-5)


def test_a_model_in_a_folder_names_the_words_it_does_not_know(folder: Path) -> None:
    found = encoder(str(folder))
    assert found.words("A redcar, 红 🦜!") == ("A", "redcar", "红", "🦜")
    assert found.unknown("A redcar, 红 🦜!") == ("红", "🦜")


def test_another_model_in_the_same_folder_is_noticed(folder: Path) -> None:
    name = in_folder(folder).name
    assert encoder(name).name == name
    (folder / "config.json").write_text(json.dumps({**TINY, "num_attention_heads": 4}))
    with pytest.raises(InputError, match="holds another text encoder than it did"):
        in_folder(*map(lambda part, make: make(part), name.split("@"), (Path, str)))


def test_a_broken_model_is_one_sentence(folder: Path) -> None:
    pytest.importorskip("sentence_transformers")
    (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="cannot be read as a text encoder"):
        in_folder(folder).encode(["a"])
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read"):
        in_folder(folder).unknown("a")


@pytest.mark.parametrize(
    ("module", "ask"),
    [("sentence_transformers", lambda found: found.encode(["a"])), ("tokenizers", lambda found: found.unknown("a"))],
)
def test_what_is_not_installed_is_named_with_its_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, ask: Callable[[Any], Any]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lowerbound\[text\]'"):
        ask(in_folder(folder))


@pytest.mark.fetch
def test_like_meanings_have_like_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    monkeypatch.delenv("LOWERBOUND_DATA")
    car, vehicle, cheese = minilm().encode(["a red car", "a crimson automobile", "cheddar"])
    assert car @ vehicle > 0.2 + car @ cheese
    assert minilm().unknown("a red car, 秘鲁") == ("秘", "鲁")


@pytest.mark.fetch
def test_like_meanings_have_like_vectors_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWERBOUND_DATA")
    car, vehicle, cheese = ChineseWords().encode(["红色的汽车", "绿色的卡车", "奶酪"])
    assert car @ vehicle > 0.2 + car @ cheese
    assert len(ChineseWords()._vectors) > 100_000
