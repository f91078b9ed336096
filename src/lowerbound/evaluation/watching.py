"""Telling someone how far a long computation is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lowerbound.core import Batch

Watch = Callable[[int, int], None]
"""Told how many rows of how many are done."""


def watched(batches: Sequence[Batch], watch: Watch | None) -> Iterator[Batch]:
    """The batches in turn; the watch is told of each once it has been dealt with.

    >>> import torch
    >>> batches = [Batch({"x": torch.zeros(2)}), Batch({"x": torch.zeros(1)})]
    >>> [batch.size for batch in watched(batches, lambda done, of: print(done, "of", of))]
    2 of 3
    3 of 3
    [2, 1]
    """
    done, of = 0, sum(batch.size for batch in batches)
    for batch in batches:
        yield batch
        done += batch.size
        if watch:
            watch(done, of)
