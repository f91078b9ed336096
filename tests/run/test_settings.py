"""Settings are checked before anything is done with them."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from lowerbound.errors import InputError
from lowerbound.run.settings import Settings

REFUSED: dict[str, list[Any]] = {
    "epochs": [0, -1, 1.5, "3", True, None],
    "batch_size": [0, 2.0],
    "lr": [-1e-3, math.nan, math.inf, "fast", None],
    "schedule": ["linear", 3],
    "lr_warmup": [-1],
    "clip": [0.0, -1.0],
    "ema": [1.0, -0.1],
    "patience": [0],
    "precision": ["fp16"],
    "compile": ["yes", True],
    "seed": [-1, 2**64],
    "device": ["tpu"],
    "tensorboard": [1],
    "checkpoint_seconds": [-1.0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"setting {name} must be"):
        Settings(**{name: value})


def test_settings_come_back_from_json() -> None:
    settings = Settings(epochs=3, clip=1, schedule="cosine", patience=4)
    assert Settings.from_json(settings.to_json()) == settings
    assert isinstance(settings.clip, float)


@pytest.mark.parametrize("value", [[], "fast", {"epoch": 3}])
def test_json_that_is_no_settings_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        Settings.from_json(value)


def test_settings_need_no_torch() -> None:
    code = "import sys, lowerbound.run.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
