"""Rows that are not in memory: EM over them is EM over the same rows in memory, and little of them is ever there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor

from lowerbound.data.pieces import CsvPieces, ParquetPieces
from lowerbound.data.shards import read_shards
from lowerbound.errors import InputError
from lowerbound.mixtures.blocks import Blocks, InMemory, recut
from lowerbound.mixtures.em import begin, fit
from lowerbound.mixtures.gaussian import Full
from lowerbound.mixtures.streams import Inspection, OnDisk, Passing, opened

BLOCK = 300
"""Values of a block: small, so that there are many."""


def rows(count: int = 500, width: int = 3) -> np.ndarray:
    """Rows of two clouds, one after the other."""
    x = np.random.default_rng(0).normal(size=(count, width))
    x[: count // 2] += 2
    return x


def on_disk(x: np.ndarray, folder: Path) -> Blocks:
    np.save(folder / "x.npy", x)
    return OnDisk(np.load(folder / "x.npy", mmap_mode="r"), values=BLOCK)


def by_column(x: np.ndarray, folder: Path) -> Blocks:
    return on_disk(np.asfortranarray(x), folder)


def sharded(x: np.ndarray, folder: Path) -> Blocks:
    np.save(folder / "0.npy", x[: len(x) // 4])
    save_file({"x": x[len(x) // 4 :]}, folder / "1.safetensors")
    return OnDisk(read_shards(folder).arrays["x"], values=BLOCK)


def parquet(x: np.ndarray, folder: Path) -> Blocks:
    table = pa.table({f"c{i}": x[:, i] for i in range(x.shape[1])})
    pq.write_table(table, folder / "x.parquet", row_group_size=70)
    pieces = ParquetPieces(folder / "x.parquet")
    return Passing(pieces, Inspection(pieces.where), values=BLOCK)


def csv(x: np.ndarray, folder: Path) -> Blocks:
    lines = [",".join(f"c{i}" for i in range(x.shape[1])), *(",".join(map(repr, row)) for row in x.tolist())]
    (folder / "x.csv").write_text("\n".join(lines) + "\n")
    pieces = CsvPieces(folder / "x.csv")
    return Passing(pieces, Inspection(pieces.where), values=BLOCK)


def in_pieces(x: np.ndarray, folder: Path) -> Blocks:
    return Passing([x[:7], torch.from_numpy(x[7:333]), x[333:]], values=BLOCK)


PLACES: dict[str, Callable[[np.ndarray, Path], Blocks]] = {
    "npy": on_disk,
    "npy by column": by_column,
    "shards": sharded,
    "parquet": parquet,
    "csv": csv,
    "pieces": in_pieces,
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def place(request: pytest.FixtureRequest) -> Callable[[np.ndarray, Path], Blocks]:
    """A way of keeping rows outside memory."""
    found: Callable[[np.ndarray, Path], Blocks] = request.param
    return found


def everything(blocks: Blocks) -> Tensor:
    return torch.cat([block.rows for block in blocks])


def sorted_rows(x: Tensor) -> list[list[float]]:
    return sorted(x.tolist())


def test_the_blocks_are_those_of_memory(place: Callable[[np.ndarray, Path], Blocks], tmp_path: Path) -> None:
    x = rows()
    found, wanted = list(place(x, tmp_path)), list(InMemory(torch.from_numpy(x), values=BLOCK))
    assert all(torch.equal(a.rows, b.rows) and torch.equal(a.weights, b.weights) for a, b in zip(found, wanted))
    assert len(found) == len(wanted)


def test_em_is_that_of_memory_bit_for_bit(place: Callable[[np.ndarray, Path], Blocks], tmp_path: Path) -> None:
    x = rows()
    outside, inside = place(x, tmp_path), InMemory(torch.from_numpy(x), values=BLOCK)
    start = begin(Full(), inside, 2)
    # The spare rows for lost components are another sample, and nothing is lost here.
    a, b = fit(start, outside), fit(start, inside)
    assert a.history == b.history
    assert all(
        torch.equal(value, b.mixture.components.tensors()[name])
        for name, value in a.mixture.components.tensors().items()
    )


def test_a_shuffled_walk_meets_every_row_once(place: Callable[[np.ndarray, Path], Blocks], tmp_path: Path) -> None:
    x = rows()
    batches = list(place(x, tmp_path).shuffled(64, torch.Generator().manual_seed(0)))
    assert [len(batch.rows) for batch in batches] == [64] * 7 + [52]
    walked = torch.cat([batch.rows for batch in batches])
    assert sorted_rows(walked) == sorted(x.tolist())
    assert not np.array_equal(walked.numpy(), x)


def test_a_sample_is_of_different_rows(place: Callable[[np.ndarray, Path], Blocks], tmp_path: Path) -> None:
    x = rows()
    blocks = place(x, tmp_path)
    some = blocks.some(400, torch.Generator().manual_seed(0))
    assert len({tuple(row) for row in some.tolist()} & {tuple(row) for row in x.tolist()}) == 400
    assert sorted_rows(blocks.some(1000, torch.Generator().manual_seed(0))) == sorted(x.tolist())


@pytest.mark.parametrize("kind", ["npy", "pieces"])
def test_every_row_is_as_likely_to_be_in_a_sample(kind: str, tmp_path: Path) -> None:
    """Each of 20 rows is among 5 of them a quarter of the time; |z| < 4.5 fails once in 7 000 such tests."""
    blocks, draws = PLACES[kind](np.arange(20.0)[:, None], tmp_path), 2000
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.cat([blocks.some(5, generator)[:, 0].long() for _ in range(draws)]), minlength=20)
    z = (counts - draws / 4) / (draws * 3 / 16) ** 0.5
    assert z.abs().max() < 4.5


def test_numbers_choose_rows_and_weights_go_with_them() -> None:
    x, numbers = rows(50), np.array([0, 3, 4, 5, 49])
    weights = np.arange(50.0)
    (block,) = OnDisk(x, numbers, weights)
    assert torch.equal(block.rows, torch.from_numpy(x[numbers]))
    assert block.weights.tolist() == numbers.tolist()
    (pairs,) = Passing([(x[:5], weights[:5]), (x[5:], weights[5:])])
    assert torch.equal(pairs.weights, torch.from_numpy(weights))


def test_pictures_are_rows_and_bytes_floats() -> None:
    (block,) = OnDisk(np.arange(40, dtype=np.uint8).reshape(10, 2, 2))
    assert block.rows.dtype == torch.float32
    assert torch.equal(block.rows, torch.arange(40.0).reshape(10, 4))


def test_recut_keeps_rows_and_lengths() -> None:
    x = torch.arange(100.0)[:, None]
    for values in (1, 7, 30, 1000):
        parts = list(recut(InMemory(x, values=values), 30))
        assert [len(part.rows) for part in parts] == [30, 30, 30, 10]
        assert torch.equal(torch.cat([part.rows for part in parts]), x)


BAD = {
    "NaN": (np.nan, "is NaN or empty; remove the row, fill it in"),
    "infinite": (np.inf, "is infinite; remove the row"),
    "huge": (1e200, "is 1e+200, too large to square; rescale the column"),
}


@pytest.mark.parametrize(("value", "words"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", ["parquet", "npy", "pieces"])
def test_bad_values_are_refused_with_their_place(value: float, words: str, kind: str, tmp_path: Path) -> None:
    x = rows()
    x[401, 2] = value
    where = {"parquet": "x.parquet, row 401 (from 0), column 'c2'", "npy": "row 401 (from 0), column 2"}
    with pytest.raises(InputError, match=re.escape(where.get(kind, where["npy"])) + " " + re.escape(words)):
        list(PLACES[kind](x, tmp_path))


def test_missing_values_pass_where_they_may() -> None:
    x = rows(10)
    x[3, 1] = np.nan
    (block,) = OnDisk(x, inspection=Inspection(missing=True))
    assert block.rows.isnan().sum() == 1
    x[3, 1] = np.inf
    with pytest.raises(InputError, match="infinite"):
        list(OnDisk(x, inspection=Inspection(missing=True)))


def test_empty_cells_of_tables_are_missing(tmp_path: Path) -> None:
    table = pa.table(
        {"a": pa.array([1, None, 3], pa.int8()), "b": pa.array([True, False, None]), "name": ["x", "y", "z"]}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("a,b,name\n1,1,x\n,0,y\n3,,z\n")
    for pieces in (ParquetPieces(tmp_path / "x.parquet", "name"), CsvPieces(tmp_path / "x.csv", "name")):
        (block,) = Passing(pieces, Inspection(pieces.where, missing=True))
        assert block.rows.nan_to_num(-1).tolist() == [[1, 1], [-1, 0], [3, -1]]
        with pytest.raises(InputError, match=r"row 1 \(from 0\), column 'a' is NaN or empty"):
            Passing(pieces, Inspection(pieces.where))


def test_what_is_no_stream_of_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="used up by one walk"):
        Passing(iter([rows()]))
    with pytest.raises(InputError, match="there are no rows"):
        Passing([])
    with pytest.raises(InputError, match="there are no rows"):
        OnDisk(rows(0))
    with pytest.raises(InputError, match=re.escape("row 5 (from 0), column 0 begins rows of 2 values after rows of 3")):
        list(Passing([rows(5), rows(5, width=2)]))
    parquet(rows(), tmp_path)
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="no parquet file or is damaged"):
        ParquetPieces(tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,word\n")
    with pytest.raises(InputError, match="no CSV file of numbers"):
        list(CsvPieces(tmp_path / "x.csv"))
    pq.write_table(pa.table({"a": ["word"]}), tmp_path / "words.parquet")
    with pytest.raises(InputError, match="column 'a' holds string and no numbers"):
        ParquetPieces(tmp_path / "words.parquet")


def test_files_are_opened_by_their_ending(tmp_path: Path) -> None:
    x = rows(60)
    for kind in ("npy", "parquet", "csv"):
        PLACES[kind](x, tmp_path)
        assert torch.equal(everything(opened(tmp_path / f"x.{kind}")), torch.from_numpy(x))
    x[41, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match=re.escape("x.npy, row 41 (from 0), column 2 is NaN")):
        everything(opened(tmp_path / "x.npy"))
    table = pa.table({f"c{i}": x[:, i] for i in range(3)})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InputError, match=re.escape("x.parquet, row 41 (from 0), column 'c2' is NaN")):
        everything(opened(tmp_path / "x.parquet"))
    (tmp_path / "shards").mkdir()
    sharded(x, tmp_path / "shards")
    with pytest.raises(InputError, match=re.escape("1.safetensors, row 26 (from 0), column 2 is NaN")):
        everything(opened(tmp_path / "shards"))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-8])
    with pytest.raises(InputError, match=r"x\.npy is cut short"):
        opened(tmp_path / "x.npy")
    np.savez(tmp_path / "two.npz", a=x, b=x)
    with pytest.raises(InputError, match=r"two\.npz holds 2 arrays"):
        opened(tmp_path / "two.npz")


WALK = """
import sys
import numpy as np
import torch
from lowerbound.mixtures.blocks import Block
from lowerbound.mixtures.streams import OnDisk
def peak():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1])
def walked(path):
    blocks, generator = OnDisk(np.load(path, mmap_mode="r")), torch.Generator().manual_seed(0)
    for walk in (blocks, blocks.shuffled(512, generator)):
        total = sum(float(block.rows.sum()) for block in walk)
    blocks.some(5000, generator)
    return peak()
little = walked(sys.argv[1])  # what libraries load when they are first used is not the file's
print(walked(sys.argv[2]) - little)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is told by Linux")
def test_little_of_a_mapped_file_is_in_memory(tmp_path: Path) -> None:
    paths = [tmp_path / "little.npy", tmp_path / "large.npy"]
    for path, rows in zip(paths, (2**13, 2**20)):  # 1 MiB and 128 MiB, of which none is written
        np.lib.format.open_memmap(path, "w+", np.float32, (rows, 32))
    run = subprocess.run([sys.executable, "-c", WALK, *map(str, paths)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 80 << 10  # KiB: a walk keeps a block, a shuffled one a few copies of its window
