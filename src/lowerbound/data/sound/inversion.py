"""Sound whose spectrogram is given: phases are sought that fit one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lowerbound.data.sound.spectrogram import Form
from lowerbound.errors import InputError
from lowerbound.randomness import derive


@final
@dataclass(frozen=True)
class Inversion:
    """Griffin and Lim's way: by turns the magnitudes are put right, and the phases made those of a sound.

        Y ← X(x(M · t/|t|)),        t ← Y + momentum·(Y − Y before)

    where x(·) is the nearest sound and X(·) its spectrum. Without momentum the spectral convergence never rises from
    one step to the next. Daniel Griffin and Jae Lim, "Signal estimation from modified short-time Fourier transform",
    1984; with momentum, Nathanaël Perraudin, Peter Balazs and Peter Søndergaard, "A fast Griffin-Lim algorithm", 2013.

    steps: how often. momentum: from 0 (plain) to below 2. seed: fixes the phases at the start.

    >>> form = Form.usual(8_000)
    >>> M = form.spectrum(torch.sin(torch.arange(4_096) * 0.5)).abs()
    >>> Inversion(steps=4).sound(form, M).shape
    torch.Size([4096])
    """

    steps: int = 100
    momentum: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.momentum < 2:
            raise InputError("Griffin and Lim's way takes 1 step or more, and a momentum from 0 to below 2")

    def sound(self, form: Form, magnitudes: Tensor) -> Tensor:
        """A sound (..., T·hop) of magnitudes (..., bins, T)."""
        t = self._start(magnitudes)
        before = torch.zeros_like(t)
        for _ in range(self.steps - 1):
            found = form.spectrum(form.wave(magnitudes * torch.sgn(t)))
            t, before = found + self.momentum * (found - before), found
        return form.wave(magnitudes * torch.sgn(t))

    def _start(self, magnitudes: Tensor) -> Tensor:
        """Phases drawn on the host, so that every device starts with the same."""
        chance = torch.Generator().manual_seed(derive(self.seed, "phases"))
        angles = torch.rand(magnitudes.shape, generator=chance, dtype=torch.float64) * (2 * torch.pi)
        return torch.polar(torch.ones_like(angles), angles).to(magnitudes.device, magnitudes.dtype.to_complex())
