"""How a model is trained, as plain values: no torch here, so that `--help` is quick."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, final, get_type_hints

from lowerbound.arguments import UNBOUNDED, conformed
from lowerbound.errors import InputError


@dataclass(frozen=True)
class Options:
    """How a model is trained, as it was asked for and not yet checked: what a command line is read into."""

    epochs: int = 50
    """Passes over the training rows."""

    batch_size: int = 128
    """Rows a step, over all processes together; each pass leaves out the rows of an incomplete last batch."""

    lr: float = 1e-3
    """Learning rate of Adam at its highest."""

    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """Learning rate over time: constant; down to 0 along a half cosine; or a tenth at 1/2, again at 3/4."""

    lr_warmup: int = 0
    """Steps over which the learning rate first rises from 0 in a straight line."""

    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW); 0 is plain Adam."""

    epsilon: float = 1e-8
    """Adam's epsilon, added to the root of the second moment."""

    clip: float | None = None
    """Largest norm of the whole gradient; longer ones are scaled down to it."""

    ema: float = 0.0
    """Decay of a moving average of the weights, which is then what is validated and kept; 0 keeps none."""

    patience: int | None = None
    """Epochs without a better validation bound after which to stop; the best weights are kept in any case."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 runs matrix products in bfloat16; auto does so where the device and the model's size reward it."""

    compile: Literal["auto", "on", "off"] = "auto"
    """Whether torch.compile builds the step; auto does so where it is known to pay."""

    seed: int = 0
    """Fixes the first weights, the order of the rows and every draw: same seed, same run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU if there is one."""

    tensorboard: bool = False
    """Also write the metrics for TensorBoard, into the run's folder."""

    checkpoint_seconds: float = 30.0
    """Time between checkpoints, in seconds."""


@final
@dataclass(frozen=True)
class Settings(Options):
    """How a model is trained; what it is, is the recipe's.

    Example:
        >>> Settings(epochs=3).batch_size
        128
        >>> Settings(epochs=0)
        Traceback (most recent call last):
        ...
        lowerbound.errors.InputError: setting epochs must be a whole number of at least 1, not 0
    """

    def __post_init__(self) -> None:
        """Refuse a value of the wrong type or out of its range with an `InputError`."""
        for name, hint in get_type_hints(Settings).items():
            limits = RANGES.get(name, UNBOUNDED)
            value = conformed(f"setting {name}", getattr(self, name), hint, limits)
            object.__setattr__(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read settings from a JSON object; `InputError` names what is unknown or ill-typed."""
        if not isinstance(value, Mapping):
            raise InputError("the settings must be an object of names and values")
        unknown = sorted(set(value) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise InputError(f"there is no setting {unknown[0]!r}")
        return cls(**value)


RANGES = {
    "epochs": (1, 10**9),
    "batch_size": (1, 10**9),
    "lr": (0.0, 1e6),
    "lr_warmup": (0, 10**12),
    "weight_decay": (0.0, 1e6),
    "epsilon": (0.0, 1e6),
    "clip": (1e-12, math.inf),
    "ema": (0.0, 1 - 1e-9),
    "patience": (1, 10**9),
    "seed": (0, 2**63 - 1),
    "checkpoint_seconds": (0.0, 1e9),
}
"""The least and the greatest value of each number, both allowed."""
