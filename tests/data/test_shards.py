"""Folders of shards: one array whatever the files, read from where it lies, and refused with the file's name."""

# ruff: noqa: E501 - a table is easiest to read with one row a line

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import lowerbound
from lowerbound.data.dataset import load_data
from lowerbound.data.rows import _Stream
from lowerbound.data.shards import Shards
from lowerbound.errors import InputError


def activations(rows: int = 100, width: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def write(path: Path, rows: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, rows)
    else:
        safetensors.numpy.save_file({"acts": rows}, path)


def in_shards(folder: Path, rows: np.ndarray, ends: tuple[int, ...] = (17, 60, 61, 100), suffix: str = ".npy") -> Path:
    for number, (start, stop) in enumerate(zip((0, *ends), ends)):
        write(
            folder / f"part-{number}{suffix if suffix != 'both' else ('.npy', '.safetensors')[number % 2]}",
            rows[start:stop],
        )
    return folder


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", "both"])
def test_shards_are_one_array(tmp_path: Path, suffix: str) -> None:
    rows = activations()
    data, whole = load_data(in_shards(tmp_path, rows, suffix=suffix)), load_data(rows)
    x = data.arrays["x"]
    assert isinstance(x, Shards)
    assert (x.shape, x.dtype, x.ndim, x.size, x.nbytes) == (rows.shape, rows.dtype, 2, 500, 2000)
    for index in (slice(0, 100), slice(16, 62), slice(60, 61), slice(5, 5), slice(0, 100, 7)):
        assert np.array_equal(x[index], rows[index])
    for index in (np.array([99, 0, 17, 16, 60, 61, 0]), np.array([], dtype=np.int64)):
        assert np.array_equal(x[index], rows[index])
    assert x[60, 2] == rows[60, 2]
    assert data.spec.fingerprint == whole.spec.fingerprint
    assert data.spec.variables == whole.spec.variables
    assert all(np.array_equal(data.splits[name], whole.splits[name]) for name in whole.splits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_as_it_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    rows = torch.from_numpy(activations()).to(dtype)
    for number, part in enumerate(rows.split(40)):
        safetensors.torch.save_file({"x": part.clone()}, tmp_path / f"{number}.safetensors")
    x = load_data(tmp_path).arrays["x"]
    assert isinstance(x, Shards)
    assert np.array_equal(x[np.arange(100)], rows.float().numpy())


def test_batches_stream_from_the_files(tmp_path: Path) -> None:
    rows = activations()
    split = load_data(in_shards(tmp_path, rows, suffix=".safetensors")).split("train")
    stream, resident = split.resident("cpu", budget=0), split.resident("cpu")
    assert isinstance(stream, _Stream)
    order = torch.randperm(split.count).split(16)
    for one, other in zip(stream.batches(order), resident.batches(order)):
        assert torch.equal(one.x["x"], other.x["x"])
        assert np.array_equal(one.x["x"].numpy(), rows[one.index.numpy()])


def test_a_model_trains_on_shards_as_on_the_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = activations(400, 6)
    folder = tmp_path / "acts"
    folder.mkdir()
    in_shards(folder, rows, (150, 300, 400))
    monkeypatch.setattr("lowerbound.data.rows.RESIDENT_BYTES", 0)
    arguments = {"latent": 20, "k": 2, "epochs": 2, "likelihood": "mse"}
    streamed = lowerbound.train("k-sparse-ae", folder, tmp_path / "run", **arguments)
    assert np.array_equal(streamed.encode(rows), lowerbound.train("k-sparse-ae", rows, **arguments).encode(rows))
    again = lowerbound.load(tmp_path / "run")
    assert again.evaluate(particles=1) == streamed.evaluate(particles=1)


def spoiled(value: float) -> np.ndarray:
    rows = activations(30)
    rows[7, 3] = value
    return rows


def cut(path: Path, to: int) -> None:
    path.write_bytes(path.read_bytes()[:to])


def raw_safetensors(path: Path, header: bytes, body: bytes = b"") -> None:
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)


def one_tensor(dtype: str = '"F32"', shape: str = "[10,5]", last: int = 200) -> bytes:
    return f'{{"x":{{"dtype":{dtype},"shape":{shape},"data_offsets":[0,{last}]}}}}'.encode()


BAD: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("NaN", ".npy", lambda p: write(p, spoiled(np.nan)), "row 7 (from 0), column 3 is NaN"),
    ("infinity", ".safetensors", lambda p: write(p, spoiled(np.inf)), "row 7 (from 0), column 3 is infinite"),
    ("width", ".npy", lambda p: write(p, activations(30, 6)), "has rows of (6,) of float32, but"),
    ("type", ".npy", lambda p: write(p, activations(30).astype(np.float64)), "has rows of (5,) of float64, but"),
    ("vector", ".npy", lambda p: write(p, np.zeros(30, np.float32)), "save a shard as rows"),
    ("no rows", ".npy", lambda p: write(p, np.zeros((0, 5), np.float32)), "is empty (shape (0, 5)); leave it out"),
    ("no rows", ".safetensors", lambda p: write(p, np.zeros((0, 5), np.float32)), "is empty (shape (0, 5))"),
    ("cut npy", ".npy", lambda p: (write(p, activations(30)), cut(p, 400)), "is cut short"),
    ("cut safetensors", ".safetensors", lambda p: (write(p, activations(30)), cut(p, 400)), "is cut short"),
    ("cut header", ".safetensors", lambda p: (write(p, activations(30)), cut(p, 30)), "is no whole safetensors file"),
    ("nothing", ".safetensors", lambda p: p.write_bytes(b""), "is no whole safetensors file"),
    ("nothing", ".npy", lambda p: p.write_bytes(b""), "is no array in numpy's format"),
    ("pickle", ".npy", lambda p: np.save(p, np.array([{}] * 9), allow_pickle=True), "pickled Python objects"),
    ("no JSON", ".safetensors", lambda p: raw_safetensors(p, b"{not json"), "is no whole safetensors file"),
    ("a list", ".safetensors", lambda p: raw_safetensors(p, b"[1, 2]"), "is no whole safetensors file"),
    ("huge header", ".safetensors", lambda p: p.write_bytes(b"\xff" * 40), "is no whole safetensors file"),
    ("two tensors", ".safetensors", lambda p: safetensors.numpy.save_file({"a": activations(), "b": activations()}, p), "holds 2 tensors (a, b); save one a shard"),
    ("no tensor", ".safetensors", lambda p: raw_safetensors(p, b"{}"), "holds 0 tensors (none)"),
    ("unknown type", ".safetensors", lambda p: raw_safetensors(p, one_tensor('"F8_E4M3"'), bytes(200)), "holds no numbers"),
    ("no offsets", ".safetensors", lambda p: raw_safetensors(p, b'{"x":{"dtype":"F32","shape":[1]}}'), "cannot be used"),
    ("odd shape", ".safetensors", lambda p: raw_safetensors(p, one_tensor(shape='["a"]'), bytes(200)), "write it again"),
    ("odd length", ".safetensors", lambda p: raw_safetensors(p, one_tensor(shape="[9,5]"), bytes(200)), "is cut short"),
    ("negative", ".safetensors", lambda p: raw_safetensors(p, one_tensor(shape="[-10,-5]"), bytes(200)), "write it again"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "make", "says"), [pytest.param(*row[1:], id=f"{row[0]}{row[1]}") for row in BAD])
def test_a_bad_shard_is_refused_by_name(tmp_path: Path, suffix: str, make: Callable[[Path], object], says: str) -> None:
    write(tmp_path / "a.npy", activations(30))
    make(tmp_path / f"b{suffix}")
    with pytest.raises(InputError) as caught:
        load_data(tmp_path)
    sentence = str(caught.value)
    assert says in sentence
    assert f"b{suffix}" in sentence
    assert "\n" not in sentence
    assert "; " in sentence


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", activations(4))
    with pytest.raises(InputError, match="holds 4 rows, too few"):
        load_data(tmp_path)
