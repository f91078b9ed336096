"""Captions as conditions: from a table or a named source to vectors, splits, fingerprints and runs that reopen."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

import lowerbound
from lowerbound.data import emoji
from lowerbound.data.dataset import Dataset, assemble, load_data
from lowerbound.data.fetch import Unavailable, pypi
from lowerbound.data.raw import Raw
from lowerbound.data.reading import Reading, read_alike, reading_of
from lowerbound.data.sources import SOURCES
from lowerbound.data.text import encoder
from lowerbound.errors import InputError
from lowerbound.training.progress import Progress, Silent

COLOURS = ("red", "green", "blue", "a red car", "the blue sea")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty rows of two numbers and a caption."""
    values = np.random.default_rng(0).normal(size=(40, 2))
    rows = [f"{a:.6f},{b:.6f},{COLOURS[row % 5]}" for row, (a, b) in enumerate(values)]
    (tmp_path / "t.csv").write_text("a,b,caption\n" + "\n".join(rows) + "\n")
    return tmp_path / "t.csv"


def test_captions_become_the_vectors_of_the_encoder(table: Path) -> None:
    data = load_data(table, labels="caption", text="hash")
    about = data.spec.condition
    assert about is not None
    assert data.condition is not None
    assert data.captions is not None
    assert (about.kind, about.shape, about.encoder) == ("real", (256,), "hash")
    assert data.captions.texts[:5].tolist() == list(COLOURS)
    np.testing.assert_array_equal(data.condition, encoder("hash").encode([COLOURS[row % 5] for row in range(40)]))
    np.testing.assert_allclose(about.mean, data.condition[data.splits["train"]].mean(0), atol=1e-6)


def test_numpy_objects_and_bytes_are_texts_too() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 2))
    words = ["a", "b", "c"] * 4
    found = [load_data(rows, labels=np.array(words, kind), text="hash").spec.fingerprint for kind in ("U", "O", "S")]
    assert len(set(found)) == 1


@pytest.mark.parametrize("labels", [None, np.arange(12), np.zeros((12, 3))])
def test_data_without_texts_are_refused_in_a_sentence(labels: np.ndarray | None) -> None:
    with pytest.raises(InputError, match="has no texts for the text encoder 'hash'; say where they are with labels"):
        load_data(np.random.default_rng(0).normal(size=(12, 2)), labels=labels, text="hash")


def test_a_row_without_a_text_is_refused() -> None:
    labels = np.array(["a"] * 11 + [None], object)
    with pytest.raises(InputError, match="label 'None' is no text"):
        load_data(np.random.default_rng(0).normal(size=(12, 2)), labels=labels, text="hash")


def test_the_fingerprint_is_of_the_texts_and_of_the_encoder(table: Path) -> None:
    first = load_data(table, labels="caption", text="hash")
    assert load_data(table, labels="caption", text="hash").spec == first.spec
    assert load_data(table, labels="caption", text="hash+hash").spec.fingerprint != first.spec.fingerprint
    table.write_text(table.read_text().replace("blue sea", "blue lake"))
    assert load_data(table, labels="caption", text="hash").spec.fingerprint != first.spec.fingerprint


def test_a_run_remembers_how_its_captions_were_read(table: Path) -> None:
    reading = reading_of(table, None, "caption", text="hash")
    assert reading == Reading(str(table), None, "caption", text="hash")
    assert Reading.from_json(reading.to_json()) == reading
    assert "text" not in Reading("x.csv").to_json()
    data = load_data(table, labels="caption", text="hash")
    assert read_alike(data.spec, reading).spec == data.spec
    assert read_alike(data.spec, reading, table).spec == data.spec


def test_a_conditional_model_of_captions_reopens(table: Path, tmp_path: Path) -> None:
    said = {"labels": "caption", "text": "hash", "hidden": (8,), "latent": 2, "epochs": 1, "progress": Silent()}
    model = lowerbound.train("cvae", table, tmp_path / "run", **said)
    again = lowerbound.load(tmp_path / "run", device="cpu")
    assert again.spec.condition is not None
    assert again.spec.condition.encoder == "hash"
    red = encoder("hash").encode(["a red bus"])[0]
    np.testing.assert_array_equal(model.given(red).sample(3), again.given(red).sample(3))
    assert again.rows(None, "test").condition is not None


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def tick(self, tick: object) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(("captions", "told"), [(0, 0), (3, 1)])
def test_training_says_once_which_words_are_unknown(table: Path, captions: int, told: int) -> None:
    data, heard = load_data(table, labels="caption", text="hash"), Heard()
    assert data.captions is not None
    unknown = replace(data.captions.unknown, captions=captions, words=(("car", captions),))
    odd = replace(data, captions=replace(data.captions, unknown=unknown))
    lowerbound.train("cvae", odd, hidden=(8,), latent=2, epochs=2, progress=heard)
    assert sum("does not know all words of 3 of 40 captions" in sentence for sentence in heard.sentences) == told


