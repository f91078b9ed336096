"""Options of annealed importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowerbound.evaluation.annealing import Walk


@dataclass(frozen=True)
class Walking:
    """How far annealed importance sampling walks."""

    steps: int = 200
    """Densities between posterior and joint."""
    chains: int = 16
    """Walks for each datum."""

    def walk(self) -> Walk:
        """The same as the evaluation has it."""
        from lowerbound.evaluation.annealing import Walk

        return Walk(steps=self.steps, chains=self.chains)
