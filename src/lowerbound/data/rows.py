"""The rows of a split, given out in batches from where they are: on the device, or streamed to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.core.batch import Batch
from lowerbound.data.conditioning import Conditions
from lowerbound.data.missing import incomplete, masked
from lowerbound.data.spec import DataSpec, Variable

RESIDENT_BYTES = 4 << 30
"""A split of up to this many bytes is copied into memory on a CPU; a greater one is streamed from where it is."""

PREFETCH = 4
"""Batches that a stream reads ahead."""


class Sampler(Protocol):
    """Gives out batches of a split with the stored values in them (uint8 stays uint8), and masks of what is missing."""

    count: int

    def batch(self, index: Tensor) -> Batch:
        """The rows at the positions `index` (B,) of the split; `Batch.index` holds their row numbers in the data."""
        ...

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        """`batch` of each index in turn, read ahead where that helps."""
        ...


@final
class Rows:
    """The rows of one split.

    Example:
        >>> from lowerbound.data.dataset import load_data
        >>> rows = load_data("digits").split("train")
        >>> rows.resident("cpu").batch(torch.arange(3)).x["x"].shape
        torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        spec: DataSpec,
        arrays: Mapping[str, np.ndarray],
        condition: np.ndarray | None,
        numbers: np.ndarray,
    ) -> None:
        self.spec, self.numbers, self.count = spec, numbers, len(numbers)
        self._arrays, self._condition = arrays, condition

    def array(self, name: str) -> np.ndarray:
        """The stored values of one variable, (count, *shape)."""
        self.spec.variable(name)
        return self._arrays[name][self.numbers]

    @property
    def condition(self) -> np.ndarray | None:
        """The stored conditions (codes, or vectors), (count, ...)."""
        return None if self._condition is None else self._condition[self.numbers]

    def where(self, chosen: np.ndarray | slice) -> Rows:
        """Those of the rows that are marked (count,), or are in the slice."""
        return Rows(self.spec, self._arrays, self._condition, self.numbers[chosen])

    def under(self, about: Variable | None, condition: np.ndarray | None) -> Rows:
        """The same rows with other conditions, stored (count, ...) and described by `about`, or with none."""
        whole = None
        if condition is not None:
            whole = np.zeros((self.numbers.max(initial=-1) + 1, *condition.shape[1:]), condition.dtype)
            whole[self.numbers] = condition
        return Rows(replace(self.spec, condition=about), self._arrays, whole, self.numbers)

    @property
    def nbytes(self) -> int:
        """Bytes that the split takes in memory."""
        return self.count * sum(array.nbytes // len(array) for array in self._arrays.values())

    def resident(self, device: torch.device | str = "cpu", budget: int | None = None) -> Sampler:
        """A sampler whose batches are on `device`.

        The split is copied there once if it takes at most `budget` bytes (by default 4 GiB on a CPU, half of the free
        memory on a GPU). If it takes more, nothing is copied but the batches asked for.
        """
        device = torch.device(device)
        fits = self.nbytes <= (_budget(device) if budget is None else budget)
        condition = Conditions(self.spec.condition, self.condition, device)
        sampler = _Resident if fits else _Stream
        return sampler(self._arrays, condition, self.numbers, device, incomplete(self.spec))


@final
class _Resident:
    """The whole split on the device; a batch is one gather a variable."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        condition: Conditions,
        numbers: np.ndarray,
        device: torch.device,
        missing: Collection[str],
    ) -> None:
        self.count = len(numbers)
        self._device = device
        whole = {name: _gathered(array, numbers).to(device) for name, array in arrays.items()}
        self._x, self._mask = masked(whole, missing)
        self._condition = condition
        self._numbers = torch.from_numpy(numbers).to(device)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self._device)
        x = {name: values.index_select(0, index) for name, values in self._x.items()}
        mask = self._mask and {name: values.index_select(0, index) for name, values in self._mask.items()}
        return Batch(x, self._condition.at(index), self._numbers.index_select(0, index), mask)

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        return map(self.batch, order)


@final
class _Stream:
    """Rows read from where they are (a file mapped into memory, say) as batches ask for them."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        condition: Conditions,
        numbers: np.ndarray,
        device: torch.device,
        missing: Collection[str],
    ) -> None:
        self.count = len(numbers)
        self._device = device
        self._arrays, self._condition, self._numbers, self._missing = arrays, condition, numbers, missing

    def batch(self, index: Tensor) -> Batch:
        return self._send(self._read(index))

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        for pieces in _ahead(self._read, order):
            yield self._send(pieces)

    def _read(self, index: Tensor) -> _Pieces:
        numbers = self._numbers[index.cpu().numpy()]
        x = {name: self._pinned(_gathered(array, numbers)) for name, array in self._arrays.items()}
        return _Pieces(x, index, self._pinned(torch.from_numpy(numbers)))

    def _pinned(self, values: Tensor) -> Tensor:
        return values.pin_memory() if self._device.type == "cuda" else values

    def _send(self, pieces: _Pieces) -> Batch:
        sent = {name: values.to(self._device, non_blocking=True) for name, values in pieces.x.items()}
        x, mask = masked(sent, self._missing)
        condition = self._condition.at(pieces.index.to(self._device))
        return Batch(x, condition, pieces.numbers.to(self._device, non_blocking=True), mask)


@final
@dataclass(frozen=True, eq=False)
class _Pieces:
    """One batch as read, before it goes to the device."""

    x: Mapping[str, Tensor]
    index: Tensor
    numbers: Tensor


def _gathered(array: np.ndarray, numbers: np.ndarray) -> Tensor:
    """A copy of these rows, each in one piece however the array lies."""
    return torch.from_numpy(np.ascontiguousarray(array[numbers]))


def _ahead(read: Callable[[Tensor], _Pieces], order: Iterable[Tensor]) -> Iterator[_Pieces]:
    """`read` of each index in turn, a few of them ahead of the consumer on one thread."""
    pending: deque[Future[_Pieces]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for index in order:
            pending.append(pool.submit(read, index))
            if len(pending) > PREFETCH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _budget(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return RESIDENT_BYTES
