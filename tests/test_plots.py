"""Pictures: every pixel of a grid where it belongs, figures that show what they were given, files whole."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound import plots
from lowerbound.errors import InputError

PAPER, BLACK, WHITE = plots.PAPER, 0, 255


def decode(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_each_picture_has_its_place_and_the_rest_is_paper() -> None:
    shades = np.array([0, 51, 102, 153, 204])
    page = plots.grid(np.broadcast_to(shades[:, None, None], (5, 60, 60)), 0, 255, columns=3)
    assert page.shape == (122, 184, 3)
    assert page[::62, ::62].tolist() == [[[v] * 3 for v in row] for row in ([0, 51, 102], [153, 204, PAPER])]
    assert (page[60:62] == PAPER).all()
    assert (page[:, 60:62] == PAPER).all()
    assert (page[:60, :60] == BLACK).all()


def test_shades_are_scaled_from_the_datas_range_and_clamped() -> None:
    pictures = np.array([-1.0, 0.0, 0.5, 1.0, 9.0]).reshape(5, 1, 1).repeat(60, 1).repeat(60, 2)
    assert plots.grid(pictures, 0, 1, columns=5)[0, ::62, 0].tolist() == [0, 0, 128, 255, 255]


def test_small_pictures_are_enlarged_by_a_whole_factor_and_large_ones_left() -> None:
    small = np.arange(64).reshape(1, 8, 8)
    page = plots.grid(small, 0, 63)
    assert page.shape == (56, 56, 3)
    assert (page[3::7, 3::7, 0] == plots.grid(small, 0, 63)[::7, ::7, 0]).all()
    assert plots.grid(np.zeros((1, 64, 48)), 0, 1).shape == (64, 48, 3)


def test_a_grid_is_about_square_whatever_its_pictures_are() -> None:
    assert plots.grid(np.zeros((16, 60, 60)), 0, 1).shape == (246, 246, 3)
    assert plots.grid(np.zeros((16, 120, 60)), 0, 1).shape == (364, 370, 3)


def test_colour_keeps_its_channels() -> None:
    pictures = np.zeros((1, 60, 60, 3), np.uint8)
    pictures[..., 1] = 255
    assert plots.grid(pictures, 0, 255)[0, 0].tolist() == [0, 255, 0]
    assert plots.grid(pictures[..., :1], 0, 255).shape == (60, 60, 3)


def test_pictures_of_one_value_need_no_range() -> None:
    assert (plots.grid(np.full((1, 60, 60), 7.0), 7, 7) == BLACK).all()


@pytest.mark.parametrize("shape", [(4, 8), (0, 8, 8), (4, 8, 8, 2), (2, 2, 8, 8, 3)])
def test_what_is_not_a_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"pictures of shape \(N, H, W\)"):
        plots.grid(np.zeros(shape), 0, 1)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        plots.grid(np.full((1, 8, 8), np.nan), 0, 1)


def test_a_pair_is_an_original_above_its_reconstruction() -> None:
    page = plots.pairs(np.zeros((3, 60, 60)), np.ones((3, 60, 60)), 0, 1, columns=2)
    assert page.shape == (242, 122, 3)
    assert (page[:60, :60] == BLACK).all()
    assert (page[60:120, :60] == WHITE).all()
    assert (page[122:182, :60] == BLACK).all()


def test_a_path_is_a_row() -> None:
    steps = np.linspace(0, 1, 4).reshape(1, 4, 1, 1).repeat(2, 0).repeat(60, 2).repeat(60, 3)
    page = plots.paths(steps, 0, 1)
    assert page[::62, ::62, 0].tolist() == [[0, 85, 170, 255]] * 2


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("labels", [None, np.arange(40) % 12])
def test_a_latent_map_shows_every_datum_once(width: int, labels: np.ndarray[Any, Any] | None) -> None:
    axes = plots.latent_map(np.random.default_rng(0).normal(size=(40, width)), labels).axes[0]
    assert sum(len(dots.get_offsets()) for dots in axes.collections) == 40
    assert axes.get_xlabel()
    names = [] if labels is None else [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ([] if labels is None else [str(label) for label in range(12)])


def test_a_latent_map_of_many_dimensions_shows_the_two_that_vary_most() -> None:
    means = np.random.default_rng(0).normal(size=(500, 6)) * [0.1, 0.1, 5.0, 0.1, 2.0, 0.1]
    axes = plots.latent_map(means).axes[0]
    points = np.asarray(axes.collections[0].get_offsets())
    assert abs(np.corrcoef(points[:, 0], means[:, 2])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], means[:, 4])[0, 1]) > 0.99


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_latent_map_of_few_or_equal_codes(count: int) -> None:
    assert plots.png(plots.latent_map(np.ones((count, 5))))


def test_label_names_stand_in_the_legend() -> None:
    figure = plots.latent_map(np.eye(2), np.array([0, 1]), names=("shirt", "boot"))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["shirt", "boot"]


def rows() -> list[dict[str, Any]]:
    nothing_taken: dict[str, Any] = {"epoch": 2, "train": {}, "validation": {"objective": None}}
    return [
        {
            "epoch": 1,
            "train": {"rate": 20.0, "distortion": 90.0, "gradient_norm": 5.0},
            "validation": {"objective": -8.0},
        },
        nothing_taken,
        {"epoch": 3, "train": {"-iwae": 95.0, "gradient_norm": 5.0}, "validation": {"objective": -7.0}},
    ]


def test_learning_curves_are_in_nats_of_the_data_and_leave_gaps_where_nothing_is_known() -> None:
    training, validation = plots.learning_curves(rows(), log_volume=-1.5).axes[0].lines
    assert training.get_xydata().tolist() == [[1, -111.5], [3, -96.5]]
    assert validation.get_xydata().tolist() == [[1, -8.0], [3, -7.0]]


def test_a_long_training_is_not_flattened_by_its_first_epochs() -> None:
    falling = {epoch: -90 - 1000 * 0.3**epoch for epoch in range(100)}
    low, high = plots.curves({"bound": falling}).axes[0].get_ylim()
    assert -100 < low < high < -85


def test_rates_are_shown_from_the_largest() -> None:
    bars = plots.rate_bars([0.5, 2.0, 1.0]).axes[0].patches
    assert [bar.get_height() for bar in bars] == [2.0, 1.0, 0.5]


def test_khat_of_one_value_alone_still_draws() -> None:
    assert plots.png(plots.khat_histogram([5, 0], low=0.5, high=0.5))


def test_png_keeps_every_pixel_and_figures_have_size() -> None:
    page = plots.grid(np.random.default_rng(0).integers(0, 256, (6, 28, 28, 3)), 0, 255)
    assert (decode(plots.png(page)) == page).all()
    assert min(decode(plots.png(plots.rate_bars([1.0]))).shape[:2]) > 300


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "grid.png"
    page = plots.grid(np.zeros((1, 8, 8)), 0, 1)
    plots.write_png(path, page)
    assert path.read_bytes() == plots.png(page)
    assert [each.name for each in path.parent.iterdir()] == ["grid.png"]


def test_figures_open_no_window_and_leave_matplotlibs_settings_alone() -> None:
    code = (
        "import sys; from lowerbound import plots; assert 'matplotlib' not in sys.modules; plots.rate_bars([1.0]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
