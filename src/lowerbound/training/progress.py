"""What a user sees while a model trains: a bar on a terminal, now and then a line elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO, final

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress


@final
@dataclass(frozen=True)
class Tick:
    """How far training is.

    Steps taken and to take, the epoch in hand and their number, rows a second, seconds left, the loss since the last
    tick and the objective on the validation split: nats per datum where it is a bound, else in the units of its own.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    rows_per_second: float
    seconds_left: float
    loss: float
    score: float | None

    def __str__(self) -> str:
        score = "" if self.score is None else f", validation {self.score:.2f}"
        left = clock(self.seconds_left)
        return f"loss {self.loss:.2f}{score}, {self.rows_per_second:,.0f} rows/s, {left} left"


class Progress(ABC):
    """Shows the course of a training."""

    @abstractmethod
    def tick(self, tick: Tick) -> None:
        """Take note of how far training is; called about twice a second and after each epoch."""

    @abstractmethod
    def say(self, sentence: str) -> None:
        """Tell the user something that happens once."""

    @abstractmethod
    def close(self) -> None:
        """Leave the terminal as it was."""


@final
class Silent(Progress):
    """Shows nothing, for machines that read and for tests."""

    def tick(self, tick: Tick) -> None:
        """Show nothing."""

    def say(self, sentence: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """There is nothing to leave."""


@final
class Lines(Progress):
    """Prints a line at most every `seconds` seconds, for logs."""

    def __init__(self, stream: TextIO, seconds: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.seconds = seconds
        self.now = now
        self.next = now()

    def tick(self, tick: Tick) -> None:
        if self.now() >= self.next or tick.step == tick.steps:
            self.next = self.now() + self.seconds
            self.say(f"epoch {tick.epoch}/{tick.epochs}, step {tick.step}/{tick.steps}: {tick}")

    def say(self, sentence: str) -> None:
        print(sentence, file=self.stream, flush=True)

    def close(self) -> None:
        """There is nothing to leave: lines stay where they are."""


@final
class Bar(Progress):
    """Draws a bar at the foot of a terminal, from the first tick on."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(None), TextColumn("{task.description}"))
        self.bar = RichProgress(*columns, console=console, refresh_per_second=4, expand=True)
        self.task = self.bar.add_task("starting", total=None, epoch="")

    def tick(self, tick: Tick) -> None:
        self.bar.start()
        epoch = f"{tick.epoch}/{tick.epochs}"
        self.bar.update(self.task, completed=tick.step, total=tick.steps, description=str(tick), epoch=epoch)

    def say(self, sentence: str) -> None:
        self.bar.console.print(sentence, highlight=False)

    def close(self) -> None:
        self.bar.stop()


def shown_on(stream: TextIO = sys.stderr) -> Progress:
    """Return a bar if the stream is a terminal, else lines."""
    return Bar(Console(file=stream)) if stream.isatty() else Lines(stream)


def clock(seconds: float) -> str:
    """Say a time in hours, minutes and seconds.

    Example:
        >>> clock(59.6), clock(3725)
        ('1:00', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
