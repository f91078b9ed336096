"""Demonstrations in LeRobot's layout: what is written is read, both layouts alike, and what is damaged is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agree import refused
from lowerbound.data.dataset import load_data
from lowerbound.data.episodes import Windows
from lowerbound.data.lerobot import CAMERA, CHUNK, Episode, read_episodes, read_lerobot, write_episodes
from lowerbound.data.missing import masked
from lowerbound.errors import InputError

LENGTHS = (12, 9, 30, 12, 11, 10, 9, 8, 7, 6, 5)


def demonstrations(states: int = 3, actions: int = 2) -> list[Episode]:
    draw = np.random.default_rng(0).normal
    rows = [(draw(size=(t, states)), draw(size=(t, actions)) * [1, 100]) for t in LENGTHS]
    return [
        Episode(s.astype(np.float32), a.astype(np.float32), f"task {i % 2}", i % 3 > 0) for i, (s, a) in enumerate(rows)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_episodes(tmp_path / "demos", demonstrations(), fps=50, robot="toy", action_names=["reach", "grip"])
    return tmp_path / "demos"


def as_v3(folder: Path, file_of: Callable[[int], int]) -> Path:
    """The same data set as LeRobot's converter to v3.0 lays it out."""
    target = folder.parent / "v3"
    shutil.copytree(folder / "meta", target / "meta")
    frames = [pq.read_table(path) for path in sorted(folder.glob("data/*/*.parquet"))]
    place = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    for number in range(max(map(file_of, range(len(frames)))) + 1):
        path = target / place.format(chunk_index=0, file_index=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables([t for i, t in enumerate(frames) if file_of(i) == number]), path)
    info = json.loads((folder / "meta" / "info.json").read_text())
    info |= {"codebase_version": "v3.0", "data_path": place}
    (target / "meta" / "info.json").write_text(json.dumps(info))
    tasks = [json.loads(line) for line in (folder / "meta" / "tasks.jsonl").read_text().splitlines()]
    (target / "meta" / "tasks.jsonl").unlink()
    pd.DataFrame({"task_index": [t["task_index"] for t in tasks]}, index=[t["task"] for t in tasks]).to_parquet(
        target / "meta" / "tasks.parquet"
    )
    return target


def assert_same(found: list[Episode], wanted: list[Episode]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted):
        assert np.array_equal(one.states, other.states)
        assert np.array_equal(one.actions, other.actions)
        assert (one.task, one.success) == (other.task, other.success)


def test_what_is_written_is_read(folder: Path) -> None:
    assert_same(read_episodes(folder), demonstrations())


