"""Telling whoever waits that a named source is on its way."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PATIENCE = 2.0
"""Seconds before anything is said."""

INTERVAL = 5.0
"""Seconds between two lines."""


@contextmanager
def announced(name: str, folder: Path, stream: TextIO | None = None, patience: float = PATIENCE) -> Iterator[None]:
    """Say on stderr, while files come into a folder, how much is there and how fast it comes.

    How a source comes differs (a registry's client, a mirror, the system), so it is the folder that is looked at; and
    how much will come is known to none of them beforehand.
    """
    done = threading.Event()
    speaker = threading.Thread(target=_speak, args=(name, folder, stream or sys.stderr, patience, done), daemon=True)
    speaker.start()
    try:
        yield
    finally:
        done.set()
        speaker.join()


def _speak(name: str, folder: Path, stream: TextIO, patience: float, done: threading.Event) -> None:
    began, wait = time.monotonic(), patience
    while not done.wait(wait):
        wait = INTERVAL
        print(line(name, size(folder), time.monotonic() - began), file=stream, flush=True)


def line(name: str, size: int, seconds: float) -> str:
    """What is said.

    >>> line("cifar10", 24_000_000, 2.0)
    'fetching cifar10, this once: 24 MB so far, 12.0 MB/s'
    """
    return f"fetching {name}, this once: {size / 1e6:,.0f} MB so far, {size / 1e6 / seconds:,.1f} MB/s"


def size(folder: Path) -> int:
    """The bytes of all files below a folder; one that goes away meanwhile counts for nothing."""
    return sum(_size(path) for path in folder.rglob("*"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
