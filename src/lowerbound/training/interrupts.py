"""Ctrl-C and SIGTERM while training: the step in hand is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Request:
    """Whether someone asked to stop."""

    def __init__(self) -> None:
        self.made = False

    def make(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; the next Ctrl-C ends the program at once."""
        self.made = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def postponed() -> Iterator[Request]:
    """Turn the first Ctrl-C or SIGTERM into a request that the block may honour when it suits.

    Outside of the main thread, where Python delivers no signals, nothing changes.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = [signal.signal(number, request.make) for number in SIGNALS]
    try:
        yield request
    finally:
        for number, handler in zip(SIGNALS, former):
            signal.signal(number, handler)
