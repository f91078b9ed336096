"""Figures in files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from lowerbound.errors import MissingExtraError
from lowerbound.training.metrics import JsonLines, TensorBoard
from lowerbound.training.tally import Figures, Tally


def test_lines_are_added_and_forgotten(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "metrics.jsonl")
    assert lines.length() == 0
    lines.write({"step": 1})
    length = lines.length()
    lines.write({"step": 2, "train": {"rate": 0.1}})
    assert [json.loads(line) for line in lines.path.read_text().splitlines()][1]["train"] == {"rate": 0.1}
    lines.truncate(length)
    lines.truncate(10**6)
    assert lines.path.read_text() == '{"step": 1}\n'


def test_what_is_no_number_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        JsonLines(tmp_path / "metrics.jsonl").write({"loss": float("nan")})


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = TensorBoard(tmp_path)
    for step in (1, 2):
        writer.write({"step": step, "train": {"rate": 0.5 * step}, "validation": {"objective": None}})
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/rate")] == [(1, 0.5), (2, 1.0)]


def test_a_missing_tensorboard_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lowerbound\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_means_are_over_the_steps_that_counted() -> None:
    tally = Tally()
    for value, finite in ((1.0, True), (float("inf"), False), (3.0, True)):
        terms = {"distortion": torch.tensor(10 * value), "rate": torch.tensor(value)}
        tally.add(terms, torch.tensor(2 * value), torch.tensor(finite))
    figures = tally.read()
    assert figures.means == {"distortion": 20.0, "rate": 2.0, "gradient_norm": 4.0}
    assert (figures.loss, figures.counted, figures.skipped) == (22.0, 2, 1)


def test_a_reading_since_another_covers_what_came_between() -> None:
    tally, first = Tally(), Figures()
    for value in (1.0, 2.0, 3.0):
        tally.add({"rate": torch.tensor(value)}, torch.tensor(0.0), torch.tensor(True))
        first = tally.read() if value == 1.0 else first
    assert tally.read().since(first).loss == 2.5
    assert tally.read().since(Figures()).loss == 2.0


def test_no_step_has_no_means() -> None:
    assert Tally().read().means == {}
    assert Tally().read().loss != Tally().read().loss
