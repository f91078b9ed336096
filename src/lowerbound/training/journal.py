"""What a training leaves in its folder as it goes: figures by epoch, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, final

from lowerbound.run.folder import Run
from lowerbound.training.metrics import JsonLines, TensorBoard, Writer


@final
class Journal:
    """The files metrics.jsonl, which the same seed writes again byte for byte, and timing.jsonl, which it does not."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.metrics = JsonLines(run.path / "metrics.jsonl")
        self.timing = JsonLines(run.path / "timing.jsonl")
        self.others: list[Writer] = []
        self.began = time.monotonic()

    def open(self, step: int, lengths: Mapping[str, int]) -> None:
        """Go on from a step at which the files had these lengths; what was written later is forgotten."""
        self.metrics.truncate(lengths.get("metrics", 0))
        self.timing.truncate(lengths.get("timing", 0))
        if self.run.settings.tensorboard:
            self.others.append(TensorBoard(self.run.path / "tensorboard", step))
        self.began = time.monotonic()

    def lengths(self) -> dict[str, int]:
        """Return the lengths of the files, in bytes."""
        return {"metrics": self.metrics.length(), "timing": self.timing.length()}

    def write(self, record: Mapping[str, Any]) -> None:
        """Write the figures of an epoch, and the seconds since the last or since training was taken up."""
        for writer in (self.metrics, *self.others):
            writer.write(record)
        now = time.monotonic()
        self.timing.write({"epoch": record["epoch"], "step": record["step"], "seconds": round(now - self.began, 3)})
        self.began = now

    def close(self) -> None:
        """Let go of files."""
        for writer in self.others:
            writer.close()
