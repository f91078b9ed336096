"""Every form in which good data may come: what is read is what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from samples import MapStyle
from torch.utils.data import TensorDataset

from lowerbound.data import store
from lowerbound.data.dataset import Dataset, load_data

random = np.random.default_rng(0)
REAL = random.normal(size=(30, 3))
PICTURES = random.integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
LABELS = np.array(["b", "a", "c"] * 10)


def holds(data: Dataset, values: np.ndarray, name: str = "x") -> bool:
    return bool(np.array_equal(data.arrays[name], values))


def labels(data: Dataset) -> list[str]:
    assert data.spec.condition is not None
    assert data.spec.condition.labels is not None
    assert data.condition is not None
    return [data.spec.condition.labels[code] for code in data.condition]


@pytest.mark.parametrize("values", [REAL, PICTURES, np.asfortranarray(REAL), REAL.astype(">f8")])
def test_npy(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", values)
    data = load_data(str(tmp_path / "x.npy"))
    assert holds(data, values)
    assert data.spec.name == "x.npy"


def test_npz_with_labels_inside(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", picture=PICTURES, table=REAL, kind=LABELS)
    data = load_data(tmp_path / "x.npz", labels="kind")
    assert [v.name for v in data.spec.variables] == ["picture", "table"]
    assert holds(data, PICTURES, "picture")
    assert holds(data, REAL, "table")
    assert labels(data) == LABELS.tolist()


TABLE = pa.table({"a": REAL[:, 0], "b": REAL[:, 1], "name": LABELS, "n": np.arange(30)})


def write_csv(path: Path, header: bool = True) -> Path:
    rows = [f"{a!r},{b!r},{name},{n}" for a, b, name, n in zip(*TABLE.to_pydict().values(), strict=True)]
    path.write_text("\n".join([*(["a,b,name,n"] if header else []), *rows]) + "\n")
    return path


def write_parquet(path: Path) -> Path:
    pq.write_table(TABLE, path)
    return path


@pytest.mark.parametrize(("write", "name"), [(write_csv, "t.csv"), (write_parquet, "t.parquet")])
def test_tables_with_a_column_of_labels(write: Any, name: str, tmp_path: Path) -> None:
    data = load_data(write(tmp_path / name), labels="name")
    assert holds(data, np.column_stack([REAL[:, 0], REAL[:, 1], np.arange(30)]))
    assert data.spec.variables[0].columns == ("a", "b", "n")
    assert labels(data) == LABELS.tolist()


def test_labels_may_be_whole_numbers_with_gaps(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": REAL[:, 0], "year": np.arange(30) % 3 * 10 + 1990}), tmp_path / "t.parquet")
    data = load_data(tmp_path / "t.parquet", labels="year")
    assert data.spec.condition is not None
    assert data.spec.condition.labels == ("1990", "2000", "2010")


def lines(values: np.ndarray) -> list[str]:
    return [",".join(map(repr, row)) for row in values.tolist()]


@pytest.mark.parametrize(
    ("header", "columns"),
    [("x,y,z", "x y z"), (None, "f0 f1 f2"), ("0,1,2", "0 1 2"), ("\ufeffx,y,z", "x y z")],
    ids=["named", "no header", "numbered, as pandas does", "with a byte-order mark"],
)
def test_csv_headers(header: str | None, columns: str, tmp_path: Path) -> None:
    rows = lines(REAL) if header is None else [header, *lines(REAL)]
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    data = load_data(tmp_path / "t.csv")
    assert holds(data, REAL)
    assert data.spec.variables[0].columns == tuple(columns.split())


def test_a_table_of_pixels_may_have_constant_ones(tmp_path: Path) -> None:
    pixels = np.pad(PICTURES[:, :, :, 0].reshape(30, -1), ((0, 0), (2, 0)))
    (tmp_path / "t.csv").write_text("\n".join(lines(pixels)))
    data = load_data(tmp_path / "t.csv", kind="byte")
    assert holds(data, pixels)
    assert data.spec.variables[0].levels == 256


def test_csv_of_truths_and_decimals(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "true, 1.5\nfalse,-2\n" * 6)
    assert holds(load_data(tmp_path / "t.csv"), np.array([[1, 1.5], [0, -2]] * 6))


@pytest.mark.parametrize("form", ["png RGB", "png L", "PNG 1", "jpg RGB", "jpeg L"])
def test_a_folder_of_pictures(form: str, tmp_path: Path) -> None:
    ending, mode = form.split()
    made = [Image.fromarray(values).convert(mode) for values in PICTURES]
    for row, picture in enumerate(made):
        picture.save(tmp_path / f"p{row:03}.{ending}", "PNG" if ending.lower() == "png" else "JPEG")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    data = load_data(tmp_path)
    stored = [Image.open(path) for path in sorted(tmp_path.glob("p*"))]
    assert holds(data, np.stack([np.asarray(picture) for picture in stored]))
    assert data.spec.variables[0].kind == ("binary" if mode == "1" else "byte")
    assert data.condition is None


def test_subfolders_are_labels(tmp_path: Path) -> None:
    for row, values in enumerate(PICTURES):
        folder = tmp_path / ("cat", "dog")[row % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(values).save(folder / f"{row:03}.png")
    data = load_data(tmp_path)
    assert labels(data) == ["cat"] * 15 + ["dog"] * 15
    assert holds(data, np.concatenate([PICTURES[::2], PICTURES[1::2]]))


@pytest.mark.parametrize("labelled", [False, True])
def test_arrays_tensors_and_datasets_of_them_are_the_same_data(labelled: bool) -> None:
    codes = np.arange(30) % 3
    ways = [REAL, torch.from_numpy(REAL), REAL.tolist(), {"x": REAL}, {"x": torch.from_numpy(REAL)}]
    given = [load_data(way, labels=codes if labelled else None) for way in ways]
    items = [(row, code) if labelled else row for row, code in zip(REAL, codes.tolist(), strict=True)]
    tensors = (torch.from_numpy(REAL), torch.from_numpy(codes)) if labelled else (torch.from_numpy(REAL),)
    given += [load_data(MapStyle(*items)), load_data(TensorDataset(*tensors))]
    assert all(holds(data, REAL) for data in given)
    assert len({data.spec.fingerprint for data in given}) == 1


def test_a_dataset_of_several_variables() -> None:
    data = load_data(
        MapStyle(*({"picture": p, "table": torch.from_numpy(t)} for p, t in zip(PICTURES, REAL, strict=True)))
    )
    assert holds(data, PICTURES, "picture")
    assert holds(data, REAL, "table")


def test_a_dataset_of_pillow_pictures() -> None:
    data = load_data(MapStyle(*((Image.fromarray(values), row % 2) for row, values in enumerate(PICTURES))))
    assert holds(data, PICTURES)
    assert labels(data) == ["0", "1"] * 15


def test_what_does_not_fit_in_memory_goes_to_a_file_without_a_name(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "DECODED_BYTES", 100)
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path))
    data = load_data(MapStyle(*PICTURES))
    assert isinstance(data.arrays["x"], np.memmap)
    assert holds(data, PICTURES)
    assert list(tmp_path.iterdir()) == []


class Frame:
    """What can become an array, as a data frame can; its items are columns."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return REAL

    def __len__(self) -> int:
        return len(REAL)

    def __getitem__(self, column: str) -> np.ndarray:
        raise KeyError(column)


