"""Where a run's figures go: a line of JSON each, and TensorBoard when asked."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from lowerbound.errors import MissingExtraError


class Writer(ABC):
    """Takes one record of figures after another."""

    @abstractmethod
    def write(self, record: Mapping[str, Any]) -> None:
        """Take one record; its `step` orders it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""


@final
class JsonLines(Writer):
    """One JSON object a line, each written by a single call so that no line is ever half there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, allow_nan=False) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def close(self) -> None:
        """There is nothing to let go of: the file is open only while a line is written."""

    def length(self) -> int:
        """Return the file's length in bytes, 0 if there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, length: int) -> None:
        """Forget what was written after the file was `length` bytes long."""
        if self.length() > length:
            os.truncate(self.path, length)


@final
class TensorBoard(Writer):
    """Event files that TensorBoard shows; figures of a record within a record get the name `outer/inner`."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "tensorboard") from error
        self.events = SummaryWriter(folder, purge_step=step)

    def write(self, record: Mapping[str, Any]) -> None:
        for name, value in flat(record):
            self.events.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self.events.close()


def flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested records under their joined names.

    Example:
        >>> list(flat({"step": 1, "train": {"rate": 2.0, "note": None}}))
        [('step', 1), ('train/rate', 2.0)]
    """
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value
