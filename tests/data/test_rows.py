"""Rows on a device: the stored values come out as they are, resident or streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.core.batch import Batch
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.rows import Rows

COUNT = 200


def two_variables(labels: Any = None) -> Dataset:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (COUNT, 4, 3), dtype=np.uint8)
    return load_data({"picture": pictures, "table": random.normal(size=(COUNT, 5))}, labels=labels)


def same(a: Batch, b: Batch) -> bool:
    parts = [(a.x[name], b.x[name]) for name in b.x] + [(a.c, b.c), (a.index, b.index)]
    return a.x.keys() == b.x.keys() and all(_equal(one, other) for one, other in parts)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(one, other)


def test_a_batch_holds_the_rows_asked_for_as_they_are_stored() -> None:
    data = two_variables()
    rows = data.split("train")
    index = torch.tensor([5, 0, 5, rows.count - 1])
    batch = rows.resident("cpu").batch(index)
    numbers = data.splits["train"][index.numpy()]
    assert batch.index is not None
    assert batch.index.tolist() == numbers.tolist()
    assert batch.x["picture"].dtype == torch.uint8
    assert batch.x["picture"].numpy().tolist() == data.arrays["picture"][numbers].tolist()
    assert batch.x["table"].numpy().tolist() == data.arrays["table"][numbers].tolist()
    assert batch.c is None


def test_labels_come_as_one_hot_vectors() -> None:
    labels = np.array(["cat", "ant", "bee", "cat"] * (COUNT // 4))
    data = two_variables(labels)
    batch = data.split("validation").resident("cpu").batch(torch.arange(7))
    assert batch.c is not None
    assert batch.index is not None
    assert batch.c.shape == (7, 3)
    assert [data.spec.condition.labels[code] for code in batch.c.argmax(1)] == labels[batch.index].tolist()  # type: ignore[union-attr]
    assert bool((batch.c.sum(1) == 1).all())


def test_vectors_come_as_they_are() -> None:
    vectors = np.random.default_rng(1).normal(size=(COUNT, 2)).astype(np.float32)
    batch = two_variables(vectors).split("test").resident("cpu").batch(torch.arange(5))
    assert batch.c is not None
    assert batch.c.numpy().tolist() == vectors[batch.index].tolist()


def test_a_number_as_label_is_a_vector_of_one() -> None:
    batch = two_variables(np.linspace(0, 1, COUNT)).split("test").resident("cpu").batch(torch.arange(5))
    assert batch.c is not None
    assert batch.c.shape == (5, 1)


def test_without_the_condition_the_rest_stays() -> None:
    data = two_variables(np.arange(COUNT) % 3)
    bare = data.unconditional()
    assert bare.spec.condition_size == 0
    assert bare.split("train").resident("cpu").batch(torch.arange(3)).c is None
    assert bare.spec.fingerprint == data.spec.fingerprint


@pytest.mark.parametrize("labels", [None, np.arange(COUNT) % 3])
def test_streamed_batches_equal_resident_ones(labels: Any) -> None:
    rows = two_variables(labels).split("train")
    resident, streamed = rows.resident("cpu"), rows.resident("cpu", budget=0)
    assert type(resident) is not type(streamed)
    assert resident.count == streamed.count == rows.count
    order = torch.randperm(rows.count).split(32)
    singly = [(resident.batch(index), streamed.batch(index)) for index in order]
    ahead = list(zip(resident.batches(order), streamed.batches(order), strict=True))
    assert len(ahead) == len(order)
    assert all(same(one, other) for one, other in singly + ahead)


class Watched(np.ndarray):
    """An array that notes how many rows were ever asked for at once."""

    most = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        Watched.most = max(Watched.most, len(np.atleast_1d(np.asarray(found))))
        return found


def watched(data: Dataset) -> Rows:
    arrays = {name: array.view(Watched) for name, array in data.arrays.items()}
    Watched.most = 0
    return Rows(data.spec, arrays, data.condition, data.splits["train"])


def test_a_stream_reads_no_more_than_a_batch() -> None:
    streamed = watched(two_variables()).resident("cpu", budget=0)
    list(streamed.batches(torch.randperm(streamed.count).split(16)))
    assert Watched.most == 16


def test_what_fits_the_budget_is_copied_once() -> None:
    rows = watched(two_variables())
    resident = rows.resident("cpu", budget=rows.nbytes)
    assert Watched.most == rows.count
    Watched.most = 0
    list(resident.batches(torch.randperm(rows.count).split(16)))
    assert Watched.most == 0


def test_a_consumer_that_stops_early_leaves_no_thread_behind() -> None:
    import threading

    before = threading.active_count()
    batches = two_variables().split("train").resident("cpu", budget=0).batches(torch.arange(160).split(8))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_in_reading_ahead_reaches_the_consumer() -> None:
    streamed = two_variables().split("train").resident("cpu", budget=0)
    with pytest.raises(IndexError):
        list(streamed.batches([torch.tensor([0]), torch.tensor([10_000])]))


def test_a_mapped_file_stays_a_mapped_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(COUNT, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    data = load_data(tmp_path / "x.npy")
    assert isinstance(data.arrays["x"], np.memmap)
    rows = data.split("train")
    resident, streamed = rows.resident("cpu"), rows.resident("cpu", budget=0)
    index = torch.arange(9)
    assert same(resident.batch(index), streamed.batch(index))
    assert rows.array("x").tolist() == values[data.splits["train"]].tolist()


def test_writing_to_a_batch_does_not_change_the_data() -> None:
    data = two_variables()
    for sampler in (data.split("train").resident("cpu"), data.split("train").resident("cpu", budget=0)):
        before = data.arrays["picture"].copy()
        sampler.batch(torch.arange(5)).x["picture"].zero_()
        assert data.arrays["picture"].tolist() == before.tolist()
        assert sampler.batch(torch.arange(5)).x["picture"].float().mean() > 10
