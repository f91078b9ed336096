"""Latent-variable models whose numbers are true.

    import lowerbound
    model = lowerbound.train("vae", x, epochs=20)      # x: an array with a row a datum, a file, or a named data set
    pictures = model.sample(64)

What is named here is imported when it is first used, so that `import lowerbound` is instant; torch comes with it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowerbound import core, nets, recipes
    from lowerbound.data.dataset import Dataset, load_data
    from lowerbound.errors import InputError, Interrupted, LowerboundError
    from lowerbound.fitted import Fitted
    from lowerbound.fitting import load, resume, train
    from lowerbound.recipes.registry import Setup, recipe
    from lowerbound.run.folder import Run
    from lowerbound.run.settings import Settings

__all__ = [
    "Dataset",
    "Fitted",
    "InputError",
    "Interrupted",
    "LowerboundError",
    "Run",
    "Settings",
    "Setup",
    "core",
    "load",
    "load_data",
    "nets",
    "recipe",
    "recipes",
    "resume",
    "train",
]

_HOME = {
    "Dataset": "lowerbound.data.dataset",
    "Fitted": "lowerbound.fitted",
    "InputError": "lowerbound.errors",
    "Interrupted": "lowerbound.errors",
    "LowerboundError": "lowerbound.errors",
    "Run": "lowerbound.run.folder",
    "Settings": "lowerbound.run.settings",
    "Setup": "lowerbound.recipes.registry",
    "load": "lowerbound.fitting",
    "load_data": "lowerbound.data.dataset",
    "recipe": "lowerbound.recipes.registry",
    "resume": "lowerbound.fitting",
    "train": "lowerbound.fitting",
}
"""Name -> the module that defines it; names that are not here are modules themselves."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'lowerbound' has no attribute {name!r}")
    home = _HOME.get(name)
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"lowerbound.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
