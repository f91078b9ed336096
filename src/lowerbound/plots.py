"""Pictures of data and of results: grids of pictures, latent maps, curves. Drawn in memory, written as PNG.

Grids are uint8 arrays and figures are matplotlib's `Figure` objects, without windows or global state; `png` turns
either into bytes and `write_png` into a file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lowerbound.core.psis import RELIABLE_K
from lowerbound.errors import InputError
from lowerbound.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array: TypeAlias = np.ndarray[Any, Any]
Drawing: TypeAlias = "Array | Figure"
"""What can be turned into a PNG: a uint8 array `(H, W, 3)` or a matplotlib figure."""

PAPER = 255
"""The separators between pictures are white, so that a grid on a white page shows no frame."""

LEGIBLE = 56
"""Small pictures are enlarged by a whole factor until their shorter side has about this many pixels."""

HIDDEN = (120, 160, 210)
"""The colour, red, green and blue, of what is hidden of a picture."""

DOTS_PER_INCH = 160
INK, LINE, ACCENT, OTHER = "#24292f", "#d0d7de", "#2563a8", "#c2571a"
PALETTE = ("#2563a8", "#c2571a", "#3f7d4e", "#7a4f9a", "#a8892c", "#4aa3b5", "#b03a5b", "#6b7280", "#8c5a3c", "#24292f")


def grid(pictures: Array, low: float, high: float, columns: int | None = None) -> Array:
    """Lay pictures out in rows with thin lines between: `(N, H, W)` or `(N, H, W, C)` to uint8 `(H', W', 3)`.

    Args:
        pictures: values on the data's own scale; C is 1 (grey) or 3 (red, green, blue).
        low: the value shown black.
        high: the value shown white; values beyond the two are clamped.
        columns: pictures in a row; without it, as many as make the page about square.

    Raises:
        InputError: when these are not pictures, or hold values that are not finite.

    Example:
        >>> grid(np.zeros((10, 28, 28)), low=0, high=255, columns=5).shape
        (114, 288, 3)
    """
    tiles = _tiles(pictures, low, high)
    columns = columns or max(1, round(math.sqrt(len(tiles) * tiles.shape[1] / tiles.shape[2])))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[1] + 2, tiles.shape[2] + 2
    page = np.full((rows, columns, height, width, 3), PAPER, np.uint8)
    page.reshape(-1, height, width, 3)[: len(tiles), :-2, :-2] = tiles
    return page.swapaxes(1, 2).reshape(rows * height, columns * width, 3)[:-2, :-2]


def pairs(originals: Array, reconstructions: Array, low: float, high: float, columns: int | None = None) -> Array:
    """Each original above its reconstruction, laid out as a grid of such pairs; shapes and scale as for `grid`.

    Example:
        >>> pairs(np.zeros((50, 28, 28)), np.ones((50, 28, 28)), low=0, high=1).shape
        (568, 578, 3)
    """
    return grid(np.concatenate((originals, reconstructions), axis=1), low, high, columns)


def paths(pictures: Array, low: float, high: float) -> Array:
    """Interpolations, a row each: `(R, S, H, W)` or `(R, S, H, W, C)`, R paths of S steps; scale as for `grid`.

    Example:
        >>> paths(np.zeros((3, 8, 28, 28)), low=0, high=1).shape
        (172, 462, 3)
    """
    return grid(pictures.reshape(-1, *pictures.shape[2:]), low, high, columns=pictures.shape[1])


def completions(originals: Array, observed: Array, draws: Array, low: float, high: float) -> Array:
    """Completions, a row a datum: the datum, the datum with what is hidden of it in colour, and what was put there.

    Args:
        originals: `(N, H, W)` or `(N, H, W, C)`.
        observed: of that shape, True where a value was seen.
        draws: `(M, N, ...)`.
        low: the value shown black.
        high: the value shown white.

    Example:
        >>> mask = np.ones((4, 28, 28), bool)
        >>> completions(np.zeros((4, 28, 28)), mask, np.zeros((5, 4, 28, 28)), low=0, high=1).shape
        (230, 404, 3)
    """
    hidden = np.where(_in_colour(observed), _in_colour(originals), low + (high - low) * np.array(HIDDEN) / 255)
    rows = np.stack([_in_colour(originals), hidden, *map(_in_colour, draws)], axis=1)
    return paths(rows, low, high)


def _in_colour(pictures: Array) -> Array:
    """`(N, H, W)`, `(N, H, W, 1)` or `(N, H, W, 3)` to `(N, H, W, 3)`."""
    last = pictures if pictures.ndim == 4 else pictures[..., None]
    return np.broadcast_to(last, (*last.shape[:3], 3))


def latent_map(means: Array, labels: Array | None = None, names: Sequence[str] | None = None) -> Figure:
    """Posterior means `(N, d)` in the plane, coloured by label; for d > 2 along their first two principal axes.

    Args:
        means: posterior means, a row a datum.
        labels: `(N,)` whole numbers.
        names: what the labels 0, 1, … are called; without it, their numbers.

    Example:
        >>> len(latent_map(np.random.default_rng(0).normal(size=(50, 8)), np.arange(50) % 3).axes)
        1
    """
    points, axis_names = _plane(means)
    figure, axes = _figure(5.6, 4.6)
    if labels is None:
        _scatter(axes, points, ACCENT, "")
    else:
        _scatter_by_label(axes, points, labels, names)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axes.set_aspect("equal", adjustable="datalim")
    return figure


def curves(lines: Mapping[str, Mapping[float, float]], x: str = "epoch", y: str = "nats per datum") -> Figure:
    """Named lines, each given as places on the x axis and the values there.

    A training's first values are far from all that follow, so of more than twenty the lowest twentieth may leave
    the picture.

    Example:
        >>> len(curves({"training": {1: -120.0, 2: -100.0}, "validation": {2: -101.0}}).axes[0].lines)
        2
    """
    figure, axes = _figure(6.4, 3.4)
    for (name, points), colour in zip(lines.items(), cycle(PALETTE)):
        marker = "o" if len(points) < 3 else ""
        axes.plot(list(points), list(points.values()), label=name, color=colour, linewidth=1.4, marker=marker)
    _leave_out_the_lowest(axes, [value for points in lines.values() for value in points.values()])
    axes.set(xlabel=x, ylabel=y)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.legend(frameon=False, fontsize=8)
    return figure


def selection(lines: Mapping[str, Mapping[float, float]], best: tuple[str, float], y: str) -> Figure:
    """A criterion, of which less is better, by the number of components: a line a family, a ring around the chosen.

    Example:
        >>> figure = selection({"full": {1: 9.0, 2: 3.0}, "diag": {1: 9.5, 2: 4.0}}, best=("full", 2), y="BIC")
        >>> len(figure.axes[0].lines)
        3
    """
    figure, axes = _figure(6.4, 3.4)
    for (name, points), colour in zip(lines.items(), cycle(PALETTE)):
        axes.plot(
            list(points), list(points.values()), label=name, color=colour, linewidth=1.4, marker="o", markersize=4
        )
    name, place = best
    ring: dict[str, Any] = {"marker": "o", "markersize": 11, "color": INK, "fillstyle": "none", "linestyle": "none"}
    axes.plot([place], [lines[name][place]], label=f"least: {name}, {place:g}", **ring)
    axes.set(xlabel="components", ylabel=y)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.legend(frameon=False, fontsize=8)
    return figure


def learning_curves(rows: Sequence[Mapping[str, Any]], log_volume: float = 0.0) -> Figure:
    """What training maximised, on the training rows and on the validation rows, by epoch.

    Args:
        rows: a run's figures, as `Run.metrics` gives them.
        log_volume: what the views add to log p(x) for the data as given; validation has it in already.

    Example:
        >>> row = {"epoch": 1, "train": {"rate": 20.0, "distortion": 90.0}, "validation": {"objective": -108.0}}
        >>> [float(line.get_ydata()[0]) for line in learning_curves([row]).axes[0].lines]
        [-110.0, -108.0]
    """
    training = {row["epoch"]: log_volume - _loss(row["train"]) for row in rows if row["train"]}
    validation = {row["epoch"]: row["validation"]["objective"] for row in rows}
    known = {epoch: bound for epoch, bound in validation.items() if bound is not None}
    return curves({"objective, training rows": training, "objective, validation rows": known})


def khat_histogram(counts: Sequence[int], low: float, high: float) -> Figure:
    """How many data have which Pareto k-hat, and the value above which an estimate is not to be trusted.

    counts: of cells of equal width from low to high, as `evaluate` gives them.

    Example:
        >>> len(khat_histogram([3, 0, 1], low=0.1, high=0.9).axes[0].patches)
        1
    """
    figure, axes = _figure(5.6, 3.0)
    edges = np.linspace(low, high, len(counts) + 1)
    axes.stairs(counts, edges, fill=True, color=ACCENT)
    axes.axvline(RELIABLE_K, color=OTHER, linewidth=1.2, linestyle="--")
    axes.set(xlabel=f"Pareto k-hat (dashed: {RELIABLE_K}, above it unreliable)", ylabel="number of data")
    return figure


def rate_bars(kl_per_dimension: Sequence[float]) -> Figure:
    """The rate of each latent dimension in nats, from the largest to the smallest.

    Example:
        >>> len(rate_bars([0.0, 2.5, 1.0]).axes[0].patches)
        3
    """
    figure, axes = _figure(6.4, 3.0)
    axes.bar(range(1, len(kl_per_dimension) + 1), sorted(kl_per_dimension, reverse=True), color=ACCENT)
    axes.set(xlabel="latent dimension, in order of its rate", ylabel="KL divergence (nats)")
    return figure


def gap_bars(gaps: Mapping[str, tuple[float, float]]) -> Figure:
    """What bounds lack of log p(x): for each posterior its approximation gap and, beyond it, its amortisation gap.

    Example:
        >>> len(gap_bars({"encoder's": (2.0, 1.5), "each datum's own": (2.0, 0.0)}).axes[0].patches)
        4
    """
    figure, axes = _figure(6.4, 0.9 + 0.45 * len(gaps))
    approximation, amortisation = zip(*gaps.values())
    axes.barh(list(gaps), approximation, color=ACCENT, height=0.6, label="approximation gap")
    axes.barh(list(gaps), amortisation, left=approximation, color=OTHER, height=0.6, label="amortisation gap")
    axes.invert_yaxis()
    axes.set(xlabel="log p(x) less the bound (nats)")
    axes.legend(frameon=False, fontsize=8)
    return figure


def png(drawing: Drawing) -> bytes:
    """The drawing as a PNG file's bytes.

    Example:
        >>> png(grid(np.zeros((4, 8, 8)), low=0, high=16))[:4]
        b'\\x89PNG'
    """
    stream = io.BytesIO()
    if isinstance(drawing, np.ndarray):
        from PIL import Image

        Image.fromarray(drawing).save(stream, format="PNG", optimize=True)
    else:
        drawing.savefig(stream, format="png", dpi=DOTS_PER_INCH)
    return stream.getvalue()


def write_png(path: Path, drawing: Drawing) -> None:
    """Write the drawing to `path` as a PNG, whole or not at all."""
    image = png(drawing)
    with replacing(path) as scratch:
        scratch.write_bytes(image)


def _tiles(pictures: Array, low: float, high: float) -> Array:
    """Pictures in colour, 0 to 255, enlarged until they can be seen: uint8 `(N, H', W', 3)`."""
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3) or 0 in pictures.shape:
        raise InputError(
            "a grid is made of pictures of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), and was given "
            f"{pictures.shape}; data of another shape have no picture"
        )
    if not np.isfinite(pictures).all():
        raise InputError("a grid was given pictures with values that are not finite; there is no shade for them")
    shades = (np.clip((pictures - low) / ((high - low) or 1), 0, 1) * 255).round().astype(np.uint8)
    factor = max(1, round(LEGIBLE / min(pictures.shape[1:3])))
    coloured = np.broadcast_to(shades, (*shades.shape[:3], 3))
    return coloured.repeat(factor, axis=1).repeat(factor, axis=2)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of so many inches in the house style, without touching matplotlib's global settings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.6, color=INK)
    axes.tick_params(labelsize=8, labelcolor=INK, color=INK, width=0.6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(fontsize=9, color=INK)
    return figure, axes


def _plane(means: Array) -> tuple[Array, tuple[str, str]]:
    """Points `(N, 2)` for `(N, d)` means, and what the two axes are."""
    if means.shape[1] == 1:
        return np.column_stack((means[:, 0], np.zeros(len(means)))), ("z 1", "")
    if means.shape[1] == 2 or len(means) < 3:
        return means[:, :2], ("z 1", "z 2")
    centred = means - means.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    shares = spread**2 / ((spread**2).sum() or 1) * 100
    first, second = (f"principal axis {i + 1} ({shares[i]:.0f} % of the variance)" for i in range(2))
    return centred @ directions[:2].T, (first, second)


def _scatter(axes: Axes, points: Array, colour: str, label: str) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=5, color=colour, alpha=0.6, linewidths=0, label=label)


def _scatter_by_label(axes: Axes, points: Array, labels: Array, names: Sequence[str] | None) -> None:
    """A colour and a line in the legend for each label; those beyond the palette share colours with earlier ones."""
    for label, colour in zip(np.unique(labels), cycle(PALETTE)):
        _scatter(axes, points[labels == label], colour, names[int(label)] if names else str(label))
    axes.legend(frameon=False, fontsize=8, markerscale=3, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _loss(terms: Mapping[str, float]) -> float:
    return sum(value for name, value in terms.items() if name != "gradient_norm")


def _leave_out_the_lowest(axes: Axes, values: Sequence[float]) -> None:
    if len(values) > 20:
        low, high = float(np.quantile(values, 0.05)), max(values)
        axes.set_ylim(low - 0.02 * (high - low), high + 0.05 * (high - low))
