"""What the tests of training share: small data, small runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.reading import Reading
from lowerbound.run.folder import Run
from lowerbound.run.settings import Settings


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_data("digits")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def new_run(tmp_path: Path, digits: Dataset) -> Callable[..., Run]:
    """Make a run of a small model on digits; arguments are the settings'."""

    def make(name: str = "run", arguments: dict[str, Any] | None = None, recipe: str = "vae", **settings: Any) -> Run:
        model = {"latent": 2, "hidden": [16], **(arguments or {})}
        chosen = Settings(**{"epochs": 2, "batch_size": 256, "precision": "fp32", **settings})
        return Run.create(tmp_path / name, recipe, model, digits.spec, chosen, Reading("digits"))

    return make
