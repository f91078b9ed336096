"""Meters: what a model's traces over a data set add up to, beyond the figures that every model has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from lowerbound.core.latent import Trace


class Meter(ABC):
    """Figures of a model in the making: shown the trace of each chunk of the data, asked at the end.

    A recipe names the meters that suit it (how much of a codebook is used, how many units are dead); `evaluate` runs
    them beside its own figures.
    """

    @abstractmethod
    def add(self, trace: Trace) -> None:
        """Take in the trace of a chunk of the data."""

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """The summary by name, as JSON values."""
