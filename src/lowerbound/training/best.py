"""The best weights so far, by the objective on the validation split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn


@final
class Best:
    """Keeps a copy of the weights whenever the score has risen, and counts the epochs since.

    Example:
        >>> best = Best()
        >>> best.offer(-90.0, 1, nn.Linear(1, 1)), best.offer(-91.0, 2, nn.Linear(1, 1)), best.stale
        (True, False, 1)
    """

    def __init__(self) -> None:
        self.score = -math.inf
        self.last: float | None = None
        self.epoch = 0
        self.stale = 0
        self.weights: dict[str, Tensor] = {}

    def offer(self, score: float, epoch: int, module: nn.Module) -> bool:
        """Keep the module's weights if this score is the best; one that is not a number is not."""
        better, self.last = score > self.score, score
        self.stale = 0 if better else self.stale + 1
        if better:
            self.score, self.epoch = score, epoch
            self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
        return better

    def facts(self) -> dict[str, Any]:
        """Return all but the weights, as JSON."""
        score = self.score if math.isfinite(self.score) else None
        return {"score": score, "epoch": self.epoch, "stale": self.stale}

    def load(self, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Go on from what `facts` returned."""
        self.score = -math.inf if facts["score"] is None else facts["score"]
        self.epoch, self.stale = facts["epoch"], facts["stale"]
        self.weights = dict(weights)
