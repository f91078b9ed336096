"""The description of data: JSON there and back, and nothing else gets in."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lowerbound.data.dataset import load_data
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError


def spec() -> DataSpec:
    x = np.random.default_rng(0).normal(size=(40, 3))
    return load_data({"x": x, "y": np.arange(80).reshape(40, 2)}, labels=np.array(["a", "b"] * 20)).spec


def test_json_there_and_back() -> None:
    whole = spec()
    assert DataSpec.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_what_a_spec_says() -> None:
    whole = spec()
    assert [v.name for v in whole.variables] == ["x", "y"]
    assert whole.variable("y").kind == "count"
    assert whole.condition is not None
    assert (whole.condition.labels, whole.condition_size) == (("a", "b"), 2)
    assert (whole.count, dict(whole.splits)) == (40, {"train": 32, "validation": 4, "test": 4})
    with pytest.raises(InputError, match="no variable 'z'; choose one of: x, y"):
        whole.variable("z")


def changed(path: str, value: Any) -> Any:
    """The JSON of a spec with one thing in it changed; a `path` of keys and numbers with dots."""
    whole = json.loads(json.dumps(spec().to_json()))
    *way, last = path.split(".")
    at = whole
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value
    return whole


TAMPERED = {
    "not an object": [1],
    "a field too many": changed("pickle", "x"),
    "a kind that is none": changed("variables.0.kind", "pixels"),
    "a name that is a path": changed("variables.0.name", "../../x"),
    "two of one name": changed("variables.1.name", "x"),
    "a shape of text": changed("variables.0.shape", "3"),
    "a shape of floats": changed("variables.0.shape", [3.0]),
    "a negative shape": changed("variables.0.shape", [-3]),
    "a truth for a number": changed("count", True),
    "levels where there are none": changed("variables.0.levels", 4),
    "no levels where there must be": changed("condition.levels", None),
    "labels that are too few": changed("condition.labels", ["a"]),
    "an infinite range": changed("variables.0.high", float("inf")),
    "a range the wrong way round": changed("variables.0.low", 1e9),
    "a std of zero": changed("variables.0.std", [1.0, 0.0, 1.0]),
    "a mean too short": changed("variables.0.mean", [1.0, 0.0]),
    "no variables": changed("variables", []),
    "a fingerprint cut short": changed("fingerprint", "abc"),
    "a split too many": changed("splits.secret", 3),
    "splits that do not add up": changed("splits.train", 33),
    "splits that are no object": changed("splits", [1, 2]),
    "no rows to train on": changed("splits", {"train": 0, "validation": 36, "test": 4}),
}


@pytest.mark.parametrize("value", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_description_is_refused_in_one_sentence(value: Any) -> None:
    with pytest.raises(InputError) as refused:
        DataSpec.from_json(value)
    assert str(refused.value).isprintable()


def test_the_description_needs_neither_torch_nor_numpy() -> None:
    code = "import sys, lowerbound.data.spec, lowerbound.data.likelihoods; print({'torch', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
