"""The source of quatrains: what is taken for one, which are kept together, and what is known of the whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data import poems
from lowerbound.data.dataset import load_data
from lowerbound.data.poems import kin, lines_of, only, quatrain

ONE = "白日依山盡黃河入海流欲窮千里目更上一層樓"
TWO = "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少"
NEAR = "白日依山沒大漠孤煙直長河落日圓蕭關逢候騎"  # its first line is that of ONE but for a character
LONG = "更上一層樓閣望不知何處是長安春風又綠江南岸明月何時照我還"  # five characters in a row are a line of ONE


@pytest.mark.parametrize(
    "lines",
    [
        ["白日依山盡，黃河入海流。"],
        ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層。"],
        ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層□。"],
        ["白日依山，黃河入海。", "欲窮千里，更上一層。"],
    ],
)
def test_what_is_no_quatrain_is_left_out(lines: list[str]) -> None:
    assert quatrain({"paragraphs": lines}) is None


def test_poems_with_nearly_a_line_in_common_are_kin() -> None:
    assert kin([ONE, TWO, NEAR, LONG]) == [0, 1, 0, 0]
    assert kin([NEAR, LONG, TWO, ONE]) == [0, 0, 2, 0]  # two without a line in common, both kin of the last


def test_kin_is_what_brute_force_finds() -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("天地玄黃"), 20)) for _ in range(40)]

    def near(a: str, b: str) -> bool:
        return any(sum(map(str.__ne__, x, y)) <= 1 for x in lines_of(a) for y in lines_of(b))

    reach = np.array([[near(a, b) for b in texts] for a in texts])
    for _ in texts:
        reach = reach @ reach
    assert kin(texts) == reach.argmax(axis=1).tolist()


def test_the_collection_is_made_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poems, "_LAST", {"tang": 0, "song": 0})
    entries = [{"paragraphs": ["，".join(lines_of(text)) + "。"]} for text in (ONE, TWO, ONE)]
    for dynasty in poems.DYNASTIES:
        (tmp_path / f"poet.{dynasty}.0.json").write_text(json.dumps(entries))
    poems.prepare(tmp_path)
    found = (tmp_path / poems.FILE).read_text(encoding="utf-8").splitlines()
    assert found == [f"tang-5\t0\t{ONE}", f"tang-5\t1\t{TWO}", f"song-5\t0\t{ONE}", f"song-5\t1\t{TWO}"]
    raw = poems.decode(tmp_path)
    some = only(raw, "song", ("song-5",))
    assert some.label_names == ("song-5",)
    assert some.arrays["x"].tolist() == [ONE, TWO]
    assert only(raw, "both", ("song-5", "tang-5")).labels.tolist() == [1, 1, 0, 0]  # type: ignore[union-attr]


@pytest.mark.fetch
def test_the_quatrains_are_as_many_as_is_known() -> None:
    data = load_data("quatrains")
    assert data.spec.condition is not None
    assert data.spec.condition.labels == poems.KINDS
    assert data.condition is not None
    assert Counter(data.condition.tolist()) == {0: 3_791, 1: 10_369, 2: 13_078, 3: 72_542}
    assert sum(data.spec.splits.values()) == 99_780


@pytest.mark.fetch
@pytest.mark.parametrize("name", ["quatrains", "quatrains-tang"])
def test_no_test_poem_shares_a_line_with_one_of_training(name: str) -> None:
    data = load_data(name)
    vocabulary = data.spec.variables[0].labels or ()
    lines = {}
    for split in ("train", "test"):
        codes = data.arrays["x"][data.splits[split]].astype(np.float32)
        texts = ["".join(vocabulary[int(code)] for code in row if code > 0) for row in np.nan_to_num(codes)]
        whole = [text for text in texts if "<" not in text]
        lines[split] = {line for text in whole for line in lines_of(text)}
    assert not lines["train"] & lines["test"]
