"""The verb infill: what may stand in the gaps of a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from lowerbound.cli.condition import Condition
from lowerbound.cli.progress import watcher
from lowerbound.cli.verb import Answer, Flat, Named, OfRun

if TYPE_CHECKING:
    from lowerbound.evaluation.infill import Infilled


@final
@dataclass(frozen=True, kw_only=True)
class Infill(OfRun):
    """Fill the gaps of texts: ___ stands for a word that is to be found, _ for a character.

    Printed are fillings, each of all gaps together, as often as the model finds them probable given what is there; the
    likeliest words of each gap; and log p of what is there, the gaps summed over. Works with every decoder: z is drawn
    given what is there, the gaps given z and what comes before them, and all are weighed by what comes after.
    """

    texts: Named[tuple[str, ...]]
    """Texts with gaps, such as "a small ___ with ___ wings"."""
    draws: int = 5
    """Fillings of each text."""
    particles: int = 500
    """Draws of z and of the gaps, weighed."""
    rounds: int = 2
    """How often such are drawn; what one round finds says where the next looks for z."""
    seed: int = 0
    """Fixes what is drawn."""
    condition: Flat[Condition] = field(default=Condition())

    def answer(self) -> Answer:
        from lowerbound.evaluation.infill import Infilling

        model = self.open()
        manner = Infilling(self.draws, self.particles, self.rounds)
        told, watch = self.condition.tell(model), watcher(self.common, "texts")
        found = told.infill(list(self.texts), manner=manner, seed=self.seed, watch=watch)
        facts = [_facts(found, row, text) for row, text in enumerate(self.texts)]
        return Answer({"texts": facts}, "\n\n".join(map(_shown, facts)))


def _facts(found: Infilled, row: int, text: str) -> dict[str, Any]:
    numbers = {name: float(getattr(found, name)[row]) for name in ("log_p", "stderr", "ess", "khat")}
    finite = {name: value if abs(value) < float("inf") else None for name, value in numbers.items()}
    return {"text": text, "filled": found.texts[row].tolist(), "words": list(found.words[row]), **finite}


def _shown(facts: dict[str, Any]) -> str:
    from lowerbound.core.psis import RELIABLE_K

    gaps = [", ".join(f"{word} {share:.2f}" for word, share in gap.items()) for gap in facts["words"]]
    lines = [*facts["filled"], *(f"gap {number}: {words}" for number, words in enumerate(gaps, 1))]
    if facts["log_p"] is not None:
        lines.append(f"log p of what is there: {facts['log_p']:.2f} ± {facts['stderr'] or 0:.2f} nats")
    if facts["khat"] is not None and facts["khat"] > RELIABLE_K:
        lines.append("few draws carry all the weight (Pareto k above 0.7); use more --particles")
    return "\n".join(lines)
