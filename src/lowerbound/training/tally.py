"""Running sums of a step's figures, kept on the device and read seldom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Figures:
    """What some steps came to: sums of each term, of the gradient's norm and of the steps that counted."""

    names: tuple[str, ...] = ()
    sums: tuple[float, ...] = ()
    steps: int = 0

    def since(self, earlier: Figures) -> Figures:
        """Return what came after an earlier reading of the same sums."""
        before = earlier.sums or (0.0,) * len(self.sums)
        sums = tuple(now - then for now, then in zip(self.sums, before))
        return Figures(self.names, sums, self.steps - earlier.steps)

    @property
    def counted(self) -> int:
        """Steps that were taken."""
        return round(self.sums[-1]) if self.sums else 0

    @property
    def skipped(self) -> int:
        """Steps left out because their gradient was not finite."""
        return self.steps - self.counted

    @property
    def means(self) -> dict[str, float]:
        """The mean over the steps taken of each term, in nats, and of the gradient's norm; empty if none was."""
        names = (*self.names, "gradient_norm")
        return {name: total / self.counted for name, total in zip(names, self.sums)} if self.counted else {}

    @property
    def loss(self) -> float:
        """The mean of the sum of the terms, in nats per datum; NaN if no step was taken."""
        return sum(self.sums[: len(self.names)]) / self.counted if self.counted else float("nan")


@final
class Tally:
    """Sums over steps; adding to it makes the host wait for nothing.

    Example:
        >>> tally = Tally()
        >>> tally.add({"rate": torch.tensor(2.0)}, torch.tensor(1.0), torch.tensor(True))
        >>> tally.add({"rate": torch.tensor(torch.nan)}, torch.tensor(torch.nan), torch.tensor(False))
        >>> tally.read().means, tally.read().skipped
        ({'rate': 2.0, 'gradient_norm': 1.0}, 1)
    """

    def __init__(self, names: tuple[str, ...] = (), sums: Tensor | None = None, steps: int = 0) -> None:
        self.names = names
        self.sums = sums
        self.steps = steps

    @torch.no_grad()
    def add(self, terms: Mapping[str, Tensor], norm: Tensor, finite: Tensor) -> None:
        """Add the figures of one step; those of a step that was skipped count for nothing."""
        values = torch.stack([*terms.values(), norm, torch.ones_like(norm)])
        if self.sums is None:
            self.names = tuple(terms)
            self.sums = torch.zeros(len(values), dtype=torch.float64, device=values.device)
        self.sums += torch.where(finite, values, 0)
        self.steps += 1

    def read(self) -> Figures:
        """Return the sums so far; the host waits for the device."""
        sums = () if self.sums is None else tuple(self.sums.tolist())
        return Figures(self.names, sums, self.steps)
