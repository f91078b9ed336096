"""Every way in which data can be bad: one sentence with the place and the remedy, before any work starts."""

# ruff: noqa: E501 - a table is easiest to read with one row a line

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from samples import MapStyle

from lowerbound.data import store
from lowerbound.data.dataset import load_data
from lowerbound.errors import InputError

Make = Callable[[Path], Any]


def real(rows: int = 20, columns: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns))


def with_value(value: float, row: int = 7, column: int = 1) -> np.ndarray:
    x = real()
    x[row, column] = value
    return x


def npy(x: np.ndarray) -> Make:
    def make(folder: Path) -> Path:
        np.save(folder / "x.npy", x, allow_pickle=True)
        return folder / "x.npy"

    return make


def raw_bytes(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def npz(**arrays: np.ndarray) -> Make:
    def make(folder: Path) -> Path:
        np.savez(folder / "x.npz", **arrays)
        return folder / "x.npz"

    return make


def truncated_npz(folder: Path) -> Path:
    path = npz(x=real(), y=real())(folder)
    path.write_bytes(path.read_bytes()[:-300])
    return path


def overwritten_npz(folder: Path) -> Path:
    path = npz(x=real(200))(folder)
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(content)
    return path


def npy_header(shape: str, descr: str = "'<f8'", body: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + body


def npz_of(member: bytes, name: str = "x.npy") -> Make:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "x.npz", "w") as archive:
            archive.writestr(name, member)
        return folder / "x.npz"

    return make


def csv(text: str) -> Make:
    return raw_bytes("t.csv", text.encode())


def csv_rows(rows: list[str], header: str = "width,height,kind") -> Make:
    return csv("\n".join([header, *rows]) + "\n")


def good_rows(count: int = 12) -> list[str]:
    return [f"{i}.5,{i * i},{i % 3}" for i in range(count)]


def replaced(row: int, text: str) -> list[str]:
    rows = good_rows()
    rows[row] = text
    return rows


def parquet(**columns: Any) -> Make:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "t.parquet")
        return folder / "t.parquet"

    return make