@pytest.mark.parametrize("file_of", [lambda i: 0, lambda i: i // 4], ids=["one-file", "many"])
def test_the_layout_of_v3_is_read_alike(folder: Path, file_of: Callable[[int], int]) -> None:
    assert_same(read_episodes(as_v3(folder, file_of)), demonstrations())


def test_what_lerobot_checks_of_what_is_written(folder: Path) -> None:
    """Times are frames / fps, indices run on, every column is a feature, statistics are those of the columns."""
    info = json.loads((folder / "meta" / "info.json").read_text())
    path = info["data_path"].format(episode_chunk=0, episode_index=2)
    table = pq.read_table(folder / path).to_pydict()
    assert set(table) == set(info["features"])
    assert np.allclose(np.diff(table["timestamp"]), 1 / 50, atol=1e-6)
    assert table["index"] == list(range(21, 51))
    assert [sum(table[name]) for name in ("next.done", "next.success")] == [1, 1]
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (11, sum(LENGTHS), 2)
    assert info["features"]["action"] == {"dtype": "float32", "shape": [2], "names": ["reach", "grip"]}
    rows = [json.loads(line) for line in (folder / "meta" / "episodes_stats.jsonl").read_text().splitlines()]
    assert np.allclose(rows[2]["stats"]["action"]["mean"], np.mean(table["action"], axis=0))
    assert rows[2]["stats"]["action"]["count"] == [30]
    described = [json.loads(line) for line in (folder / "meta" / "episodes.jsonl").read_text().splitlines()]
    assert described[1] == {"episode_index": 1, "tasks": ["task 1"], "length": 9}


def test_windows_are_the_actions_ahead() -> None:
    """Against a loop over frames, each of which takes what is left of its own episode."""
    actions = [each.actions for each in demonstrations()]
    windows = Windows(actions, chunk=10)
    expected = np.full((sum(LENGTHS), 10, 2), np.nan)
    row = 0
    for each in actions:
        for frame in range(len(each)):
            ahead = each[frame : frame + 10]
            expected[row, : len(ahead)] = ahead
            row += 1
    assert windows.shape == expected.shape
    assert np.array_equal(windows[:], expected, equal_nan=True)
    rows = np.array([40, 3, 3])
    assert np.array_equal(windows[rows], expected[rows], equal_nan=True)
    assert np.isnan(windows[11, 1, 0])


def test_a_folder_is_data_of_chunks_told_the_state(folder: Path) -> None:
    data = load_data(folder)
    action, state, train = data.spec.variables[0], data.spec.condition, data.splits["train"]
    assert (action.name, action.shape, action.missing, action.form) == ("action", (CHUNK, 2), True, "lerobot:50:toy")
    assert (state.shape, state.form, state.encoder) == ((3,), "state:3", None)
    assert np.array_equal(data.condition, np.concatenate([each.states for each in demonstrations()]))
    chunks = data.arrays["action"][train]
    assert np.allclose(action.mean, np.nanmean(chunks, axis=(0, 1)), atol=1e-5)
    assert np.allclose(action.std, np.nanstd(chunks, axis=(0, 1)), rtol=1e-5)
    assert action.columns == ("reach", "grip")


def test_all_frames_of_an_episode_are_in_one_split(folder: Path) -> None:
    data = load_data(folder)
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    found = [set(episode[rows]) for rows in data.splits.values()]
    assert sum(map(len, found)) == len(LENGTHS)


def test_a_text_encoder_appends_the_instruction(folder: Path) -> None:
    data = load_data(folder, text="hash")
    assert data.condition.shape == (sum(LENGTHS), 3 + 256)
    assert data.spec.condition.encoder == "hash"
    assert np.array_equal(data.condition[:, :3], load_data(folder).condition)
    assert np.array_equal(data.condition[:, 3:], data.captions.vectors)
    assert set(data.captions.texts) == {"task 0", "task 1"}
    assert data.spec.fingerprint != load_data(folder).spec.fingerprint


def test_padding_is_masked_on_the_device(folder: Path) -> None:
    import torch

    batch = load_data(folder).split("train").resident("cpu").batch(torch.arange(5))
    left = masked({"action": batch.x["action"]}, ())[0]["action"].isnan()
    assert not left.any()
    assert (batch.mask["action"].sum(1)[:, 0] <= 30).all()


def edit(folder: Path, **changes: object) -> None:
    path = folder / "meta" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def recolumn(folder: Path, name: str, change: Callable[[pa.Table], pa.Array | None]) -> None:
    path = folder / "data" / "chunk-000" / "episode_000001.parquet"
    table = pq.read_table(path)
    changed, place = change(table), table.column_names.index(name)
    rest = table.remove_column(place)
    pq.write_table(rest if changed is None else rest.add_column(place, name, changed), path)


@pytest.mark.parametrize(
    ("template", "version"),
    [
        ("../../../etc/passwd", "v2.1"),
        ("/etc/{episode_index}", "v2.0"),
        ("data/chunk-{chunk_index.__class__}/file.parquet", "v3.0"),
        (None, "v2.1"),
        (["data"], "v2.1"),
    ],
)
def test_paths_that_are_not_the_layouts_own_are_refused(folder: Path, template: object, version: str) -> None:
    edit(folder, data_path=template, codebase_version=version)
    with pytest.raises(InputError, match="another place is read"):
        read_episodes(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"codebase_version": "v1.6"}, "is of version 'v1.6'"),
        ({"codebase_version": "\x1b[31m"}, "x1b.31m'; those read here are"),
        ({"total_frames": 10**9}, "meta/info.json says 11 and 1000000000; fetch what is missing"),
        ({"total_episodes": True}, "must say total_episodes"),
        ({"fps": 0}, "must say fps"),
        ({"fps": "fast"}, "must say fps"),
        ({"features": []}, "features"),
        ({"features": {}}, "does not say how many numbers"),
        ({"features": {"observation.state": {"shape": [1 << 40]}}}, "does not say how many numbers"),
        ({"features": {"observation.state": {"shape": [4]}, "action": {"shape": [2]}}}, "info.json says 4"),
    ],
)
def test_descriptions_that_cannot_be_are_refused(folder: Path, changes: dict[str, object], sentence: str) -> None:
    edit(folder, **changes)
    with pytest.raises(InputError, match=sentence):
        read_lerobot(folder)


