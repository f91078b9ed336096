"""The verb mixture, the run that it leaves, and what the other verbs make of that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import lowerbound
from lowerbound.cli.command import run
from lowerbound.data.dataset import load_data
from lowerbound.errors import InputError
from lowerbound.mixtures import selection
from lowerbound.run.mixtures import MixtureRun, view_of

Ask = Callable[..., tuple[int, str, str]]


def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Rows of three clouds a million away from 0, and which cloud each is of."""
    generator = np.random.default_rng(0)
    which = generator.integers(3, size=600)
    return 1e6 + 6.0 * which[:, None] + generator.normal(size=(600, 2)), which


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clouds as a table with names for them."""
    path, (x, which) = tmp_path_factory.mktemp("data") / "clouds.csv", clouds()
    lines = [f"{a!r},{b!r},{'abc'[k]}" for (a, b), k in zip(x.tolist(), which)]
    path.write_text("\n".join(["left,right,cloud", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def fitted(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the verb."""
    out = tmp_path_factory.mktemp("runs") / "mixture"
    words = f"mixture {table} --labels cloud --components 1 2 3 4 --family full diag --out {out} --quiet"
    assert run(words.split()) == 0
    return out


def test_it_says_what_it_chose_and_why(table: Path, tmp_path: Path, ask: Ask) -> None:
    words = ("mixture", table, "--labels", "cloud", "--components", "2", "3", "--family", "diag", "full")
    code, out, _ = ask(*words, "--out", tmp_path / "a", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["family"], found["components"], found["criterion"]) == ("diag", 3, "bic")
    assert [(row["family"], row["components"]) for row in found["table"]] == [
        ("diag", 2),
        ("full", 2),
        ("diag", 3),
        ("full", 3),
    ]
    assert min(row["bic"] for row in found["table"]) == found["bic"]
    code, out, _ = ask(*words, "--out", tmp_path / "b", "--criterion", "held-out", "--restarts", "1")
    assert code == 0
    assert "least by −log p of rows held out" in out
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "mixture.json",
        "mixture.safetensors",
        "selection.png",
    }


def test_log_p_of_the_run_is_that_of_its_parameters(fitted: Path) -> None:
    model, (x, _) = lowerbound.load(fitted), clouds()
    kept = MixtureRun.open(fitted)
    mean = np.array(kept.data.variables[0].mean)
    held = {name: value[0].numpy() for name, value in kept.mixture.components.tensors().items()}
    weights = kept.mixture.weights.mean[0].numpy()
    densities = [
        multivariate_normal(mean + loc, np.diag(variance)).pdf(x)
        for loc, variance in zip(held["loc"], held["variance"])
    ]
    assert len(densities) == 3
    assert np.allclose(model.log_prob(x, particles=1), np.log(weights @ np.stack(densities)), atol=1e-4)


def test_the_other_verbs_open_it(fitted: Path, tmp_path: Path, ask: Ask) -> None:
    code, out, err = ask("cluster", fitted, "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"] > 0.98
    code, out, err = ask("evaluate", fitted, "--particles", "2", "--json")
    assert code == 0, err
    assert json.loads(out)["elbo"]["value"] == pytest.approx(json.loads(out)["log_p"]["value"], abs=1e-4)
    drawn = tmp_path / "drawn.npy"
    assert ask("sample", fitted, "--draw", "--count", "500", "--out", drawn)[0] == 0
    x, draws = clouds()[0], np.load(drawn)
    assert np.allclose(draws.mean(0), x.mean(0), atol=5 * x.std(0).max() / 500**0.5)
    for words in ("log-prob --particles 1 --out {}/p.csv", "anomaly --out {}/a.csv", "report --out {}/r.html"):
        verb, *rest = words.format(tmp_path).split()
        code, _, err = ask(verb, fitted, *rest)
        assert code == 0, err