def test_rows_of_one_group_stay_in_one_split() -> None:
    groups = np.random.default_rng(0).integers(0, 20, 200)
    data = assemble(Raw("toy", "toy", {"x": np.random.default_rng(1).normal(size=(200, 2))}, groups=groups), 3, None)
    found = [set(groups[rows]) for rows in data.splits.values()]
    assert [len(each) for each in found] == [16, 2, 2]
    assert set.union(*found) == set(range(20))
    assert sum(map(len, data.splits.values())) == 200


def emoji_like(count: int = 12) -> tuple[list[dict[str, object]], np.ndarray]:
    texts = [
        {"kind": row % 10, "en": {"name": f"thing {row}", "tags": ["x"]}, "zh": {"name": f"物{row}", "tags": []}}
        for row in range(count)
    ]
    return texts, np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.fixture
def toy_emoji(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    texts, pictures = emoji_like()
    folder = cache / "emoji"
    folder.mkdir(parents=True)
    pictures.tofile(folder / emoji.PICTURES)
    (folder / emoji.TEXTS).write_text(json.dumps(texts))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setitem(SOURCES, "emoji", replace(SOURCES["emoji"], digests=digests))
    return load_data("emoji", text="hash")


def test_an_emoji_is_in_one_split_with_all_its_captions(toy_emoji: Dataset) -> None:
    assert toy_emoji.captions is not None
    assert toy_emoji.captions.texts[4:8].tolist() == ["thing 1", "thing 1, x", "物1", "物1"]
    for rows in toy_emoji.splits.values():
        assert set(np.bincount(rows // 4, minlength=12)) == {0, 4}


def test_emoji_without_an_encoder_are_labelled_by_kind(toy_emoji: Dataset) -> None:
    plain = load_data("emoji")
    assert plain.spec.condition is not None
    assert plain.spec.condition.labels == emoji.KINDS
    assert plain.captions is None
    others = load_data("emoji", labels=np.arange(48) % 2).spec.condition
    assert others is not None
    assert others.labels == ("0", "1")


def test_emoji_are_cut_out_of_their_sheet_over_white(tmp_path: Path) -> None:
    sheet = np.zeros((66, 132, 4), np.uint8)
    sheet[1:65, 67:131] = (255, 0, 0, 255)
    sheet[1:33, 67:131, 3] = 0
    Image.fromarray(sheet).save(tmp_path / "64.png")
    tables = {
        "emoji.json": [{"unified": "2764-FE0F", "sheet_x": 1, "sheet_y": 0}],
        "data.json": [
            {"hexcode": "1F1E6", "label": "regional indicator A"},
            {"hexcode": "2764", "label": "red heart", "tags": ["love"], "order": 1, "group": 8},
        ],
        "compact.json": [{"hexcode": "2764", "label": "红心"}],
    }
    for name, table in tables.items():
        (tmp_path / name).write_text(json.dumps(table))
    emoji.prepare(tmp_path)
    raw = emoji.decode(tmp_path)
    assert raw.captions is not None
    assert raw.captions.tolist() == ["red heart", "red heart, love", "红心", "红心"]
    assert raw.arrays["x"].shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(raw.arrays["x"][0, :, 0], [[255] * 3] * 16 + [[255, 0, 0]] * 16)


@pytest.mark.fetch
def test_all_emoji_of_the_standard_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWERBOUND_DATA")
    data = load_data("emoji")
    assert data.arrays["x"].shape == (4 * 1911, 32, 32, 3)
    assert dict(data.spec.splits) == {"train": 6116, "validation": 764, "test": 764}


def archive(name: str, member: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    if name.endswith(".whl"):
        with zipfile.ZipFile(stream, "w") as zipped:
            zipped.writestr(member, content)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            about = tarfile.TarInfo(member)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What a package index answers, by address."""
    pages: dict[str, bytes] = {}

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        if url not in pages:
            raise URLError("nobody there")
        return io.BytesIO(pages[url])

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.test/simple/")
    return pages


@pytest.mark.parametrize("name", ["some_words-1.0-py3-none-any.whl", "some_words-1.0.tar.gz"])
def test_files_are_taken_out_of_packages_that_are_not_run(name: str, index: dict[str, bytes], tmp_path: Path) -> None:
    page = f'<a href="https://other.test/x.whl">x</a> <a href="../../files/a&amp;b/{name}#sha256=0">{name}</a>'
    index["https://index.test/simple/some-words/"] = page.encode()
    index[f"https://index.test/files/a&b/{name}"] = archive(name, "inner/x.bin", b"content")
    pypi(name, "inner/x.bin")(tmp_path)
    assert (tmp_path / "x.bin").read_bytes() == b"content"
    with pytest.raises(Unavailable, match="the archive has no file setup"):
        pypi(name, "setup.py")(tmp_path)


def test_an_index_without_the_file_is_an_answer(index: dict[str, bytes], tmp_path: Path) -> None:
    index["https://index.test/simple/words/"] = b"<a href='#'>other</a>"
    with pytest.raises(Unavailable, match=r"has no words-1\.0\.tar\.gz"):
        pypi("words-1.0.tar.gz", "x")(tmp_path)
    with pytest.raises(Unavailable, match="nobody there"):
        pypi("others-1.0.tar.gz", "x")(tmp_path)
