"""Whoever waits for a source is told how much has come."""

from __future__ import annotations

import io
import time
from pathlib import Path

from lowerbound.data.arrival import announced, size


def test_what_takes_long_is_announced(tmp_path: Path) -> None:
    said = io.StringIO()
    with announced("toy", tmp_path, said, patience=0.01):
        (tmp_path / "part").write_bytes(bytes(2_000_000))
        time.sleep(0.3)
    assert said.getvalue().startswith("fetching toy, this once: ")
    assert said.getvalue().count("\n") == 1


def test_what_is_quick_is_not(tmp_path: Path) -> None:
    said = io.StringIO()
    with announced("toy", tmp_path, said):
        pass
    assert said.getvalue() == ""


def test_all_files_count(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(3))
    (tmp_path / "b").write_bytes(bytes(4))
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    assert size(tmp_path) == 7
