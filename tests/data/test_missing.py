"""Values that were not observed: kept as NaN, described without, masked on their way to a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lowerbound.core.batch import Batch
from lowerbound.data.dataset import load_data
from lowerbound.data.reading import Reading, read_alike, reading_of
from lowerbound.data.spec import DataSpec
from lowerbound.data.views import Scale, Standardise, View
from lowerbound.errors import InputError
from lowerbound.recipes import get

NAN = math.nan


def table(share: float = 0.3, rows: int = 200) -> np.ndarray:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4)) * [1.0, 5.0, 0.1, 2.0] + [0.0, 100.0, 3.0, -1.0]
    x[random.random(x.shape) < share] = NAN
    return x


def test_statistics_are_of_what_was_observed_of_the_training_rows() -> None:
    x = table()
    data = load_data(x, missing=True)
    about, train = data.spec.variables[0], x[data.splits["train"]]
    assert (about.kind, about.missing) == ("real", True)
    assert about.mean == pytest.approx(np.nanmean(train, 0))
    assert about.std == pytest.approx(np.nanstd(train, 0))
    assert (about.low, about.high) == (np.nanmin(train), np.nanmax(train))
    assert np.array_equal(data.arrays["x"], x, equal_nan=True)


def test_whole_data_are_described_as_ever() -> None:
    x = np.nan_to_num(table())
    said, unsaid = load_data(x, missing=True).spec, load_data(x).spec
    assert said == unsaid
    assert "missing" not in said.variables[0].to_json()


def test_a_description_and_a_reading_come_back_from_json() -> None:
    spec = load_data(table(), missing=True).spec
    assert DataSpec.from_json(spec.to_json()) == spec
    reading = Reading("x.csv", None, "y", missing=True)
    assert Reading.from_json(reading.to_json()) == reading
    assert "missing" not in Reading("x.csv").to_json()


def test_data_of_other_gaps_have_another_fingerprint() -> None:
    x = table()
    other = x.copy()
    other[np.argwhere(np.isnan(x))[0][0], np.argwhere(np.isnan(x))[0][1]] = 0.0
    prints = {load_data(each, missing=True).spec.fingerprint for each in (x, x.copy(), other)}
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("binary", [0, 1, 1]),
        ("byte", [0, 255, 17]),
        ("unit", [0.5, 0.25, 1.0]),
        ("count", [0, 3, 70]),
        ("category", [0, 2, 1]),
    ],
)
def test_every_kind_may_have_gaps(kind: Any, values: list[float]) -> None:
    x = np.array([*values, NAN] * 10)[:, None] + np.zeros(2)
    data = load_data(x, kind=kind, missing=True)
    about = data.spec.variables[0]
    assert (about.kind, about.missing) == (kind, True)
    batch = data.split("train").resident("cpu").batch(torch.arange(8))
    setup = get("vae").build(data.spec, latent=2, hidden=(4,))
    seen = setup.see(batch)
    assert bool(seen.x["x"].isfinite().all())
    assert torch.equal(seen.mask["x"], torch.from_numpy(~np.isnan(x[batch.index.numpy()])))
    assert bool(setup.model.trace(seen, 3).log_w.isfinite().all())


def test_kinds_are_inferred_from_what_was_observed() -> None:
    for values, kind in (([0, 1], "binary"), ([0, 12], "count"), ([0.1, 0.9], "unit"), ([-0.5, 3.0], "real")):
        x = np.array([*values, NAN] * 10)[:, None] + np.zeros(2)
        assert load_data(x, missing=True).spec.variables[0].kind == kind


FIRST = table()[:, 0]
REFUSED: dict[str, tuple[np.ndarray, str]] = {
    "never observed": (np.column_stack([FIRST, np.full(200, NAN)]), "column 1 is missing from all training rows"),
    "an infinite value": (np.where(np.eye(200, 4), math.inf, table()), "row 0 (from 0), column 0 is infinite"),
    "of one value": (np.column_stack([FIRST, np.where(np.arange(200) % 2, -2.5, NAN)]), "column 1 is the same"),
    "pictures of nothing": (np.full((20, 3, 3), NAN), "are missing from all training rows"),
}  # fmt: skip


@pytest.mark.parametrize(("x", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learned_from_is_refused(x: np.ndarray, words: str) -> None:
    with pytest.raises(InputError) as refused:
        load_data(x, missing=True)
    assert words in str(refused.value)


def test_gaps_are_refused_unasked_and_the_remedy_is_named() -> None:
    with pytest.raises(InputError, match=r"or say that values may be missing \(in Python missing=True.*--missing\)"):
        load_data(table())


def write_csv(path: Path) -> Path:
    lines = [f"{row if row % 3 else ''},{row % 2 if row % 5 else 'NA'},{row}.5" for row in range(30)]
    path.write_text("\n".join(["a,b,c", *lines]) + "\n")
    return path


def write_parquet(path: Path) -> Path:
    rows = range(30)
    columns = {
        "a": pa.array([row if row % 3 else None for row in rows]),
        "b": pa.array([bool(row % 2) if row % 5 else None for row in rows]),
        "c": pa.array([row + 0.5 for row in rows]),
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(("write", "name"), [(write_csv, "t.csv"), (write_parquet, "t.parquet")])
def test_empty_cells_of_a_table_are_gaps(write: Any, name: str, tmp_path: Path) -> None:
    x = load_data(write(tmp_path / name), missing=True).arrays["x"]
    row = np.arange(30)
    expected = np.column_stack([np.where(row % 3, row, NAN), np.where(row % 5, row % 2, NAN), row + 0.5])
    assert np.array_equal(x, expected, equal_nan=True)


def test_a_source_is_read_again_with_its_gaps(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv")
    data = load_data(path, missing=True)
    again = read_alike(data.spec, reading_of(path, None, None, missing=True))
    assert again.spec == data.spec
    assert read_alike(data.spec, None, write_parquet(tmp_path / "t.parquet")).spec.variables == data.spec.variables


@pytest.mark.parametrize("budget", [None, 0], ids=["resident", "streamed"])
def test_a_batch_has_zeros_and_a_mask_for_gaps(budget: int | None) -> None:
    x = table()
    data = load_data({"x": x, "y": np.nan_to_num(x)}, missing=True)
    sampler = data.split("train").resident("cpu", budget)
    (batch,) = sampler.batches([torch.tensor([3, 0, 5])])
    rows = x[batch.index.numpy()]
    assert np.array_equal(batch.x["x"].numpy(), np.nan_to_num(rows))
    assert np.array_equal(batch.mask["x"].numpy(), ~np.isnan(rows))
    assert set(batch.mask) == {"x"}


@pytest.mark.parametrize("view", [Standardise([1.0, 2.0], [2.0, 0.5], 2), Scale(0, 10, 2)])
def test_the_volume_of_a_datum_is_of_its_observed_values(view: View) -> None:
    setup = get("vae").build(load_data(table()[:, :2], missing=True).spec, latent=1, hidden=(2,))
    setup = type(setup)(setup.model, {"x": view}, setup.objective, setup.estimator)
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    slopes = torch.autograd.functional.jacobian(view, torch.ones(2)).diagonal().log()
    found = setup.volumes(Batch({"x": torch.ones(3, 2)}, mask={"x": mask}))
    assert found.tolist() == pytest.approx((mask * slopes).sum(1).tolist(), abs=1e-6)
    assert setup.volumes(Batch({"x": torch.ones(3, 2)})).tolist() == pytest.approx([view.log_volume] * 3, abs=1e-6)
