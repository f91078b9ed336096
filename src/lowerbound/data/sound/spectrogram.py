"""Spectrograms in decibels, and sound out of them again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lowerbound.errors import InputError

WORD = "sound"
"""How the form of a variable that holds spectrograms begins."""

SECONDS = 0.032
"""About how long a window is by default: long enough to tell the harmonics of a voice apart."""

FLOOR = -70.0
"""Decibels that silence has by default; what is softer is lost."""

OVERLAP = 4
"""Windows over each sample by default: with two, phases are hard to find again."""


@final
@dataclass(frozen=True)
class Form:
    """How a spectrogram was made, which is what it takes to turn it back into sound.

    Window: samples in one, a power of two; hop: from one to the next; floor: in dB.

        X[k, t] = 2/Σw · Σ_n w[n] x[t·hop + n − window/2] exp(−2πikn / window)        w: Hann's
        L[k, t] = 10 log10(|X[k, t]|² + 10^(floor/10))

    in decibels, of which a sine of full scale has 0 and silence has the floor. L is smooth in X, and says |X|.

    >>> form = Form.usual(8_000)
    >>> str(form), form.bins
    ('sound:8000:256:64:-70', 129)
    >>> Form.parse(str(form)) == form
    True
    """

    rate: int
    window: int
    hop: int
    floor: float = FLOOR

    def __post_init__(self) -> None:
        if self.rate < 1 or not 2 <= 2 * self.hop <= self.window or self.window % 2 or not math.isfinite(self.floor):
            raise InputError(f"{self} is no form of sound: a window is even and of two hops or more")

    @classmethod
    def usual(cls, rate: int) -> Form:
        """Windows of about 32 ms, four over each sample."""
        window = max(16, 1 << round(math.log2(SECONDS * rate)))
        return cls(rate, window, window // OVERLAP)

    @classmethod
    def parse(cls, words: str | None) -> Form:
        """Read what `str` wrote.

        Raises:
            InputError: words of another kind.
        """
        try:
            word, rate, window, hop, floor = (words or "").split(":")
            if word != WORD:
                raise ValueError
            return cls(int(rate), int(window), int(hop), float(floor))
        except ValueError:
            raise InputError(f"data of the form {words!r} are no sound; train a model on sounds") from None

    def __str__(self) -> str:
        return f"{WORD}:{self.rate}:{self.window}:{self.hop}:{self.floor:g}"

    @property
    def bins(self) -> int:
        """Frequencies of a frame, from 0 to half the rate."""
        return self.window // 2 + 1

    def spectrum(self, x: Tensor) -> Tensor:
        """X of sound (..., N), N a multiple of the hop, with silence before and after: complex (..., bins, N / hop)."""
        rows = x.reshape(-1, x.shape[-1])
        w = self._weights(x)
        found = torch.stft(rows, self.window, self.hop, window=w, pad_mode="constant", return_complex=True)
        return found[..., :-1].reshape(*x.shape[:-1], self.bins, -1) * (2 / w.sum())

    def wave(self, X: Tensor) -> Tensor:
        """The sound (..., T·hop) whose spectrum is nearest to X (..., bins, T) in squares: X's own where it has one."""
        w, frames = self._weights(X.real), X.shape[-1]
        rows = X.reshape(-1, self.bins, frames) * (w.sum() / 2)
        found = torch.istft(rows, self.window, self.hop, window=w, length=frames * self.hop)
        return found.reshape(*X.shape[:-2], -1)

    def levels(self, magnitudes: Tensor) -> Tensor:
        """Decibels L of magnitudes |X|."""
        return 10 * torch.log10(magnitudes.square() + self._silence)

    def magnitudes(self, levels: Tensor) -> Tensor:
        """Magnitudes |X| of decibels; below the floor there is nothing."""
        return (torch.pow(10, levels / 10) - self._silence).clamp_min(0).sqrt()

    @property
    def _silence(self) -> float:
        return float(10 ** (self.floor / 10))

    def _weights(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.window, dtype=like.dtype, device=like.device)


def inconsistency(form: Form, x: Tensor, magnitudes: Tensor) -> Tensor:
    """Spectral convergence of sound (..., N): ‖ |X(x)| − M ‖ / ‖M‖, over all frequencies, those below 0 too; (...)."""
    gap = _norm(form.spectrum(x).abs() - magnitudes)
    return gap / _norm(magnitudes).clamp_min(torch.finfo(gap.dtype).tiny)


def _norm(M: Tensor) -> Tensor:
    """The Euclidean norm over all frequencies: those between 0 and half the rate stand for their negatives too."""
    weights = torch.full((M.shape[-2], 1), 2.0, dtype=M.dtype, device=M.device)
    weights[[0, -1]] = 1.0
    return (weights * M.square()).sum((-2, -1)).sqrt()