def ragged(table: pa.Table) -> pa.Array:
    rows = table["action"].to_pylist()
    return pa.array([*rows[:-1], rows[-1][:1]])


def holed(table: pa.Table) -> pa.Array:
    rows = table["action"].to_pylist()
    return pa.array([*rows[:-1], [1.0, float("nan")]])


def shuffled(table: pa.Table) -> pa.Array:
    return pa.array([*range(1, len(table)), 0])


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("action", lambda t: None, "has no column 'action'"),
        ("frame_index", lambda t: None, "has no column 'frame_index'"),
        ("action", ragged, "has lists of lengths"),
        ("action", holed, "row 8 \\(from 0\\), column 'action', number 1 is NaN"),
        ("action", lambda t: pa.array(["a"] * len(t)), "no numbers"),
        ("action", lambda t: pa.nulls(len(t), pa.list_(pa.float32())), "lists of lengths"),
        ("observation.state", lambda t: pa.array([1.0] * len(t)), "one number a frame"),
        ("frame_index", shuffled, "episode 1 has frame 1 where 0 was due"),
        ("frame_index", lambda t: pa.nulls(len(t), pa.int64()), "empty cells"),
        ("episode_index", lambda t: pa.array([0] * len(t)), "episode 0 has frame 0 where 12 was due"),
        ("episode_index", lambda t: pa.array([5] * len(t)), "in two places"),
        ("task_index", lambda t: pa.array([7] * len(t)), "task 7, which meta/tasks does not name"),
    ],
)
def test_frames_that_cannot_be_are_refused(
    folder: Path, name: str, change: Callable[[pa.Table], pa.Array | None], sentence: str
) -> None:
    recolumn(folder, name, change)
    with pytest.raises(InputError, match=sentence):
        read_episodes(folder)


def test_files_cut_short_are_refused(folder: Path) -> None:
    path = folder / "data" / "chunk-000" / "episode_000003.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"episode_000003.parquet is no parquet file or is cut short"):
        read_episodes(folder)
    path.unlink()
    with pytest.raises(InputError, match=r"has 10 episodes and 107 frames, and meta/info.json says 11 and 119"):
        read_episodes(folder)


