"""A fitted mixture in a folder: what was asked for and found, as JSON, and its tensors, as safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from lowerbound.arguments import NonNegative, NonNegativeInt, conformed
from lowerbound.errors import InputError
from lowerbound.files import replacing, write_json
from lowerbound.mixtures.stepwise import Stepwise
from lowerbound.sklearn.values import Packed, packed, unpacked

FORMAT = "lowerbound-estimator"
RECORD, TENSORS = "estimator.json", "estimator.safetensors"

FITTED: Mapping[str, Any] = {
    "n_features_in_": NonNegativeInt,
    "feature_names_in_": tuple[str, ...] | None,
    "converged_": bool,
    "n_iter_": NonNegativeInt,
    "lower_bound_": float,
    "lower_bounds_": tuple[float, ...],
    "n_reseeded_": NonNegativeInt,
    "n_samples_seen_": NonNegative,
}
"""What a fitted mixture says of itself, and of what type it is."""


class Content(NamedTuple):
    """What a folder holds: which estimator, its parameters, what it says of its fit, and the mixture on its way."""

    estimator: str
    params: dict[str, Any]
    fitted: dict[str, Any]
    value: Stepwise


def write(path: str | Path, content: Content) -> None:
    """Keep a mixture at `path`, a new folder, whole or not at all."""
    target, kept = Path(path), packed(content.value)
    if target.exists():
        raise InputError(f"{target} is there already; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as scratch:
        folder = Path(scratch) / "estimator"
        about = {"estimator": content.estimator, "params": _plain(content.params), "fitted": _plain(content.fitted)}
        write_json(folder / RECORD, {"format": FORMAT, **about, "form": json.loads(kept.form)})
        with replacing(folder / TENSORS) as file:
            file.write_bytes(kept.tensors)
        os.replace(folder, target)


def read(path: str | Path) -> Content:
    """Open such a folder again, after checking it; nothing in it is ever run.

    Raises:
        InputError: it is foreign, cut short, or says what no mixture would.
    """
    folder = Path(path)
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        tensors = (folder / TENSORS).read_bytes()
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{folder} holds no whole mixture; save it again") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("params"), dict):
        raise InputError(f"{folder} holds no mixture of lowerbound's")
    value = unpacked(Packed(json.dumps(found.get("form")), tensors))
    return Content(str(found.get("estimator")), found["params"], _checked(found.get("fitted")), value)


def _checked(fitted: Any) -> dict[str, Any]:
    if not isinstance(fitted, dict) or set(fitted) != set(FITTED):
        raise InputError(f"a mixture says exactly this of its fit: {', '.join(FITTED)}")
    return {name: conformed(name, value, FITTED[name]) for name, value in fitted.items()}


def _plain(value: Any) -> Any:
    """As JSON has it; a source of chance that is no number cannot be kept."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return None if isinstance(value, np.random.RandomState) else value