def picture(path: Path, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def pictures(spoil: Callable[[Path], object], count: int = 12) -> Make:
    def make(folder: Path) -> Path:
        for number in range(count):
            picture(folder / "pictures" / f"p{number:02}.png")
        spoil(folder / "pictures")
        return folder / "pictures"

    return make


def png(path: Path, width: int, height: int, bits: int, pixels: bytes) -> None:
    """A PNG file in RGB, made by hand because Pillow writes no odd ones."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b""))


def sixteen_bit_rgb(path: Path) -> None:
    """Pillow reads one as if it had 8 bits."""
    png(path, 6, 5, 16, (b"\0" + bytes(36)) * 5)


def cut(path: Path, keep: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def noisy_picture_cut(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    cut(path)


def bomb(side: int) -> Callable[[Path], None]:
    """A file of a hundred bytes that claims to unpack to gigabytes."""
    return lambda folder: png(folder / "p07.png", side, side, 8, b"")


def given(value: Any) -> Make:
    return lambda folder: value


TABLE: list[tuple[str, Make, dict[str, Any], tuple[str, ...]]] = [
    # what, source, arguments of load_data, what the sentence must contain: the place, then the remedy
    ("NaN in npy", npy(with_value(np.nan)), {}, ("x.npy, row 7 (from 0), column 1 is NaN", "remove the row")),
    ("infinity in npy", npy(with_value(np.inf)), {}, ("x.npy, row 7 (from 0), column 1 is infinite", "fill in a finite")),
    ("minus infinity", npy(with_value(-np.inf)), {}, ("row 7 (from 0), column 1 is infinite", "remove the row")),
    ("NaN in npz", npz(a=real(), b=with_value(np.nan)), {}, ("x.npz, array 'b', row 7 (from 0), column 1", "remove the row")),
    ("NaN in an array", given(with_value(np.nan)), {}, ("array, row 7 (from 0), column 1 is NaN", "remove the row")),
    ("NaN in a tensor", given(torch.from_numpy(with_value(np.nan))), {}, ("row 7 (from 0), column 1", "remove the row")),
    ("NaN in pictures", given(np.full((12, 2, 2), np.nan)), {}, ("row 0 (from 0), position (0, 0)", "remove the row")),
    ("NaN in csv", csv_rows(replaced(4, "NaN,1,1")), {}, ("t.csv, row 4 (from 0), column 'width' is NaN or empty", "fill it in")),
    ("empty cell in csv", csv_rows(replaced(4, "1,,1")), {}, ("t.csv, row 4 (from 0), column 'height'", "fill it in")),
    ("infinity in csv", csv_rows(replaced(4, "inf,1,1")), {}, ("t.csv, row 4 (from 0), column 'width' is infinite", "remove the row")),
    ("null in parquet", parquet(a=[1.0] * 11 + [None], b=range(12)), {}, ("t.parquet, row 11 (from 0), column 'a'", "fill it in")),
    ("NaN in parquet", parquet(a=[1.0] * 11 + [np.nan], b=range(12)), {}, ("t.parquet, row 11 (from 0), column 'a'", "remove the row")),
    ("not 0 or 1", given(with_value(0.5)), {"kind": "binary"}, ("row 0 (from 0), column 0", "takes 0 or 1", "another kind")),
    ("above 1", given(np.clip(real(), 0, 1) + np.eye(20, 3)), {"kind": "unit"}, ("row 0 (from 0), column 0", "takes a number from 0 to 1")),
    ("fraction in a count", given(np.where(np.eye(20, 3), 2.5, 1)), {"kind": "count"}, ("row 0 (from 0), column 0 is 2.5", "whole number", "'real'")),
    ("negative count", given(np.where(np.eye(20, 3), -2, 1)), {"kind": "count"}, ("row 0 (from 0), column 0 is -2", "0 or more")),
    ("byte above 255", given(np.full((20, 3), 300)), {"kind": "byte"}, ("row 0 (from 0), column 0 is 300", "from 0 to 255")),
    ("a label name for an array", given(real()), {"labels": "y"}, ("labels='y'", "give the labels as an array")),
    ("a label name for a source", given("digits"), {"labels": "y"}, ("labels='y'", "give the labels as an array")),
    ("a label name for pictures", pictures(lambda f: None), {"labels": "y"}, ("labels='y'", "give the labels as an array")),
    ("unknown kind", given(real()), {"kind": "pixels"}, ("'pixels'", "choose one of: binary")),
    ("too large to square", given(with_value(1e200)), {}, ("row 7 (from 0), column 1 is 1e+200", "rescale it")),
    ("ragged lists", given([[1.0, 2.0], [3.0]] * 8), {}, ("array, 'x' has rows of different shapes", "same shape")),
    ("ragged object array", given(np.array([[1], [1, 2]] * 8, dtype=object)), {}, ("'x' holds Python objects", "rows of one shape")),
    ("ragged csv", csv_rows(replaced(5, "1,2")), {}, ("t.csv, row 5 (from 0) has 2 cells", "same number")),
    ("ragged csv without header", csv_rows(replaced(5, "1,2")[1:], header="7,8,9"), {}, ("t.csv, row 5 (from 0) has 2 cells", "same number")),
    ("ragged Dataset", given(MapStyle(*[np.zeros(3)] * 9, np.zeros(4))), {}, ("Dataset, row 9 (from 0)", "(4,)", "the same shape")),
    ("mixed types in a Dataset", given(MapStyle(*[np.zeros(3)] * 9, np.zeros(3, int))), {}, ("row 9 (from 0)", "type")),
    ("arrays of unequal length", npz(a=real(20), b=real(19)), {}, ("x.npz", "'a' has 20, 'b' has 19", "one row a datum")),
    ("labels of another length", given(real(20)), {"labels": np.arange(19)}, ("'x' has 20, 'labels' has 19", "one row a datum")),
    ("empty npy file", raw_bytes("x.npy", b""), {}, ("x.npy is empty", "write the data")),
    ("empty npz file", raw_bytes("x.npz", b""), {}, ("x.npz is empty", "write the data")),
    ("empty csv file", raw_bytes("t.csv", b""), {}, ("t.csv is empty", "write the data")),
    ("csv of a header alone", csv("a,b\n"), {}, ("t.csv has no rows", "one row a datum")),
    ("empty parquet file", raw_bytes("t.parquet", b""), {}, ("t.parquet is empty", "write the data")),
    ("npy of no rows", npy(np.zeros((0, 3))), {}, ("x.npy: 'x' is empty", "at least 10 rows")),
    ("npz of no arrays", npz_of(b"", "readme.txt"), {}, ("x.npz holds no array", "at least one")),
    ("empty Dataset", given(MapStyle()), {}, ("Dataset is empty", "at least one row")),
    ("empty folder", pictures(lambda f: None, count=0), {}, ("pictures", "there is no file")),
    ("folder without pictures", lambda f: f, {}, ("has no picture in it", "put .png or .jpg")),
    ("truncated npz", truncated_npz, {}, ("x.npz is damaged or cut short", "write it again")),
    ("overwritten npz", overwritten_npz, {}, ("x.npz is damaged or cut short", "write it again")),
    ("truncated npy", raw_bytes("x.npy", npy_header("(20, 3)", body=bytes(100))), {}, ("x.npy is cut short", "write it again")),
    ("npy header claims a terabyte", raw_bytes("x.npy", npy_header("(1000000, 131072)")), {}, ("claims 1,048,576,000,000 bytes", "write it again")),
    ("npz header claims a terabyte", npz_of(npy_header("(1000000, 131072)")), {}, ("array 'x.npy' is cut short", "write it again")),
    ("negative side", raw_bytes("x.npy", npy_header("(-1, 3)")), {}, ("x.npy is cut short", "write it again")),
    ("npy that is none", raw_bytes("x.npy", b"PK\x03\x04 no array at all"), {}, ("x.npy is no array", "numpy.save")),
    ("code in a header", raw_bytes("x.npy", npy_header("(__import__('os').abort(),)")), {}, ("x.npy is no array", "numpy.save")),
    ("pickled npy", npy(np.array([{"a": 1}] * 20, dtype=object)), {}, ("x.npy holds pickled Python objects", "plain numbers")),
    ("pickled npz", npz(x=np.array([{"a": 1}] * 20, dtype=object)), {}, ("x.npy' holds pickled Python objects", "plain numbers")),
    ("an array of texts in columns", given(np.full((20, 2), "a")), {}, ("'x' holds text", "numbers")),
    ("complex array", given(np.zeros((20, 2), complex)), {}, ("'x' holds complex numbers", "numbers")),
    ("a single number", given(np.array(3.0)), {}, ("'x' is a single number", "one row a datum")),
    ("text in a numeric column", csv_rows(replaced(6, "1,tall,1")), {}, ("t.csv, row 6 (from 0), column 'height' holds 'tall'", "correct it")),
    ("dates in a column", csv_rows([f"{i},2020-01-01,1" for i in range(12)]), {}, ("column 'height' holds '2020-01-01'", "leave the column out")),
    ("a text column", csv_rows([f"{i},{i * 2},cat" for i in range(12)]), {}, ("row 0 (from 0), column 'kind' holds 'cat'", "take it for labels")),
    ("semicolons", csv("a;b\n" + "1;2\n" * 12), {}, ("t.csv, row 0 (from 0), column 'a;b' holds '1;2'", "correct it")),
    ("text in parquet", parquet(a=["1", "x"] * 6), {}, ("t.parquet, row 1 (from 0), column 'a' holds 'x'", "correct it")),
    ("lists in parquet", parquet(a=[[1.0]] * 12), {}, ("column 'a' holds '[1.0]'", "leave the column out")),
    ("damaged parquet", raw_bytes("t.parquet", b"PAR1 garbage PAR1"), {}, ("t.parquet is no parquet file", "write it again")),
    ("binary csv", raw_bytes("t.csv", b"a,b\n" + bytes(range(128, 256)) * 9), {}, ("t.csv, row 0 (from 0) has 1 cells", "same number")),
    ("a name in another encoding", raw_bytes("t.csv", "länge,b\n1,2\n".encode("latin-1")), {}, ("t.csv has column names that are not UTF-8", "in UTF-8")),
    ("twice the same column", csv_rows(good_rows(), header="a,b,a"), {}, ("column 'a' is there twice", "of its own")),
    ("a column without a name", csv_rows(good_rows(), header=",b,c"), {}, ("column 0 (from 0) has no name", "name it")),
    ("no such label", csv_rows(good_rows()), {"labels": "colour"}, ("no column 'colour'", "choose one of: width")),
    ("labels alone", csv("a\n" + "1\n" * 12), {"labels": "a"}, ("t.csv has no column to model", "give at least one")),
    ("a label missing", csv_rows(replaced(3, "1,2,")), {"labels": "kind"}, ("row 3 (from 0), column 'kind' is empty", "fill it in")),
    ("mixed labels", given(real()), {"labels": np.array(["a", 1] * 10, dtype=object)}, ("row 1 (from 0): label '1'", "all in one way")),
    ("no such array", npz(x=real()), {"labels": "y"}, ("no array 'y'", "choose one of: x")),
    ("NaN in the labels", given(real()), {"labels": with_value(np.nan)}, ("row 7 (from 0): the condition is NaN", "finite")),
    ("thousands of labels", given(real(3000)), {"labels": np.arange(3000)}, ("3,000 different values", "1,000 or fewer")),
    ("unreadable picture", pictures(lambda f: (f / "p03.png").write_bytes(b"no picture")), {}, ("p03.png cannot be read", "replace it")),
    ("empty picture", pictures(lambda f: (f / "p03.png").write_bytes(b"")), {}, ("p03.png cannot be read", "replace it")),
    ("truncated picture", pictures(lambda f: noisy_picture_cut(f / "p03.png")), {}, ("p03.png is damaged", "replace it")),
    ("a folder named as a picture", pictures(lambda f: (f / "p99.png").mkdir()), {}, ("p99.png cannot be read", "replace it")),
    ("pictures of two sizes", pictures(lambda f: picture(f / "p07.png", (7, 5))), {}, ("p07.png is 7×5", "p00.png is 6×5", "one size")),
    ("pictures of two modes", pictures(lambda f: picture(f / "p07.png", mode="L")), {}, ("p07.png is 6×5 of mode L", "one mode")),
    ("16-bit grey", pictures(lambda f: picture(f / "p07.png", mode="I;16")), {}, ("p07.png has 16 bits", "to 8 bits")),
    ("16-bit colour", pictures(lambda f: sixteen_bit_rgb(f / "p07.png")), {}, ("p07.png has 16 bits", "to 8 bits")),
    ("transparency", pictures(lambda f: picture(f / "p07.png", mode="RGBA")), {}, ("p07.png is of mode RGBA", "grey (L) or RGB")),
    ("a palette", pictures(lambda f: picture(f / "p07.png", mode="P")), {}, ("p07.png is of mode P", "grey (L) or RGB")),
    ("a great picture", pictures(bomb(5_000)), {}, ("p07.png is 5000×5000", "scale it down")),
    ("a greater picture", pictures(bomb(10_000)), {}, ("p07.png has over 16,777,216 pixels", "scale it down")),
    ("a decompression bomb", pictures(bomb(60_000)), {}, ("p07.png has over 16,777,216 pixels", "scale it down")),
    ("another format under the ending", pictures(lambda f: Image.new("L", (6, 5)).save(f / "p07.png", "GIF")), {}, ("p07.png cannot be read", "replace it")),
    ("pictures here and below", pictures(lambda f: picture(f / "cats" / "a.png")), {}, ("both in it and in subfolders (cats)", "all of them in it")),
    ("one row only", given(real(1)), {}, ("array holds 1 row", "give 10 or more")),
    ("one row of csv", csv("a,b\n1,2.5\n"), {}, ("t.csv holds 1 row", "give 10 or more")),
    ("one picture only", pictures(lambda f: None, count=1), {}, ("pictures holds 1 row", "give 10 or more")),
    ("constant columns", given(np.insert(real(), [0, 2], 5.0, axis=1)), {}, ("array: columns 0, 3 are the same", "leave them out")),
    ("a constant column of csv", csv_rows([f"{i},4,{i % 3}.5" for i in range(12)]), {}, ("t.csv: column 'height' is the same", "leave it out")),
    ("a constant column of counts", csv_rows([f"{i},4,{i % 3}" for i in range(12)]), {}, ("t.csv: column 'height' is the same", "leave it out")),
    ("constant but for rounding", given(np.insert(real(), 1, 1e9 + 1e-7 * np.arange(20), axis=1)), {}, ("column 1 is the same", "leave it out")),
    ("nothing varies", given(np.full((20, 4, 4), -3.0)), {}, ("the values of 'x' are the same in all", "give other data")),
    ("no such file", lambda f: f / "nowhere.npy", {}, ("nowhere.npy", "give one of either")),
    ("no such source", given("mnits"), {}, ("mnits", "lowerbound data")),
    ("a pickle", raw_bytes("x.pkl", b"\x80\x04."), {}, ("x.pkl is of no known form", "save it as .npy")),
    ("masked values", given(np.ma.masked_greater(real(), 1)), {}, ("array, 'x' has masked values", "fill them in")),
    ("a sparse tensor", given(torch.eye(20).to_sparse()), {}, ("array, 'x' cannot become an array", "give plain numbers")),
    ("a negative seed", given(real()), {"seed": -1}, ("the seed of the split is -1", "give 0 or a greater")),
    ("a type without rows", given(3.5), {}, ("type float", "give a path, an array")),
    ("a name that is a path", given({"../x": real()}), {}, ("'../x'", "letters, digits and underscores")),
    ("a name that torch keeps", given({"train": real()}), {}, ("'train' is taken by torch", "name the array otherwise")),
    ("control characters", csv_rows(good_rows(), header="a,b\x1b[31m,c"), {}, ("'b\\x1b[31m'", "rename it")),
    ("control characters in a label", given(real()), {"labels": np.array(["a\nb", "c"] * 10)}, ("'a\\nb'", "rename it")),
]  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("make", "arguments", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_bad_data_get_one_sentence_with_place_and_remedy(
    make: Make, arguments: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = make(tmp_path)
    with pytest.raises(InputError) as refused:
        load_data(source, **arguments)
    sentence = str(refused.value)
    assert all(word in sentence for word in words), sentence
    assert sentence.isprintable()
    assert not sentence.endswith(".")
    assert refused.value.exit_code == 2


def test_a_file_name_cannot_colour_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "x\x1b[31m\n.npy"
    np.save(path.open("wb"), with_value(np.nan))
    with pytest.raises(InputError) as refused:
        load_data(path)
    assert str(refused.value).isprintable()


def test_a_long_path_is_shown_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / ("longer" * 20)
    folder.mkdir(parents=True)
    np.save(folder / "x.npy", with_value(np.nan))
    with pytest.raises(InputError, match=r"longer/x\.npy, row 7"):
        load_data(folder / "x.npy")


def test_an_archive_that_unpacks_to_more_than_memory_is_refused_unopened(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "memory", lambda: 100)
    monkeypatch.setattr("lowerbound.data.files.memory", lambda: 100)
    with pytest.raises(InputError, match=r"more than the memory here; save it as \.npy"):
        load_data(npz(x=real())(tmp_path))


def test_a_parquet_file_of_more_than_memory_is_refused_unopened(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("lowerbound.data.tables.memory", lambda: 100)
    with pytest.raises(InputError, match=r"more than the memory here; save it as \.npy"):
        load_data(parquet(a=range(50))(tmp_path))


def test_nothing_in_a_pickled_array_is_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "ran").touch, ())

    path = npy(np.array([Hostile()] * 20, dtype=object))(tmp_path)
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(InputError):
        load_data(path)
    assert not (tmp_path / "ran").exists()


FORMS: dict[str, Callable[[], bytes]] = {}


def form(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def register(write: Callable[[Any], None]) -> Callable[[Any], None]:
        def content() -> bytes:
            stream = io.BytesIO()
            write(stream)
            return stream.getvalue()

        FORMS[name] = content
        return write

    return register


form("x.npy")(lambda stream: np.save(stream, real()))
form("x.npz")(lambda stream: np.savez_compressed(stream, x=real(), y=real()))
form("t.parquet")(lambda stream: pq.write_table(pa.table({"a": np.arange(50) * 0.5}), stream))
form("t.csv")(lambda stream: stream.write(("a,b\n" + "1.5,2\n-3,4\n" * 10).encode()))
form("p/0.png")(lambda stream: Image.fromarray((real(9, 8) * 99).astype(np.uint8)).save(stream, "PNG"))
form("p/0.jpg")(lambda stream: Image.fromarray((real(9, 8) * 99).astype(np.uint8)).save(stream, "JPEG"))


@pytest.mark.parametrize("name", FORMS)
def test_damage_anywhere_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    """Files cut, or with bytes changed, anywhere: either they still load or one sentence says that they do not."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    source = path.parent if path.parent != tmp_path else path
    whole, random = FORMS[name](), np.random.default_rng(0)
    for trial in range(60):
        content = bytearray(whole)
        if trial % 2:
            del content[random.integers(len(whole)) :]
        else:
            for place in random.integers(0, len(whole), 3):
                content[place] = random.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            load_data(source)
