"""Films read back by others' readers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lowerbound.errors import InputError
from lowerbound.robots.rollouts import Scripts, roll_out
from lowerbound.robots.video import Camera, write_video
from worlds import Bead

FRAMES = [np.full((32, 48, 3), 8 * i, np.uint8) for i in range(20)]


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animations_have_every_frame(tmp_path, ending):
    write_video(tmp_path / f"film{ending}", FRAMES, 10)
    with Image.open(tmp_path / f"film{ending}") as film:
        assert (film.size, film.n_frames) == ((48, 32), 20)
        film.seek(10)
        assert abs(np.asarray(film.convert("RGB")).mean() - 80) < 6


def test_mp4_has_every_frame(tmp_path):
    reader = pytest.importorskip("imageio_ffmpeg")
    write_video(tmp_path / "film.mp4", FRAMES, 10)
    about, *frames = reader.read_frames(str(tmp_path / "film.mp4"))
    assert (about["size"], about["fps"], len(frames)) == ((48, 32), 10, 20)
    assert abs(np.frombuffer(frames[10], np.uint8).mean() - 80) < 6


def test_a_strip_is_of_eight_evenly_spread(tmp_path):
    write_video(tmp_path / "film.png", FRAMES, 10)
    strip = np.asarray(Image.open(tmp_path / "film.png"))
    assert strip.shape == (32, 8 * 48, 3)
    assert strip[0, ::48, 0].tolist() == [8 * i for i in (0, 3, 5, 8, 11, 14, 16, 19)]


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"film.avi must end in one of: .mp4, .gif"):
        write_video(tmp_path / "film.avi", FRAMES, 10)


def test_a_camera_films_some_worlds_now_and_then():
    worlds, camera = [Bead() for _ in range(4)], Camera(worlds=3, every=5)
    roll_out(worlds, range(4), Scripts(worlds), film=camera)
    assert [frame.shape for frame in camera.frames] == [(16, 32, 3)] * 3
    assert not camera.frames[0][8:, 16:].any()
