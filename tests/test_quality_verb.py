"""The verb quality end to end: its table, its JSON and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lowerbound
from lowerbound.cli.command import run
from lowerbound.evaluation.schooling import Schooling


def test_figures_are_printed_and_kept_and_the_classifier_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path))
    monkeypatch.setattr(Schooling, "of", lambda picture: Schooling((16, 32), steps=100, shift=1))
    lowerbound.train("vae", "digits", tmp_path / "run", latent=2, hidden=[8], epochs=1)
    ask = ["quality", str(tmp_path / "run"), "--count", "50"]
    capsys.readouterr()
    assert run([*ask, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "training a classifier of digits, this once" in err
    assert json.loads((tmp_path / "run" / "quality-test.json").read_text()) == json.loads(out)
    assert run(ask) == 0
    out, err = capsys.readouterr()
    assert "50 samples beside 50 test rows of digits" in out
    assert "training rows" in out
    assert not err


def test_bad_counts_are_refused_before_anything_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["quality", "nowhere", "--count", "0"]) == 2
    assert "count" in capsys.readouterr().err
