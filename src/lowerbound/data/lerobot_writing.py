"""Demonstrations written in LeRobot's layout v2.1: a parquet file an episode, and what they are in `meta/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lowerbound.data.episodes import Episode
from lowerbound.data.lerobot_meta import PER_EPISODE
from lowerbound.data.lerobot_pictures import encoded
from lowerbound.errors import InputError
from lowerbound.files import new_folder, write_json, write_text

A_CHUNK = 1000
"""Episodes in a folder of `data/`."""

CAMERA = "observation.images.top"
"""The column of what a camera saw."""

Columns = dict[str, np.ndarray]


def write_episodes(
    folder: Path,
    episodes: Iterable[Episode],
    *,
    fps: int,
    robot: str,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> None:
    """Write episodes to a new folder in LeRobot's layout v2.1, whole or not at all; each is let go once it is written.

    fps: control steps a second. robot: its type, in a word. names: what the numbers of a state and an action are.

    Raises:
        InputError: the folder is there already, there is no episode, or one is unlike the others or has NaN.
    """
    tasks: dict[str, int] = {}
    described: list[dict[str, Any]] = []
    statistics: list[dict[str, Any]] = []
    features: dict[str, Any] = {}
    with new_folder(Path(folder)) as scratch:
        for number, episode in enumerate(episodes):
            columns = _columns(number, episode, tasks, sum(each["length"] for each in described), fps)
            described.append({"episode_index": number, "tasks": [episode.task], "length": len(episode)})
            statistics.append({"episode_index": number, "stats": {name: _stats(x) for name, x in columns.items()}})
            names = {"observation.state": state_names, "action": action_names}
            features = _alike(number, features, {name: _feature(x, names.get(name)) for name, x in columns.items()})
            _write(scratch / _place(number), columns)
        if not described:
            raise InputError("there is no episode to write; give one or more")
        _describe(scratch / "meta", _info(described, tasks, features, fps, robot), tasks, described, statistics)


def _columns(number: int, episode: Episode, tasks: dict[str, int], before: int, fps: int) -> Columns:
    """The columns of one episode's file, (T,) or (T, D)."""
    episode.check(f"episode {number}")
    count = len(episode)
    frames = np.arange(count)
    last = frames == count - 1
    success = {} if episode.success is None else {"next.success": last & episode.success}
    seen = {} if episode.pictures is None else {CAMERA: episode.pictures}
    return {
        **seen,
        "observation.state": np.asarray(episode.states, np.float32),
        "action": np.asarray(episode.actions, np.float32),
        "next.done": last,
        **success,
        "timestamp": (frames / fps).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(count, number),
        "index": before + frames,
        "task_index": np.full(count, tasks.setdefault(episode.task, len(tasks))),
    }


def _feature(values: np.ndarray, names: Sequence[str] | None) -> dict[str, Any]:
    if values.ndim == 4:
        return {"dtype": "image", "shape": list(values.shape[1:]), "names": ["height", "width", "channels"]}
    kind = "bool" if values.dtype == bool else values.dtype.name
    return {"dtype": kind, "shape": list(values.shape[1:]) or [1], "names": list(names) if names else None}


def _alike(number: int, features: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if features and features != found:
        raise InputError(f"episode {number} has numbers or columns unlike those before it; give all the same")
    for name, about in found.items():
        if about["dtype"] != "image" and about["names"] and [len(about["names"])] != about["shape"]:
            raise InputError(f"{name} has {about['shape'][0]} numbers and {len(about['names'])} names; name each")
    return found


def _write(path: Path, columns: Columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: _column(values) for name, values in columns.items()}), path)


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim == 4:
        return encoded(values)
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _stats(values: np.ndarray) -> dict[str, list[Any]]:
    """What LeRobot keeps of each column of an episode; of pictures of each colour, from 0 to 1, as (3, 1, 1)."""
    seen = values.ndim == 4
    rows = values.reshape(-1, 3) / 255 if seen else values.reshape(len(values), -1).astype(np.float64)
    found = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    shape = (3, 1, 1) if seen else (-1,)
    return {**{name: each.reshape(shape).tolist() for name, each in found.items()}, "count": [len(values)]}


def _place(number: int) -> str:
    return PER_EPISODE.format(episode_chunk=number // A_CHUNK, episode_index=number)


def _info(
    described: Sequence[Mapping[str, Any]], tasks: Mapping[str, int], features: dict[str, Any], fps: int, robot: str
) -> dict[str, Any]:
    count = len(described)
    return {
        "codebase_version": "v2.1",
        "robot_type": robot,
        "total_episodes": count,
        "total_frames": sum(each["length"] for each in described),
        "total_tasks": len(tasks),
        "total_videos": 0,
        "total_chunks": -(-count // A_CHUNK),
        "chunks_size": A_CHUNK,
        "fps": fps,
        "splits": {"train": f"0:{count}"},
        "data_path": PER_EPISODE,
        "video_path": None,
        "features": features,
    }


def _describe(
    meta: Path,
    info: dict[str, Any],
    tasks: Mapping[str, int],
    described: Iterable[Mapping[str, Any]],
    statistics: Iterable[Mapping[str, Any]],
) -> None:
    write_json(meta / "info.json", info)
    _write_lines(meta / "tasks.jsonl", [{"task_index": number, "task": task} for task, number in tasks.items()])
    _write_lines(meta / "episodes.jsonl", described)
    _write_lines(meta / "episodes_stats.jsonl", statistics)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))
