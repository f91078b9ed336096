"""What verbs say of a run whose data are texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lowerbound

Ask = Callable[..., tuple[int, str, str]]
WORDS = ("a", "red", "cat", "dog", "runs", "<b>")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, rng.integers(2, 6))) for _ in range(200)]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    lowerbound.train("vae", folder / "lines.txt", folder / "run", epochs=1, latent=2, hidden=[8])
    return folder / "run"


def test_an_evaluation_counts_symbols_and_no_padding(run: Path) -> None:
    model = lowerbound.load(run)
    found = model.evaluate(particles=10)
    lines = [line.split() for line in (run.parent / "lines.txt").read_text(encoding="utf-8").splitlines()]
    # "<b>" is three symbols, and each text has an end.
    counts = np.array([sum(3 if word == "<b>" else 1 for word in line) + 1 for line in lines])
    mean = counts[lowerbound.load_data(run.parent / "lines.txt").splits["test"]].mean()
    assert found["nats_per_symbol"]["value"] == pytest.approx(-found["log_p"]["value"] / mean)
    assert found["perplexity"]["value"] == pytest.approx(math.exp(found["nats_per_symbol"]["value"]))


def test_evaluate_says_what_a_symbol_costs(run: Path, ask: Ask) -> None:
    _, out, _ = ask("evaluate", run, "--particles", 10)
    assert "nats per symbol" in out
    assert "perplexity" in out


def test_a_report_shows_texts_and_escapes_them(run: Path, ask: Ask, tmp_path: Path) -> None:
    code, _, _ = ask("report", run, "--particles", 10, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert code == 0
    assert "<h2>Texts</h2>" in page
    assert "<b>" not in page
    assert "&lt;" in page.partition("<h2>Texts</h2>")[2].partition("<h2>Pictures</h2>")[0]
