"""Arithmetic with codes: digits turned into other digits, slanted, thickened; success by a classifier and on pixels.

    python bench/arithmetic.py [PART ...]     (default: classes attributes pictures)

On the VAE and the CVAE of bench/cvae.py. classes: from every digit to every other, along the difference of the mean
codes of the two, at strengths from 0 to 2; and by the CVAE, whose z of one label is decoded with another. attributes:
the same for how slanted and how thick a digit is, both measured on pixels.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np

import lowerbound
from _harness import RESULTS, ROOT, record
from cvae import KEPT, model
from lowerbound import plots
from lowerbound.data.rows import Rows
from lowerbound.evaluation.attributes import Direction, direction
from lowerbound.evaluation.classifier import Classifier, classifier
from lowerbound.evaluation.probes import evenly
from lowerbound.files import write_json

LEARNT, MOVED = 20_000, 100
"""Training rows whose codes give the directions, and test rows of each digit that are moved."""
TOLD = ("cvae-normal", "cvae", "cvae-small")
"""The CVAEs that are told another label."""
STRENGTHS = tuple(np.linspace(0, 2, 9).tolist())
DIGITS = range(10)
CURVE, PICTURES = (ROOT / "docs" / "images" / f"{name}.png" for name in ("arithmetic", "arithmetic_pictures"))

Array = np.ndarray


def inked(x: Array) -> Array:
    """Where ink is, 0 or 1: at least half as bright as the brightest pixel, so that blur makes no stroke thicker."""
    return (x >= 0.5 * x.max((1, 2), keepdims=True)).astype(np.float64)


def slant(x: Array) -> Array:
    """How far ink moves to the left from one row of pixels to the next one down, the slope of a line through it."""
    ink = inked(x) / inked(x).sum((1, 2), keepdims=True)
    down, right = (ink * at for at in np.meshgrid(np.arange(28.0), np.arange(28.0), indexing="ij"))
    middle, centre = down.sum((1, 2)), right.sum((1, 2))
    rows, columns = np.arange(28.0)[:, None] - middle[:, None, None], np.arange(28.0) - centre[:, None, None]
    return -(ink * rows * columns).sum((1, 2)) / (ink * rows**2).sum((1, 2))


def thickness(x: Array) -> Array:
    """About the width of the stroke in pixels: twice its ink over the length of its edge."""
    ink = np.pad(inked(x), ((0, 0), (1, 1), (1, 1)))
    steps = np.sqrt(np.square(np.diff(ink, axis=1)[:, :, :-1]) + np.square(np.diff(ink, axis=2)[:, :-1]))
    return 2 * ink.sum((1, 2)) / steps.sum((1, 2))


MEASURES: dict[str, Callable[[Array], Array]] = {"slant": slant, "thickness": thickness}


@cache
def learnt() -> tuple[Array, Array, Array]:
    """Training pictures, their labels, and their codes by the VAE."""
    rows = lowerbound.load_data("mnist").split("train")
    rows = rows.where(evenly(rows.count, LEARNT))
    return rows.array("x"), _labels(rows), model("vae").encode(rows.array("x"))


@cache
def moved() -> tuple[Array, Array, Array]:
    """Test pictures, as many of each digit, their labels, and their codes by the VAE."""
    rows = lowerbound.load_data("mnist").split("test")
    rows = rows.where(np.concatenate([np.flatnonzero(rows.condition == digit)[:MOVED] for digit in DIGITS]))
    return rows.array("x"), _labels(rows), model("vae").encode(rows.array("x"))


def _labels(rows: Rows) -> Array:
    assert rows.condition is not None
    return rows.condition


@cache
def judge() -> Classifier:
    return classifier("mnist")


def classes() -> list[dict[str, Any]]:
    """For each strength, how often a digit is taken for the one it was moved to, for itself, and for neither."""
    found = [_moved_by(strength) for strength in STRENGTHS]
    return [*found, *({"strength": None, "by": name, **_shares(*_told_another(name))} for name in TOLD)]


def _moved_by(strength: float) -> dict[str, Any]:
    """All pairs, at one strength."""
    return {"strength": strength, **_shares(*_stack(_along(pair, strength) for pair in permutations(DIGITS, 2)))}


def _along(pair: tuple[int, int], strength: float) -> tuple[Array, Array, Array, Array]:
    """The pictures before and after, and the labels they were and are to be."""
    (_, names, codes), (x, labels, z) = learnt(), moved()
    here = labels == pair[0]
    after = model("vae").decode(direction(codes, names, pair[1], pair[0]).shifted(z[here], strength))
    return x[here], after, labels[here], np.full(here.sum(), pair[1])


def _told_another(name: str) -> tuple[Array, ...]:
    """By a CVAE: the code of a picture under its label, decoded under each other."""
    x, labels, _ = moved()
    z = model(name).given(labels).encode(x)
    return _stack(_under(name, x, labels, z, digit) for digit in DIGITS)


def _under(name: str, x: Array, labels: Array, z: Array, digit: int) -> tuple[Array, Array, Array, Array]:
    others = labels != digit
    after = model(name).given(digit).decode(z[others])
    return x[others], after, labels[others], np.full(others.sum(), digit)


def _stack(parts: Iterator[tuple[Array, ...]]) -> tuple[Array, ...]:
    return tuple(map(np.concatenate, zip(*parts)))


def _shares(before: Array, after: Array, was: Array, wanted: Array) -> dict[str, Any]:
    """What the classifier says of moved pictures, over pairs of digits, and what is left of their style."""
    told = judge().predict(after)
    pairs = np.array([(told == wanted)[(was == a) & (wanted == b)].mean() for a, b in permutations(DIGITS, 2)])
    kept = {name: _within(measure(before), measure(after), was, wanted) for name, measure in MEASURES.items()}
    return {
        "asked": float((told == wanted).mean()),
        "pairs_stderr": float(pairs.std(ddof=1) / math.sqrt(len(pairs))),
        "worst_pair": float(pairs.min()),
        "left": float((told == was).mean()),
        **kept,
    }


def _within(before: Array, after: Array, was: Array, wanted: Array) -> float:
    """The correlation of a measure before and after, the mean over pairs of digits."""
    pairs = ((was == a) & (wanted == b) for a, b in permutations(DIGITS, 2))
    return float(np.mean([np.corrcoef(before[pair], after[pair])[0, 1] for pair in pairs]))


def attributes() -> list[dict[str, Any]]:
    """For each attribute and strength, what becomes of the digits of the lowest third."""
    return [_attribute(name, way, strength) for name in MEASURES for way in DIRECTIONS for strength in STRENGTHS]


def over_all(values: Array) -> Array:
    """Which third each training picture is in, of all of them."""
    return _thirds(values, np.quantile(values, [1 / 3, 2 / 3]))


def within_digits(values: Array) -> Array:
    """Which third each is in, of those of its digit, so that no digit is commoner in one third than in another."""
    bounds = np.stack([np.quantile(values[learnt()[1] == digit], [1 / 3, 2 / 3]) for digit in DIGITS])
    return _thirds(values, bounds[learnt()[1]].T)


def _thirds(values: Array, bounds: Array) -> Array:
    return np.array(["low", "middle", "high"])[(values >= bounds[0]).astype(int) + (values >= bounds[1])]


DIRECTIONS: dict[str, Callable[[Array], Array]] = {"all digits": over_all, "within digits": within_digits}


def along(name: str, way: str) -> Direction:
    """From the lowest to the highest third of an attribute."""
    return direction(learnt()[2], DIRECTIONS[way](MEASURES[name](learnt()[0])), "high", "low")


def _attribute(name: str, way: str, strength: float) -> dict[str, Any]:
    """Digits of the lowest third moved towards the highest: how many arrive there, and stay the digits they are."""
    measure, (x, labels, z) = MEASURES[name], moved()
    low, high = np.quantile(measure(learnt()[0]), [1 / 3, 2 / 3])
    here = measure(x) < low
    after = model("vae").decode(along(name, way).shifted(z[here], strength))
    arrived, same = measure(after) >= high, judge().predict(after) == labels[here]
    return {
        "attribute": name,
        "thirds": way,
        "strength": strength,
        "before": float(measure(x[here]).mean()),
        "after": float(measure(after).mean()),
        "bound": float(high),
        "arrived": float(arrived.mean()),
        "same": float(same.mean()),
        "both": float((arrived & same).mean()),
        "count": int(here.sum()),
    }


def pictures() -> None:
    """Eight paths from the left to the right: digits to other digits, then slant, then thickness."""
    (_, names, codes), (_, labels, z) = learnt(), moved()
    pairs = ((3, 8), (4, 9), (7, 1), (0, 6))
    found = [_path(direction(codes, names, b, a), z[labels == a][3]) for a, b in pairs]
    for name, digit in (("slant", 1), ("slant", 4), ("thickness", 2), ("thickness", 0)):
        own = np.argsort(np.where(labels == digit, MEASURES[name](moved()[0]), np.inf))[5]
        found.append(_path(along(name, "within digits"), z[own]))
    plots.write_png(PICTURES, plots.paths(np.stack(found), 0, 255))


def _path(way: Direction, z: Array) -> Array:
    return model("vae").decode(np.concatenate([way.shifted(z[None], strength) for strength in STRENGTHS]))


def draw(found: dict[str, list[dict[str, Any]]]) -> None:
    """Success by strength."""
    moves = [row for row in found["classes"] if row["strength"] is not None]
    told = next(row for row in found["classes"] if row.get("by") == TOLD[0])
    lines = {
        "another digit: taken for it": {row["strength"]: row["asked"] for row in moves},
        "another digit: still the old": {row["strength"]: row["left"] for row in moves},
        "the same, by a CVAE's label": dict.fromkeys(STRENGTHS, told["asked"]),
    }
    for name in MEASURES:
        rows = [row for row in found["attributes"] if (row["attribute"], row["thirds"]) == (name, "within digits")]
        lines[f"{name}: arrived, digit kept"] = {row["strength"]: row["both"] for row in rows}
    plots.write_png(CURVE, plots.curves(lines, "strength, in differences of the mean codes", "share"))


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def of_classes(row: dict[str, Any]) -> dict[str, Any]:
    by = f"{row['by']}, told the other label" if row["strength"] is None else f"VAE, strength {row['strength']:g}"
    return {
        "digits moved by": by,
        "taken for the one asked %": f"{percent(row['asked'])} ± {percent(row['pairs_stderr'])}",
        "worst pair %": percent(row["worst_pair"]),
        "still the old one %": percent(row["left"]),
        "slant kept (correlation)": round(row["slant"], 2),
        "thickness kept": round(row["thickness"], 2),
    }


def of_attributes(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "attribute": row["attribute"],
        "thirds of": row["thirds"],
        "strength": row["strength"],
        "before": round(row["before"], 3),
        "after": round(row["after"], 3),
        "the upper third begins at": round(row["bound"], 3),
        "arrived there %": percent(row["arrived"]),
        "still the same digit %": percent(row["same"]),
        "both %": percent(row["both"]),
        "digits": row["count"],
    }


NOTES = (
    f"All 90 pairs of digits, {MOVED} test pictures of each digit; directions from {LEARNT:,} training pictures, the "
    "VAE and the CVAEs of bench/cvae.py, the classifier of bench/classifier.py (which tells "
    "{accuracy} of the real test pictures). At strength 0 they are reconstructions. ± is the standard error "
    "over pairs. Kept: the correlation of how slanted and how thick a digit was before and after, within each pair. "
    "Of cvae and cvae-small the prior of z follows the label, so that one z is more likely under its own label than "
    "under another; of cvae-normal it does not. One seed.\n\n![Success by strength](images/arithmetic.png)\n\n"
    "![Digits along directions](images/arithmetic_pictures.png)"
)
ATTRIBUTE_NOTES = (
    "Test digits of the lowest third of an attribute, moved along the difference of the mean codes of the highest and "
    "of the lowest third of the training pictures: of all of them, or of each digit's, so that no digit is commoner in "
    'one third than in the other and the direction does not lead from digit to digit (Tom White, "Sampling generative '
    'networks", 2016, balances groups to that end). Slant: the slope of a line through the ink; thickness: twice the '
    "ink over the length of its edge, in pixels; both measured on the decoded pictures as on the real ones, of pixels "
    "at least half as bright as the brightest. The same VAE and classifier as above; one seed."
)


def table() -> None:
    """Write down all that is kept."""
    found = {name: json.loads(path.read_text()) for name in ("classes", "attributes") if (path := kept(name)).exists()}
    if len(found) < 2:
        return
    command, notes = "python bench/arithmetic.py", NOTES.replace("{accuracy}", f"{judge().accuracy['test']:.2%}")
    record("arithmetic", "Arithmetic with codes: digits", command, [*map(of_classes, found["classes"])], notes)
    rows = [*map(of_attributes, found["attributes"])]
    record("arithmetic_attributes", "Arithmetic with codes: attributes", command, rows, ATTRIBUTE_NOTES)
    draw(found)


def kept(name: str) -> Any:
    return KEPT / f"arithmetic_{name}.json"


PARTS: dict[str, Callable[[], object]] = {
    "classes": lambda: write_json(kept("classes"), classes()),
    "attributes": lambda: write_json(kept("attributes"), attributes()),
    "pictures": pictures,
}


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
    table()


if __name__ == "__main__":
    main()
