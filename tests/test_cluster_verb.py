"""The verb cluster end to end: its figures, what it writes, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from PIL import Image

import lowerbound
from lowerbound.cli.command import run
from lowerbound.evaluation.clustering import agreement

TINY = ["--latent", "2", "--hidden", "16", "--epochs", "2", "--batch-size", "256", "--quiet"]
Asked = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "vade"
    assert run(["train", "vade", "--data", "digits", "--out", str(path), "--components", "4", *TINY]) == 0
    return path


def test_figures_table_and_picture(ask: Asked, trained: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "clusters.csv", tmp_path / "samples.png"
    code, out, err = ask("cluster", trained, "--out", table, "--samples", picture, "--across", 5, "--json")
    assert code == 0, err
    found = json.loads(out)
    rows = pyarrow.csv.read_csv(table)
    assert rows.column_names == ["row", "cluster", "p0", "p1", "p2", "p3"]
    clusters = rows["cluster"].to_numpy()
    assert found["clusters"] == np.bincount(clusters, minlength=4).tolist()
    assert found["count"] == len(clusters)
    assert 1 / 4 <= found["certainty"] <= 1
    labels = lowerbound.load_data("digits").split("test").condition
    assert {name: found[name] for name in ("accuracy", "nmi", "ari")} == pytest.approx(agreement(labels, clusters))
    assert (found["out"], found["samples"]) == (str(table), str(picture))
    width, height = Image.open(picture).size
    assert width / height == pytest.approx(5 / 4, abs=0.05)


def test_in_words_and_without_files(ask: Asked, trained: Path) -> None:
    code, out, _ = ask("cluster", trained, "--split", "validation")
    assert code == 0
    head, *groups, last = out.splitlines()
    assert "rows in 4 clusters, certainty 0." in head
    assert len(groups) == 4
    assert last.startswith("accuracy ")
    assert "NMI" in last


def test_data_without_labels_have_clusters_all_the_same(ask: Asked, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", lowerbound.load_data("digits").arrays["x"][:300])
    made_of = ["--data", tmp_path / "x.npy", "--out", tmp_path / "run", "--components", 3]
    assert ask("train", "vade", *made_of, *TINY)[0] == 0
    code, out, err = ask("cluster", tmp_path / "run", "--split", "all", "--json")
    assert code == 0, err
    assert json.loads(out).keys() == {"count", "clusters", "certainty"}


def test_what_is_there_is_not_replaced_and_a_table_is_no_picture(ask: Asked, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    assert ask("cluster", trained, "--out", tmp_path / "there.csv")[0] == 2
    code, _, err = ask("cluster", trained, "--out", tmp_path / "clusters.png")
    assert (code, "must end in one of" in err) == (2, True)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_model_without_clusters_is_refused_in_a_sentence(ask: Asked, tmp_path: Path) -> None:
    assert run(["train", "vae", "--data", "digits", "--out", str(tmp_path / "vae"), *TINY]) == 0
    code, _, err = ask("cluster", tmp_path / "vae")
    assert code == 2
    assert "the model has no clusters" in err