def test_values_may_be_missing_where_told(tmp_path: Path, ask: Ask) -> None:
    x = clouds()[0]
    x[::7, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    words = ("mixture", tmp_path / "x.npy", "--components", "3", "--out", tmp_path / "run")
    code, _, err = ask(*words)
    assert code == 2
    assert "x.npy, row 0 (from 0), column 1 is NaN" in err
    assert not (tmp_path / "run").exists()
    code, _, err = ask(*words, "--missing")
    assert code == 0, err
    model = lowerbound.load(tmp_path / "run")
    observed = MixtureRun.open(tmp_path / "run")
    rows = view_of(observed.data.variables[0])(torch.from_numpy(x))
    assert np.allclose(model.log_prob(x, particles=1), observed.mixture.log_prob(rows)[0].numpy(), atol=1e-4)


def test_pictures_are_rows_and_come_back_as_pictures(tmp_path: Path, ask: Ask) -> None:
    out = tmp_path / "run"
    code, _, err = ask("mixture", "digits", "--components", "4", "--family", "diag", "--stepwise", "--out", out)
    assert code == 0, err
    assert lowerbound.load(out).sample(3).shape == (3, 8, 8)
    digits = load_data("digits")
    assert lowerbound.load(out).log_prob(digits.split("test").array("x"), particles=1).shape == (179,)


def test_binary_values_have_a_family_of_their_own(tmp_path: Path, ask: Ask) -> None:
    bits = np.random.default_rng(0).random((300, 6)) < np.where(np.arange(300)[:, None] < 150, 0.1, 0.9)
    np.save(tmp_path / "x.npy", bits)
    words = ("mixture", tmp_path / "x.npy", "--components", "1", "2", "3", "--out", tmp_path / "run")
    code, out, err = ask(*words, "--family", "bernoulli", "--json")
    assert code == 0, err
    assert json.loads(out)["components"] == 2
    code, _, err = ask(*words[:-1], tmp_path / "other", "--family", "bernoulli", "full")
    assert code == 2
    assert "cannot be compared: densities and probabilities" in err


REFUSALS = {
    "--components 0": "components must be a whole number of at least 1, not 0",
    "--components 5000": "there are 1,439 training rows, fewer than components; try fewer",
    "--components": "say at least one number of components",
    "--restarts 0": "restarts must be a whole number of at least 1",
    "--floor -1": "floor must be a number of at least 0",
    "--family bernoulli": "the family bernoulli is of binary values, and 'x' holds byte ones",
    "--floor 0 --family diag": "a covariance is singular even over all rows",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_is_refused_in_a_sentence(words: str, tmp_path: Path, ask: Ask) -> None:
    code, out, err = ask("mixture", "digits", "--out", tmp_path / "run", "--quiet", *words.split())
    assert (code, out) == (2, "")
    assert REFUSALS[words] in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_and_nothing_left_half_written(
    fitted: Path, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = ask("mixture", "digits", "--out", fitted)
    assert code == 2
    assert "is there already" in err

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(selection, "account", interrupted)
    assert ask("mixture", "digits", "--components", "2", "--out", tmp_path / "run")[0] == 130
    assert list(tmp_path.iterdir()) == []


def changed(run: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run after a change to its record."""
    folder.mkdir()
    for path in run.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = json.loads((folder / "mixture.json").read_text())
    change(content)
    (folder / "mixture.json").write_text(json.dumps(content))
    return folder


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "changed": (lambda content: content["found"].update(components=9), "was changed after lowerbound wrote it"),
    "newer": (lambda content: content.update(schema=2), "was written by a newer lowerbound"),
    "foreign": (lambda content: content.update(format="other"), "is not the record of a mixture"),
    "less": (lambda content: content.pop("data"), "lacks fields"),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_run_that_is_not_as_it_was_written_is_refused(spoil: str, fitted: Path, tmp_path: Path) -> None:
    change, words = SPOILT[spoil]
    assert lowerbound.load(changed(fitted, tmp_path / "same", lambda content: None)).run is not None
    with pytest.raises(InputError, match=words):
        lowerbound.load(changed(fitted, tmp_path / "run", change))


def test_tensors_that_are_not_the_runs_are_refused(fitted: Path, tmp_path: Path) -> None:
    folder = changed(fitted, tmp_path / "run", lambda content: None)
    file = folder / "mixture.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    with pytest.raises(InputError, match="is not the file that this run wrote"):
        lowerbound.load(folder)
    file.unlink()
    with pytest.raises(InputError, match="is not a whole run"):
        lowerbound.load(folder)


def test_a_run_kept_again_is_the_same_bit_for_bit(fitted: Path, tmp_path: Path) -> None:
    kept, x = MixtureRun.open(fitted), torch.randn(50, 2, dtype=torch.float64)
    kept.keep(tmp_path / "again")
    again = MixtureRun.open(tmp_path / "again")
    assert torch.equal(again.mixture.log_prob(x), kept.mixture.log_prob(x))
    assert (again.data, again.reading, again.found) == (kept.data, kept.reading, kept.found)
