"""Demonstrations in LeRobot's layout of folders (v2.0, v2.1 and v3.0), read without its package.

What is read and written of the layout is told in docs/robots.md. Remi Cadene et al., "LeRobot: state-of-the-art machine
learning for real-world robotics in PyTorch", 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lowerbound.data.episodes import CHUNK, Episode, Windows
from lowerbound.data.lerobot_meta import About, read_about, read_tasks
from lowerbound.data.lerobot_pictures import pictures
from lowerbound.data.lerobot_writing import CAMERA, write_episodes
from lowerbound.data.raw import Raw, named, shown
from lowerbound.data.senses import Senses, beheld
from lowerbound.data.store import memory
from lowerbound.errors import InputError

__all__ = ["CAMERA", "CHUNK", "Episode", "is_lerobot", "read_episodes", "read_lerobot", "write_episodes"]

STATE, ACTION, SUCCESS = "observation.state", "action", "next.success"
EPISODE, FRAME, TASK = "episode_index", "frame_index", "task_index"


def is_lerobot(folder: Path) -> bool:
    """Whether a folder holds demonstrations in LeRobot's layout."""
    return (folder / "meta" / "info.json").is_file()


def read_lerobot(folder: Path, chunk: int = CHUNK, camera: str | None = None) -> Raw:
    """The demonstrations of a folder: the variable `action` (chunk, A), told the state (S,), in groups by episode.

    A datum is a frame of an episode with the actions of that frame and of those that follow, NaN beyond its end. The
    tasks in words are the captions, told after the state where `load_data` is given a text encoder. camera: the column
    whose pictures are told too, between the two.

    Raises:
        InputError: with the file, and where in it: another layout, columns missing or of differing lengths, values
            that are NaN or no numbers, frames out of order, or fewer than the folder says.
    """
    about, place = read_about(folder), named(folder)
    episodes = read_episodes(folder, camera)
    told = [each.states if each.pictures is None else beheld(each.states, each.pictures) for each in episodes]
    lengths = np.array([len(each) for each in episodes])
    return Raw(
        shown(folder.resolve().name),
        place,
        {"action": Windows([each.actions for each in episodes], chunk)},  # type: ignore[dict-item]  # read as an array
        labels=np.concatenate(told),
        columns=about.names(ACTION, episodes[0].actions.shape[1]),
        where=lambda row: _where(place, lengths, row),
        captions=np.repeat(np.array([each.task for each in episodes]), lengths),
        groups=np.repeat(np.arange(len(episodes)), lengths),
        kinds={"action": "real"},
        forms={"action": f"lerobot:{about.fps:g}:{about.robot}", "condition": senses(episodes[0]).form},
        gaps=frozenset({"action"}),
    )


def senses(episode: Episode) -> Senses:
    """What is seen in an episode."""
    picture = None if episode.pictures is None else episode.pictures.shape[1:]
    return Senses(episode.states.shape[1], picture, 0)


def read_episodes(folder: Path, camera: str | None = None) -> list[Episode]:
    """All episodes of a folder in LeRobot's layout, checked, in the order of their numbers; see `read_lerobot`."""
    about, tasks = read_about(folder), read_tasks(folder)
    parts = [_read_file(path, about, camera) for path in _files(folder)]
    widths = {each.shape[1:] for part in parts for each in (part[STATE], part[ACTION])}
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if widths else {}
    starts = np.flatnonzero(np.diff(whole[EPISODE], prepend=-1))
    _refuse_disorder(folder, about, whole, starts)
    cut = {name: np.split(values, starts[1:]) for name, values in whole.items()}
    return [_episode(folder, {name: cut[name][i] for name in cut}, tasks) for i in range(len(starts))]


def _where(place: str, lengths: np.ndarray, row: int) -> str:
    ends = np.cumsum(lengths)
    episode = int(np.searchsorted(ends, row, side="right"))
    return f"{place}, episode {episode}, frame {row - int(ends[episode] - lengths[episode])}"


def _files(folder: Path) -> list[Path]:
    found = sorted((folder / "data").glob("chunk-*/*.parquet"))
    if not found:
        raise InputError(f"{named(folder)} has no data/chunk-000/….parquet; write or fetch the whole data set again")
    return found


