"""What recipes share whose posteriors are, or end in, a climb in each datum's own bound."""

from __future__ import annotations

from lowerbound.core import AnalyticELBO, Conditional, Latent, Pathwise, whole
from lowerbound.recipes.parts import Ends
from lowerbound.recipes.registry import Setup


def climbing(prior: Conditional, posterior: Conditional, ends: Ends, validation_rows: int) -> Setup:
    """The setup of a posterior that reads all of a batch; since it is dear to measure, few rows are validated."""
    return Setup(
        Latent(prior, posterior, ends.likelihood, whole),
        ends.views,
        AnalyticELBO(),
        Pathwise(),
        start=ends.start,
        validation_rows=validation_rows,
    )