@pytest.mark.parametrize("name", ["info.json", "tasks.jsonl"])
@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"3", b'{"task_index": "0", "task": 3}'])
def test_descriptions_that_are_damaged_are_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / "meta" / name).write_bytes(content)
    with pytest.raises(InputError):
        read_lerobot(folder)


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = demonstrations()[0], demonstrations()[1]
    bad.actions[3, 1] = np.nan
    with refused("episode 1, frame 3, number 1 of the actions is NaN or infinite; leave it out"):
        write_episodes(tmp_path / "demos", [good, bad], fps=50, robot="toy")
    with refused("there is no episode to write; give one or more"):
        write_episodes(tmp_path / "demos", [], fps=50, robot="toy")
    with pytest.raises(InputError, match="episode 1 has numbers or columns unlike those before it"):
        write_episodes(tmp_path / "demos", [good, demonstrations(4)[0]], fps=50, robot="toy")
    with pytest.raises(InputError, match="action has 2 numbers and 1 names"):
        write_episodes(tmp_path / "demos", [good], fps=50, robot="toy", action_names=["reach"])
    assert list(tmp_path.iterdir()) == []
    write_episodes(tmp_path / "demos", [good], fps=50, robot="toy")
    with pytest.raises(InputError, match="is there already"):
        write_episodes(tmp_path / "demos", [good], fps=50, robot="toy")


def filmed(count: int = 11, side: int = 8) -> list[Episode]:
    draw = np.random.default_rng(1).integers
    return [
        Episode(e.states, e.actions, e.task, e.success, draw(0, 256, (len(e), side, 6, 3)).astype(np.uint8))
        for e in demonstrations()[:count]
    ]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    write_episodes(tmp_path / "film", filmed(), fps=50, robot="toy")
    return tmp_path / "film"


def test_pictures_are_written_and_read_where_they_are_asked_for(film: Path) -> None:
    assert_same(read_episodes(film), demonstrations())
    seen = read_episodes(film, CAMERA)
    assert all(np.array_equal(one.pictures, other.pictures) for one, other in zip(seen, filmed()))
    assert all(each.pictures is None for each in read_episodes(film))
    about = json.loads((film / "meta" / "info.json").read_text())["features"][CAMERA]
    assert about == {"dtype": "image", "shape": [8, 6, 3], "names": ["height", "width", "channels"]}
    row = json.loads((film / "meta" / "episodes_stats.jsonl").read_text().splitlines()[0])["stats"][CAMERA]
    assert np.allclose(row["mean"], filmed()[0].pictures.mean((0, 1, 2)).reshape(3, 1, 1) / 255)


def test_pictures_are_told_between_state_and_words(film: Path) -> None:
    data = load_data(film, labels=CAMERA, text="hash")
    assert data.condition.shape == (sum(LENGTHS), 3 + 8 * 6 * 3 + 256)
    assert data.spec.condition.form == "picture:3,8x6x3"
    whole = np.concatenate([each.pictures for each in filmed()])
    assert np.allclose(data.condition[:, 3:147].reshape(-1, 8, 6, 3) * 255, whole, atol=1e-4)
    assert np.array_equal(data.condition[:, 147:], data.captions.vectors)
    assert load_data(film).condition.shape == (sum(LENGTHS), 3)


def cells(change: Callable[[bytes], bytes | None]) -> Callable[[pa.Table], pa.Array]:
    def changed(table: pa.Table) -> pa.Array:
        each = [cell["bytes"] for cell in table[CAMERA].to_pylist()]
        return pa.array([{"bytes": change(cell), "path": None} for cell in each])

    return changed


def other_size(cell: bytes) -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (700, 700)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (cells(lambda cell: None), "has no picture in it"),
        (cells(lambda cell: b"GIF89a"), "is no PNG or JPEG, or is damaged"),
        (cells(lambda cell: cell[:60]), "is no PNG or JPEG, or is damaged"),
        (cells(other_size), "is 700×700 of mode RGB; keep RGB pictures of at most"),
        (lambda t: pa.array([1.0] * len(t)), "holds no pictures but double"),
    ],
)
def test_pictures_that_cannot_be_are_refused(film: Path, change: Callable[[pa.Table], pa.Array], sentence: str) -> None:
    recolumn(film, CAMERA, change)
    with pytest.raises(InputError, match=sentence):
        load_data(film, labels=CAMERA)


def test_a_camera_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"has no column 'observation.images.left'"):
        load_data(folder, labels="observation.images.left")
    with pytest.raises(InputError, match="holds no pictures"):
        load_data(folder, labels="timestamp")
