"""Poems that a model of quatrains writes: at random, between two, in the neighbourhood of one, with given heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, final

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.arguments import Count, NonNegative, conformed
from lowerbound.core.autoregressive import END, UNKNOWN, Choice
from lowerbound.core.latent import Latent
from lowerbound.core.marginal import summarise
from lowerbound.data.chinese import Readings, readings
from lowerbound.data.poems import LINES, lines_of
from lowerbound.data.spec import DataSpec
from lowerbound.data.text.vocabulary import Vocabulary
from lowerbound.errors import InputError
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.composing import InOrder, Rules, composed
from lowerbound.evaluation.infill import GAPS, Gapped, Infilling, Particles, drawn, filled, gapped_texts
from lowerbound.evaluation.paths import path
from lowerbound.evaluation.prosody import is_whole, keeps_order, kinds, rhymes
from lowerbound.evaluation.quatrains import Reading, chosen_form, chosen_kind, of_quatrains, read
from lowerbound.evaluation.rawdata import to_array
from lowerbound.recipes.registry import Setup

Told = Mapping[int, str]
"""Place -> character."""

Codes = Mapping[int, int]
"""Place -> code."""

NOTHING: Told = {}

SEARCH = Infilling(particles=500, rounds=3)
"""How z is sought by the encoder that explains the characters given."""

PRIOR_DRAWS = 2_000
"""Draws of z from the prior that it is sought among too: where few characters are told, that is often the better."""

ROUNDS = 100
"""How often a model that cannot be told the form is asked for poems of it before it is given up."""

BLANK = "□"
"""What is printed for a character that the model has none for."""


class Trained(Protocol):
    """What a poet needs of a trained model; `Fitted` is one."""

    setup: Setup
    spec: DataSpec


@final
@dataclass(frozen=True)
class Manner:
    """How a poem is written once its z is known.

    temperature: 0 writes the likeliest characters, 1 draws them from p(x|z), and between the two the likelier ones are
    drawn more often than that. constrained: the poem keeps a pattern of tones, rhymes, and has no character twice. Of a
    decoder that writes all at once it is the likeliest such poem (`composing.composed`), of one that writes in order
    each character is chosen among those that can still be gone on from (`composing.InOrder`).
    """

    temperature: float = 0.0
    constrained: bool = False

    def __post_init__(self) -> None:
        conformed("temperature", self.temperature, NonNegative)


USUAL = Manner()


@final
class Poem(NamedTuple):
    """A poem: its characters, and the label under which it was written, None where none was told."""

    text: str
    kind: str | None

    @property
    def lines(self) -> tuple[str, ...]:
        """Its four lines, or all of it where it is no quatrain."""
        return lines_of(self.text) if is_whole(self.text) else (self.text,)

    def judged(self, readings: Readings) -> dict[str, Any]:
        """Which of its lines keep a pattern of tones, and whether it keeps an order and rhymes; see `prosody`."""
        in_tone, whole = [bool(kinds(line, readings)) for line in self.lines], is_whole(self.text)
        ordered, rhymed = (whole and rule(self.text, readings) for rule in (keeps_order, rhymes))
        return {"lines_in_tone": in_tone, "in_order": ordered, "rhymed": rhymed}


@final
class Poet:
    """A trained model of quatrains and the poems that it writes, in its own script.

    model: a run's, of a recipe of texts with one latent. form: characters a line, 5 or 7; by default the first that the
    model knows. dynasty: whose poems to write like, of those that the model is told; by default the first.

    Raises:
        InputError: a model that is not of quatrains, or has none of this form or dynasty.
    """

    def __init__(
        self, model: Trained, form: int | None = None, dynasty: str | None = None, manner: Manner = USUAL
    ) -> None:
        self.variable, self.model, self.manner = of_quatrains(model.spec), of_one_latent(model.setup), manner
        self.form = chosen_form(self.variable, form)
        self.kind = chosen_kind(model.setup, self.form, dynasty)
        asking = Asking(model.setup, model.spec)
        self.asking = asking if self.kind is None else asking.told(self.kind)

    @property
    def places(self) -> int:
        """Characters of a poem."""
        return LINES * self.form

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The model's."""
        return Vocabulary.by(self.variable)

    @cached_property
    def rules(self) -> Rules:
        """What the rules see in its characters."""
        return Rules.of(self.vocabulary.symbols, readings())

    def read(self, text: str, simplified: bool = False) -> Reading:
        """A text of the user's in the model's characters; see `quatrains.read`."""
        return read(text, self.vocabulary.symbols, simplified)

    def random(self, count: int, seed: int = 0) -> list[Poem]:
        """Poems of z ~ p(z)."""
        conformed("the number of poems", count, Count)
        with self.asking.drawing(seed, "poems"):
            return self._enough(lambda: self._written(self._generated(count)), count)

    def between(self, a: str, b: str, steps: int = 7, seed: int = 0) -> list[Poem]:
        """Poems along the arc between the codes of two: first what the model makes of the one, last of the other."""
        start, end = (self._posterior(poem).mean[0] for poem in (a, b))
        with self.asking.drawing(seed, "between"):
            return self._written(self._decoded(path(start, end, steps, "spherical")))

    def near(self, poem: str, count: int, seed: int = 0) -> list[Poem]:
        """Poems of z ~ q(z|x) of a poem x."""
        conformed("the number of poems", count, Count)
        q = self._posterior(poem)
        with self.asking.drawing(seed, "near"):
            return self._written(self._decoded(q.sample((count,))[:, 0]))

    def like(self, line: str, count: int, seed: int = 0) -> list[Poem]:
        """Poems of z ~ p(z | the first line is this), whose own first line may be another."""
        return self._told(dict(enumerate(line)), count, seed, {})

    def acrostic(self, heads: str, count: int = 1, seed: int = 0) -> list[Poem]:
        """Poems whose lines begin with these four characters: of z ~ p(z | heads), which stand where they are."""
        if len(heads) != LINES:
            raise InputError(f"an acrostic takes {LINES} characters, one for each line, not {len(heads)}")
        told = {line * self.form: head for line, head in enumerate(heads)}
        return self._told(told, count, seed, told)

    def _told(self, told: Told, count: int, seed: int, pinned: Told) -> list[Poem]:
        conformed("the number of poems", count, Count)
        text = "".join(told.get(place, GAPS["characters"]) for place in range(self.places))
        (gapped,) = gapped_texts(self.asking, [text])
        with self.asking.drawing(seed, "told"):
            found = explaining(gapped)
            z = found.z[torch.multinomial(torch.softmax(found.log_w[:, 0], 0), count, replacement=True), 0]
            return self._written(self._decoded(z), pinned)

    def _enough(self, some: Callable[[], list[Poem]], count: int) -> list[Poem]:
        """So many poems, and of the form asked for where the model was not told it."""
        if self.kind is not None or not self.variable.missing:
            return some()
        found: list[Poem] = []
        for _ in range(ROUNDS):
            found += [poem for poem in some() if len(poem.text) == self.places]
            if len(found) >= count:
                return found[:count]
        raise InputError(
            f"of {ROUNDS * count:,} poems fewer than {count:,} have lines of {self.form} characters, and the model is "
            "not told their form; ask for the other one, or train a model with --told condition"
        )

    def _generated(self, count: int) -> Distribution:
        return self.model.generate(count, next(self.asking.shown([count])))[self.variable.name]

    def _decoded(self, z: Tensor) -> Distribution:
        return self.model.decode(z, next(self.asking.shown([len(z)])))[self.variable.name]

    def _posterior(self, poem: str) -> Any:
        if len(poem) != self.places:
            raise InputError(f"a poem of this form has {self.places} characters, not {len(poem)}; give one that has")
        with torch.no_grad():
            return next(self.asking.posteriors(np.array([poem])))

    def _written(self, px: Distribution, pinned: Told = NOTHING) -> list[Poem]:
        fixed = {place: self.vocabulary.codes[character] for place, character in pinned.items()}
        write = self._by_rule if self.manner.constrained else self._freely
        return [Poem(self._text(codes), self.kind) for codes in write(px, fixed)]

    def _freely(self, px: Any, fixed: Codes) -> list[list[int]]:
        heat = self.manner.temperature
        return at_once(px, fixed, heat) if isinstance(px, Independent) else px.written(going_on(fixed, heat)).tolist()

    def _by_rule(self, px: Any, fixed: Codes) -> list[list[int]]:
        heat = self.manner.temperature
        if isinstance(px, Independent):
            return at_once_by_rule(px, self.rules, self.form, fixed, heat)
        return px.written(keeping(len(px.given), self.form, self.rules, fixed, heat)).tolist()

    def _text(self, codes: Sequence[int]) -> str:
        return self.vocabulary.text(codes).replace(self.vocabulary.symbols[UNKNOWN], BLANK)