def test_what_can_become_an_array_is_one() -> None:
    assert holds(load_data(Frame()), REAL)


def test_home_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", REAL)
    assert holds(load_data("~/x.npy"), REAL)


def test_conversion_beyond_memory_goes_to_a_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "DECODED_BYTES", 100)
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path))
    data = load_data(np.arange(90).reshape(30, 3), kind="real")
    assert isinstance(data.arrays["x"], np.memmap)
    assert holds(data, np.arange(90.0).reshape(30, 3))


def test_a_row_may_be_one_number() -> None:
    data = load_data(REAL[:, 0])
    assert data.spec.variables[0].shape == (1,)
    assert holds(data, REAL[:, :1])


def test_half_precision_is_widened() -> None:
    halves = [REAL.astype(np.float16), torch.from_numpy(REAL).bfloat16()]
    assert [load_data(values).arrays["x"].dtype for values in halves] == [np.float32, np.float32]


def test_statistics_are_of_the_training_rows() -> None:
    values = REAL.copy()
    held = load_data(values).splits["test"]
    values[held] += 100
    x = load_data(values).spec.variables[0]
    train = values[load_data(values).splits["train"]]
    assert x.mean == pytest.approx(train.mean(0).tolist(), abs=1e-12)
    assert x.std == pytest.approx(train.std(0).tolist(), abs=1e-12)
    assert (x.low, x.high) == (train.min(), train.max())


def test_statistics_of_pictures_are_over_all_pixels(monkeypatch: Any) -> None:
    values = random.normal(size=(40, 6, 5)) * 3 + 1
    data = load_data(values)
    train = values[data.splits["train"]]
    assert data.spec.variables[0].mean == pytest.approx([train.mean()], abs=1e-12)
    assert data.spec.variables[0].std == pytest.approx([train.std()], abs=1e-12)
    monkeypatch.setattr("lowerbound.data.survey.CHUNK_BYTES", 1000)
    assert load_data(values).spec.variables[0].mean == pytest.approx([train.mean()], abs=1e-12)
    assert load_data(values).spec.variables[0].std == pytest.approx([train.std()], abs=1e-12)
