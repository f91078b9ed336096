"""What a folder in LeRobot's layout says of itself: `meta/info.json` and the tasks, read as foreign text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, final

import pyarrow as pa
import pyarrow.parquet as pq

from lowerbound.data.raw import named, shown
from lowerbound.errors import InputError

VERSIONS = ("v2.0", "v2.1", "v3.0")

PER_EPISODE = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
MANY_EPISODES = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
"""Where v2 and v3 keep the frames; a folder that says otherwise is refused, so that no file outside it is ever read."""

LONGEST_META = 64 << 20
"""Bytes of a file of descriptions."""

MOST_NUMBERS = 4096
"""Numbers of a state or an action."""


@final
@dataclass(frozen=True)
class About:
    """What `meta/info.json` says, checked. features: name -> what it says of one column."""

    place: str
    fps: float
    robot: str
    episodes: int
    frames: int
    features: Mapping[str, Mapping[str, Any]]

    def width(self, name: str) -> int:
        """Numbers of a state or an action."""
        shape = self.features.get(name, {}).get("shape")
        if not isinstance(shape, list) or len(shape) != 1 or not _whole(shape[0], 1, MOST_NUMBERS):
            raise InputError(f"{self.place} does not say how many numbers {name!r} has; it takes a shape such as [14]")
        return int(shape[0])

    def names(self, name: str, width: int) -> tuple[str, ...]:
        """What the numbers of a state or an action are called, or else numbers."""
        said = self.features.get(name, {}).get("names")
        while isinstance(said, dict) and said:
            said = next(iter(said.values()))  # {"motors": [...]}
        found = [shown(each) for each in said if isinstance(each, str)] if isinstance(said, list) else []
        return tuple(found) if len(found) == width else tuple(f"{name}_{number}" for number in range(width))


def read_about(folder: Path) -> About:
    """What a folder says of itself.

    Raises:
        InputError: it is another layout, or claims what cannot be.
    """
    path = folder / "meta" / "info.json"
    said = _json(path, _text(path))
    version, template = said.get("codebase_version"), said.get("data_path")
    if version not in VERSIONS:
        raise InputError(f"{named(path)} is of version {shown(version)!r}; those read here are {', '.join(VERSIONS)}")
    if template != (MANY_EPISODES if version == "v3.0" else PER_EPISODE):
        raise InputError(f"{named(path)} keeps its frames in {shown(template)!r}; of {version} another place is read")
    episodes, frames, fps, features = map(said.get, ("total_episodes", "total_frames", "fps", "features"))
    if not (_whole(episodes, 1, 1 << 40) and _whole(frames, 1, 1 << 40) and isinstance(features, dict)):
        raise InputError(f"{named(path)} must say total_episodes, total_frames (1 or more) and features")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
        raise InputError(f"{named(path)} must say fps, frames a second, not {shown(fps)!r}")
    each = {shown(name): about for name, about in features.items() if isinstance(about, dict)}
    return About(named(path), fps, shown(said.get("robot_type") or "unknown"), episodes, frames, each)


def read_tasks(folder: Path) -> dict[int, str]:
    """The tasks in words, by number: of `meta/tasks.jsonl` (v2) or `meta/tasks.parquet` (v3)."""
    lines, table = (folder / "meta" / f"tasks.{ending}" for ending in ("jsonl", "parquet"))
    pairs = _task_rows(table) if table.is_file() and not lines.is_file() else _task_lines(lines)
    for number, task in pairs:
        if not _whole(number, 0, 1 << 40) or not isinstance(task, str):
            raise InputError(f"{named(folder)}: meta/tasks has {shown(number)!r}: {shown(task)!r}, no number and text")
    return dict(pairs)


def _task_lines(path: Path) -> list[tuple[Any, Any]]:
    rows = [_json(path, line) for line in _text(path).splitlines() if line.strip()]
    return [(row.get("task_index"), row.get("task")) for row in rows]


def _task_rows(path: Path) -> list[tuple[Any, Any]]:
    """The text is the index of a pandas frame, under the name task or under none."""
    try:
        columns = pq.read_table(path).to_pydict()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{named(path)} is no parquet file or is cut short ({shown(error)}); fetch it again") from None
    texts = next((columns[name] for name in ("task", "__index_level_0__") if name in columns), None)
    if texts is None or "task_index" not in columns:
        raise InputError(
            f"{named(path)} has the columns {', '.join(map(shown, columns))}; it takes task_index and task"
        )
    return list(zip(columns["task_index"], texts))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LONGEST_META:
            raise InputError(f"{named(path)} is longer than any description; fetch it again")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{named(path)} cannot be read ({shown(error)}); fetch it again") from None


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{named(path)} is no JSON object; fetch it again")
    return found


def _whole(value: object, low: int, high: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
