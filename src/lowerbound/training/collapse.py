"""Whether z carries anything: its rate on some validation rows after each epoch, and a warning where there is none."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import final

import torch

from lowerbound.core import Rate
from lowerbound.data.rows import Sampler
from lowerbound.randomness import derive, reseed
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import modules_of
from lowerbound.training.start import spread

LEAST_RATE = 0.1
"""Nats a datum. A code that says less than this is none."""

EPOCHS, STEPS = 3, 300
"""So long training may take before z has to carry something."""

ROWS = 256
"""Validation rows looked at; a mean over them is well within a few hundredths of a nat where there is next to none."""


REMEDIES = {
    "beta": "a smaller beta",
    "anneal": "anneal",
    "free_bits": "free_bits",
    "word_dropout": "word_dropout (of a decoder that reads the words before)",
    "lag": "lag (an encoder that learns ahead)",
}
"""What may keep z in use, by the argument of a recipe."""


@final
class Collapse:
    """Watches over the rate, KL(q(z|x) ‖ p(z)), and says once that z carries nothing: the posterior has collapsed.

    arguments: those that the recipe takes, of which the warning names the remedies.
    """

    def __init__(
        self,
        rows: Sampler,
        seed: int,
        device: torch.device,
        most: int | None = None,
        arguments: Collection[str] = tuple(REMEDIES),
    ) -> None:
        self.rows, self.seed, self.device, self.arguments = rows, seed, device, arguments
        self.numbers = spread(rows.count, min(ROWS, most or ROWS), device)
        self.said = False

    @torch.no_grad()
    def rate(self, setup: Setup) -> float | None:
        """Return the mean rate in nats a datum; None without rows, in a model without a bound, or if no number."""
        if not self.rows.count:
            return None
        modules = modules_of(setup).eval()
        reseed(self.device, derive(self.seed, "rate"))
        trace = setup.model.trace(setup.see(self.rows.batch(self.numbers)), setup.particles, setup.estimator)
        rate = Rate()(trace)["rate"].mean().item() if trace.proper else math.nan
        modules.train()
        return rate if math.isfinite(rate) else None

    def warning(self, rate: float | None, epoch: int, step: int) -> str | None:
        """Return a sentence if this rate is one to be warned of, the first time that it is."""
        if self.said or rate is None or rate >= LEAST_RATE or epoch < EPOCHS or step < STEPS:
            return None
        self.said = True
        known = "".join(f"{remedy}, " for name, remedy in REMEDIES.items() if name in self.arguments)
        return (
            f"z carries nothing: after epoch {epoch} its rate is {rate:.3f} nats a datum, and the decoder does without "
            f"it; try {known}{'or ' if known else ''}a weaker decoder"
        )
