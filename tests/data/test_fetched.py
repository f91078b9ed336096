"""The sources that are fetched are what they are known to be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data.dataset import load_data
from lowerbound.data.sources import SOURCES
from lowerbound.data.store import cache

pytestmark = pytest.mark.fetch

MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "cifar10": {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
}
"""The digests by which these files are known elsewhere; ours are of the same files."""


@pytest.mark.parametrize("name", MD5)
def test_the_files_are_the_published_ones(name: str) -> None:
    SOURCES[name].read()
    folder: Path = cache() / name
    found = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == MD5[name]
    assert SOURCES[name].here


def test_mnist_has_its_known_mean() -> None:
    data = load_data("mnist")
    assert data.arrays["x"].shape == (70_000, 28, 28)
    assert data.arrays["x"][:60_000].mean() == pytest.approx(33.3184, abs=1e-4)
    assert dict(data.spec.splits) == {"train": 55_000, "validation": 5_000, "test": 10_000}
    assert data.spec.likelihood == "bernoulli"
    assert data.condition is not None
    assert data.condition[:5].tolist() == [5, 0, 4, 1, 9]


def test_fashion_mnist_has_its_known_mean_and_balance() -> None:
    data = load_data("fashion-mnist")
    assert data.arrays["x"][:60_000].mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    assert data.condition is not None
    assert np.bincount(data.condition).tolist() == [7_000] * 10


def test_cifar10_has_its_known_channel_means() -> None:
    data = load_data("cifar10")
    train = data.arrays["x"][:50_000]
    assert data.arrays["x"].shape == (60_000, 32, 32, 3)
    assert (train.mean(axis=(0, 1, 2)) / 255).tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert data.condition is not None
    assert np.bincount(data.condition).tolist() == [6_000] * 10
    assert data.spec.likelihood == "discretized-logistic-mixture"


TABLES = {
    "letter": ((20_000, 16), 26, "byte"),
    "satellite": ((6_435, 36), 6, "byte"),
    "shuttle": ((58_000, 9), 7, "real"),
    "ionosphere": ((351, 33), 2, "real"),
    "pima": ((768, 8), 2, "real"),
    "pima-missing": ((768, 8), 2, "real"),
    "glass": ((214, 9), 6, "real"),
    "vowel": ((990, 9), 11, "real"),
    "vehicle": ((846, 18), 4, "count"),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_mlbench_have_their_known_sizes(name: str) -> None:
    pytest.importorskip("rdata")
    data = load_data(name, missing=True)
    about = data.spec.variables[0]
    assert data.spec.condition is not None
    assert (data.arrays["x"].shape, len(data.spec.condition.labels or ()), about.kind) == TABLES[name]
    assert about.missing == (name == "pima-missing")
    assert np.isnan(data.arrays["x"]).sum() == (652 if about.missing else 0)