def _read_file(path: Path, about: About, camera: str | None) -> dict[str, np.ndarray]:
    """The columns of one file as arrays."""
    wanted = [STATE, ACTION, EPISODE, FRAME, *([camera] if camera else [])]
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            _refuse_missing(path, wanted, names)
            _refuse_huge(path, file.metadata.num_rows * sum(about.width(name) for name in (STATE, ACTION)))
            table = file.read([*wanted, *(name for name in (TASK, SUCCESS) if name in names)])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{named(path)} is no parquet file or is cut short ({shown(error)}); fetch it again") from None
    seen = {CAMERA: pictures(path, camera, table[camera])} if camera else {}
    return {**_arrays(path, table, about), **seen}


def _arrays(path: Path, table: pa.Table, about: About) -> dict[str, np.ndarray]:
    vectors = {name: _matrix(path, name, table[name], about.width(name)) for name in (STATE, ACTION)}
    codes = {name: _numbers(path, name, table[name]).astype(np.int64) for name in (EPISODE, FRAME)}
    none = np.zeros(len(table))
    task = _numbers(path, TASK, table[TASK]) if TASK in table.column_names else none
    success = _numbers(path, SUCCESS, table[SUCCESS]) if SUCCESS in table.column_names else np.full(len(table), np.nan)
    return {**vectors, **codes, TASK: task.astype(np.int64), SUCCESS: success}


def _matrix(path: Path, name: str, column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of lists, all of one length, as (T, width) float32; a column of numbers has width 1."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)):
        return _shaped(path, name, _numbers(path, name, column), len(column), width)
    combined = column.combine_chunks()
    lengths = combined.value_lengths().drop_null().unique().to_pylist()
    if combined.null_count or lengths not in ([width], []):
        raise InputError(
            f"{named(path)}, column {name!r} has lists of lengths {lengths[:5]}, and meta/info.json says {width}; "
            f"give every frame as many numbers"
        )
    return _shaped(path, name, _numbers(path, name, combined.flatten()), len(column), width)


def _shaped(path: Path, name: str, values: np.ndarray, rows: int, width: int) -> np.ndarray:
    if values.size != rows * width:
        raise InputError(f"{named(path)}, column {name!r} has one number a frame, and meta/info.json says {width}")
    found = values.reshape(rows, width).astype(np.float32)
    if not np.isfinite(found).all():
        row, place = np.argwhere(~np.isfinite(found))[0]
        raise InputError(
            f"{named(path)}, row {row} (from 0), column {name!r}, number {place} is NaN or infinite; leave the episode "
            f"out or record it again"
        )
    return found


def _numbers(path: Path, name: str, column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of numbers; one to a list is as good."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _numbers(
            path, name, column.combine_chunks().flatten() if hasattr(column, "chunks") else column.flatten()
        )
    if column.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{named(path)}, column {name!r} has empty cells or no numbers; give a number in each")
    values: np.ndarray = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return values


def _refuse_missing(path: Path, wanted: Sequence[str], names: set[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{named(path)} has no column {missing[0]!r}; it has {', '.join(map(shown, sorted(names)))}")


def _refuse_huge(path: Path, numbers: int) -> None:
    if numbers * 8 > memory():
        raise InputError(f"{named(path)} claims {numbers:,} numbers, more than the memory here; give smaller files")


def _refuse_disorder(folder: Path, about: About, whole: Mapping[str, np.ndarray], starts: np.ndarray) -> None:
    """Refuse frames that are not one episode after another, each from its first frame on, and all that there are."""
    episode, frame = whole[EPISODE], whole[FRAME]
    lengths = np.diff(starts, append=len(episode))
    expected = np.arange(len(episode)) - np.repeat(starts, lengths)
    wrong = np.flatnonzero((frame != expected) | (episode < 0))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{named(folder)}: episode {episode[row]} has frame {frame[row]} where {expected[row]} was due; "
            f"write each episode whole and in order"
        )
    if len(np.unique(episode[starts])) < len(starts):
        raise InputError(f"{named(folder)} has an episode in two places; write each episode whole and in order")
    if (len(starts), len(episode)) != (about.episodes, about.frames):
        raise InputError(
            f"{named(folder)} has {len(starts)} episodes and {len(episode)} frames, and meta/info.json says "
            f"{about.episodes} and {about.frames}; fetch what is missing"
        )


def _episode(folder: Path, cut: Mapping[str, np.ndarray], tasks: Mapping[int, str]) -> Episode:
    task, success = int(cut[TASK][0]), cut[SUCCESS]
    if task not in tasks:
        raise InputError(
            f"{named(folder)}: episode {cut[EPISODE][0]} is of task {task}, which meta/tasks does not name"
        )
    known = None if np.isnan(success).all() else bool(np.nanmax(success))
    return Episode(cut[STATE], cut[ACTION], tasks[task], known, cut.get(CAMERA))