def of_one_latent(setup: Setup) -> Latent:
    """The model, if it is of one latent."""
    if not isinstance(setup.model, Latent):
        raise InputError("poems are written by a model with one latent; train one, such as text-vae")
    return setup.model


def explaining(text: Gapped) -> Particles:
    """Draws of z weighed by the characters that are told, of those from the prior or from the encoder's readings.

    Those are taken that have the greater effective sample size. Either are importance samples of p(z | what is told).
    """
    prior = text.model.prior(text.batch.c)
    tried = drawn(text, prior.expand((1,)), PRIOR_DRAWS), filled(text, SEARCH)
    return max(tried, key=lambda found: float(summarise(found.log_w).ess))


def hot(logits: Tensor, temperature: float) -> Tensor:
    """Logits with so much noise that the greatest is a draw at this temperature; at 0 there is none.

    Emil Julius Gumbel, "Statistical theory of extreme values and some practical applications", 1954.
    """
    return logits - temperature * torch.empty_like(logits).exponential_().log() if temperature else logits


def at_once(px: Independent, fixed: Codes, temperature: float) -> list[list[int]]:
    """Codes (N, L) of independent places, some of them fixed; no poem ends before those."""
    logits = hot(px.base_dist.logits.clone(), temperature)
    logits[:, : max(fixed, default=0), END] = -torch.inf
    codes = logits.argmax(-1)
    for place, code in fixed.items():
        codes[:, place] = code
    return codes.tolist()


