"""The verb poem end to end, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lowerbound.cli.command import run
from lowerbound.data.chinese import Readings, Script
from lowerbound.evaluation import poems

Asked = Callable[..., tuple[int, str, str]]
CHARACTERS = [chr(0x4E00 + number) for number in range(40)]
READINGS = Readings(
    {each: frozenset({("上平聲一東", "去聲一送")[number % 2]}) for number, each in enumerate(CHARACTERS)}
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    random = np.random.default_rng(0)
    return ["".join(random.choice(CHARACTERS, 20)) for _ in range(60)]


@pytest.fixture(scope="module")
def quatrains(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("poems")
    (folder / "poems.txt").write_text("\n".join(texts), encoding="utf-8")
    tiny = ["--latent", "2", "--width", "8", "--layers", "1", "--embedding", "4", "--epochs", "1", "--quiet"]
    data = ["--data", str(folder / "poems.txt"), "--out", str(folder / "run")]
    assert run(["train", "text-vae", *data, *tiny]) == 0
    return folder / "run"


def test_poems_are_written_and_told_of(quatrains: Path, ask: Asked) -> None:
    code, text, _ = ask("poem", quatrains, "--count", 3, "--temperature", 1, "--json")
    assert code == 0
    found = json.loads(text)
    assert [found[name] for name in ("form", "kind", "temperature", "constrained", "mapped")] == [
        5,
        None,
        1.0,
        False,
        {},
    ]
    assert len(found["poems"]) == 3
    code, text, _ = ask("poem", quatrains, "--count", 2)
    assert code == 0
    assert text.count("。\n") == 4


def test_constrained_poems_are_judged_as_such(quatrains: Path, ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poems, "readings", lambda: READINGS)
    monkeypatch.setattr("lowerbound.data.chinese.readings", lambda: READINGS)
    heads = "".join(CHARACTERS[0:8:2])  # all level
    code, text, _ = ask("poem", quatrains, "--acrostic", heads, "--constrained", "--judge", "--count", 1)
    assert code == 0
    assert text.endswith("(4 of 4 lines in tone, in order, rhymed)\n")
    assert [text.replace("\n", "，").replace("。，", "，").split("，")[line][0] for line in range(4)] == list(heads)


def test_poems_are_written_between_two_and_near_one(quatrains: Path, ask: Asked, texts: list[str]) -> None:
    code, text, _ = ask("poem", quatrains, "--between", texts[0], texts[1], "--steps", 3, "--json")
    assert code == 0
    assert len(json.loads(text)["poems"]) == 3
    for near in (texts[0], texts[0][:5]):
        code, text, _ = ask("poem", quatrains, "--near", near, "--count", 2, "--json")
        assert code == 0
        assert len(json.loads(text)["poems"]) == 2


def test_the_answer_is_in_the_script_asked_for(quatrains: Path, ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = {"traditional": Script({"A": "B"}), "simplified": Script(dict.fromkeys(CHARACTERS, "简"))}
    monkeypatch.setattr("lowerbound.data.chinese.script", scripts.get)
    code, text, _ = ask("poem", quatrains, "--count", 1, "--script", "simplified", "--json")
    assert code == 0
    assert set(json.loads(text)["poems"][0]["text"]) <= {"简", "□"}


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (["--acrostic", "一丁"], "an acrostic takes 4 characters, one for each line, not 2"),
        (["--acrostic", "一丁囧丁"], "the model has no character for 囧; write others"),
        (["--near", "一丁丂"], "a poem of this form has 20 characters, not 3; give one that has"),
        (["--form", "7"], "the model's poems have lines of 5 characters, not 7"),
        (["--dynasty", "tang"], "which is told no labels"),
        (["--near", "一", "--acrostic", "一"], "say one of them"),
        (["--count", "0"], "the number of poems must be a whole number of at least 1, not 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    quatrains: Path, ask: Asked, asked: list[str], refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowerbound.evaluation.quatrains.script", lambda name: Script({}))
    code, _, error = ask("poem", quatrains, *asked)
    assert code == 2
    assert error.startswith("lowerbound: error: ")
    assert error.count("\n") == 1
    assert refusal in error


def test_a_run_of_other_data_writes_no_poems(ask: Asked, tmp_path: Path) -> None:
    tiny = ["--latent", "2", "--hidden", "4", "--epochs", "1", "--quiet"]
    assert run(["train", "vae", "--data", "digits", "--out", str(tmp_path / "run"), *tiny]) == 0
    code, _, error = ask("poem", tmp_path / "run")
    assert code == 2
    assert "the model is of digits, whose rows are no quatrains; train one on those" in error
