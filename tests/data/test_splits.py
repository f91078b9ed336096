"""Splits depend on seed and count alone; the fingerprint on the contents alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data import survey
from lowerbound.data.dataset import load_data
from lowerbound.data.fingerprint import fingerprint
from lowerbound.data.splits import draw_splits
from lowerbound.errors import InputError

VALIDATION = [3, 11]
ORDER = "c6b9f7264744b3f3"
DIGITS = "79898cff3c82831c82ecf081186713b6fd169f71b5f7474ae840149edd15a215"
"""Recorded once; runs on disk count on them."""


@pytest.mark.parametrize(("count", "test"), [(10, 0), (11, 0), (1797, 0), (70_000, 10_000), (130, 30)])
def test_every_row_is_in_exactly_one_split(count: int, test: int) -> None:
    parts = draw_splits(count, seed=3, test=test)
    assert set(parts) == {"train", "validation", "test"}
    assert min(map(len, parts.values())) >= 1
    assert np.sort(np.concatenate(list(parts.values()))).tolist() == list(range(count))


def test_an_official_test_set_is_kept() -> None:
    parts = draw_splits(70_000, seed=5, test=10_000)
    assert parts["test"].tolist() == list(range(60_000, 70_000))
    assert len(parts["validation"]) == 5_000


def test_the_seed_decides_and_nothing_else() -> None:
    np.random.seed(1)
    one = draw_splits(500, seed=0)
    np.random.seed(2)
    again, other = draw_splits(500, seed=0), draw_splits(500, seed=1)
    assert all(one[name].tolist() == again[name].tolist() for name in one)
    assert one["test"].tolist() != other["test"].tolist()


def test_the_splits_are_the_same_in_every_version() -> None:
    assert draw_splits(20, seed=0)["validation"].tolist() == VALIDATION
    order = np.concatenate(list(draw_splits(70_000, seed=0, test=10_000).values())).astype("<i8")
    assert hashlib.sha256(order.tobytes()).hexdigest()[:16] == ORDER


def test_the_data_do_not_decide_the_split() -> None:
    random = np.random.default_rng(0)
    one, other = load_data(random.normal(size=(50, 2))), load_data(random.random((50, 3)))
    assert one.splits["test"].tolist() == other.splits["test"].tolist()


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="no split 'dev'; choose one of: train, validation, test"):
        load_data("digits").split("dev")


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    code = "from lowerbound.data.dataset import load_data; print(load_data('digits').spec.fingerprint)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == load_data("digits").spec.fingerprint == DIGITS


def test_the_fingerprint_sees_every_part() -> None:
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    changed = x.copy()
    changed[19, 2] += 1
    contents = [
        {"x": x},
        {"y": x},
        {"x": changed},
        {"x": x.reshape(10, 6)},
        {"x": x.view(np.int32)},
        {"x": x, "y": x},
        {"x": x[::-1]},
    ]
    assert len({fingerprint(arrays) for arrays in contents}) == len(contents)


def test_the_fingerprint_is_of_the_contents_not_of_how_they_lie(tmp_path: Path) -> None:
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "x.npy", x)
    ways = [x, np.asfortranarray(x), x.astype(">f4"), np.load(tmp_path / "x.npy", mmap_mode="r")]
    assert len({fingerprint({"x": way}) for way in ways}) == 1


def test_chunks_do_not_show_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(6000, dtype=np.float32).reshape(2000, 3)
    whole = fingerprint({"x": x})
    monkeypatch.setattr(survey, "CHUNK_BYTES", 100)
    assert fingerprint({"x": x}) == whole


def test_the_labels_count_too() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    one, other = load_data(x, labels=np.arange(40) % 2), load_data(x, labels=np.arange(40) % 4)
    assert len({load_data(x).spec.fingerprint, one.spec.fingerprint, other.spec.fingerprint}) == 3