def at_once_by_rule(px: Independent, rules: Rules, form: int, fixed: Codes, temperature: float) -> list[list[int]]:
    """The likeliest that keep the rules, each closed by its end."""
    noisy = hot(px.base_dist.logits.log_softmax(-1)[:, : LINES * form], temperature)
    found = (composed(to_array(each).astype(np.float64), rules, fixed) for each in noisy)
    return [[*poem.codes.tolist(), END] for poem in found]


def keeping(count: int, form: int, rules: Rules, fixed: Codes, temperature: float) -> Choice:
    """A choice that keeps so many poems to the rules, and ends them."""
    poems = [InOrder(form, rules, fixed) for _ in range(count)]

    def choose(place: int, logits: Tensor) -> Tensor:
        if place >= LINES * form:
            return torch.full((count,), END, device=logits.device)
        allowed = torch.from_numpy(np.stack([poem.allowed(place) for poem in poems])).to(logits.device)
        codes = hot(logits, temperature).masked_fill(~allowed, -torch.inf).argmax(-1)
        for poem, code in zip(poems, codes.tolist()):
            poem.take(place, code)
        return codes

    return choose


def going_on(fixed: Codes, temperature: float) -> Choice:
    """A choice that keeps to what is fixed, and ends no poem before it."""
    last = max(fixed, default=0)

    def choose(place: int, logits: Tensor) -> Tensor:
        noisy = hot(logits.clone(), temperature)
        noisy[:, END] = -torch.inf if place < last else noisy[:, END]
        return torch.full((len(noisy),), fixed[place], device=noisy.device) if place in fixed else noisy.argmax(-1)

    return choose
