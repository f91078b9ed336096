"""How far a verb is, on stderr, once it has taken two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO, final

from lowerbound.cli.verb import Common

PATIENCE = 2.0
"""Seconds before anything is shown; what is done sooner needs no progress."""

INTERVAL = {True: 0.2, False: 10.0}
"""Seconds between two lines: on a terminal, where each replaces the last, and elsewhere."""


@final
class Watcher:
    """Told (done, of), it prints the rate and the time left."""

    def __init__(self, stream: TextIO, what: str, now: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.what, self.now = stream, what, now
        self.began, self.terminal = now(), stream.isatty()
        self.next = self.began + PATIENCE

    def __call__(self, done: int, of: int) -> None:
        """Show a line if one is due."""
        if self.now() < self.next and (done < of or self.next == self.began + PATIENCE):
            return
        self.next = self.now() + INTERVAL[self.terminal]
        end = "\r" if self.terminal and done < of else "\n"
        print(self.line(done, of, self.now() - self.began), end=end, file=self.stream, flush=True)

    def line(self, done: int, of: int, seconds: float) -> str:
        """What is shown."""
        from lowerbound.training.progress import clock

        rate = done / seconds
        return f"{self.what}: {done:,} of {of:,}, {rate:,.1f} a second, {clock((of - done) / rate)} left   "


def watcher(common: Common, what: str) -> Watcher | None:
    """A watcher on stderr, unless the user wants quiet."""
    return None if common.quiet else Watcher(sys.stderr, what)
