"""Texts with gaps: what may stand in them given the words that are there, and how probable those words are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution, Independent

from lowerbound.arguments import Count, conformed
from lowerbound.core import Batch, Latent, summarise
from lowerbound.core.autoregressive import END, UNKNOWN
from lowerbound.core.observation import observed_log_prob
from lowerbound.core.refinement import coordinates
from lowerbound.data.raw import shown
from lowerbound.data.spec import Variable
from lowerbound.data.text.vocabulary import Vocabulary, is_text
from lowerbound.errors import InputError
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.imputation import VALUES_HELD
from lowerbound.evaluation.rawdata import Array, in_texts, to_array
from lowerbound.evaluation.watching import Watch

GAPS = {"words": "___", "characters": "_"}
"""What is written where one symbol is missing."""

READ_ANEW = 16
"""Completions of each text that the encoder is shown, for the z that it would then propose."""

CANDIDATES = 10
"""Words told of each gap, at most."""


@final
@dataclass(frozen=True)
class Infilling:
    """How gaps are filled.

    draws: fillings of each text. particles: draws of z and of all gaps, weighed by the words that are there. rounds:
    how often such are drawn; from the second on, z is proposed by the encoder's posteriors of texts that were completed
    the round before.
    """

    draws: int = 5
    particles: int = 500
    rounds: int = 2

    def check(self) -> None:
        """Refuse what is no manner."""
        for name in ("draws", "particles", "rounds"):
            conformed(name, getattr(self, name), Count)


USUAL_INFILLING = Infilling()


@final
class Infilled(NamedTuple):
    """Texts with their gaps filled.

    texts: (N, draws), each with all its gaps filled together; a symbol without a code fills none that another can.
    words: for each text, for each of its gaps, the likeliest symbols with their probabilities. log_p, stderr: (N,), log
    p of what is there, the gaps summed over, in nats; in expectation a lower bound. ess, khat: (N,), effective sample
    size and Pareto k̂ of the particles; above 0.7, distrust the text. truth: (N,), log p of what stood in the gaps given
    what is there, None where that is not known; see `log_truth`.
    """

    texts: Array
    words: tuple[tuple[dict[str, float], ...], ...]
    log_p: Array
    stderr: Array
    ess: Array
    khat: Array
    truth: Array | None


@final
class Gapped(NamedTuple):
    """One text as a model sees it, (1, L), and where its gaps are, of whatever stands in them in `batch`."""

    model: Latent
    variable: Variable
    batch: Batch
    gaps: Tensor

    @property
    def codes(self) -> Tensor:
        """(1, L)."""
        return self.batch.x[self.variable.name]

    @property
    def there(self) -> Tensor:
        """Up to the text's end, (1, L)."""
        mask = self.batch.mask_of(self.variable.name)
        return torch.ones_like(self.gaps) if mask is None else mask

    def shut(self) -> Batch:
        """What an encoder sees: that something stood in each gap, and not what."""
        return replace(self.batch, shown={self.variable.name: torch.where(self.gaps, UNKNOWN, self.codes)})

    def completed(self, codes: Tensor) -> Batch:
        """The text with its gaps filled in M ways, (M, L)."""
        many = self.batch.map(lambda each: each.expand(len(codes), *each.shape[1:]))
        return replace(many, x={self.variable.name: codes})

    def decoded(self, z: Tensor) -> Iterator[Distribution]:
        """p(x|z) of z (K, 1, D), of some of them at a time."""
        at_once = max(1, VALUES_HELD // (self.variable.size * (self.variable.levels or 1)))
        return (self.model.decode(part, self.batch.c)[self.variable.name] for part in z.split(at_once))


@final
class Particles(NamedTuple):
    """K draws of z (K, 1, D) and of what stands in a text's gaps, as codes of all of it (K, 1, L).

    log_ratio: log p(z) − log q(z); log_told: log p of what is there, each symbol given z and all before it; (K, 1).
    """

    z: Tensor
    codes: Tensor
    log_ratio: Tensor
    log_told: Tensor

    @property
    def log_w(self) -> Tensor:
        """Of which p of what is there is the mean, (K, 1)."""
        return self.log_ratio + self.log_told


def infill(
    asking: Asking,
    texts: Any,
    truth: Any = None,
    manner: Infilling = USUAL_INFILLING,
    seed: int = 0,
    watch: Watch | None = None,
) -> Infilled:
    """Texts (N,) with gaps, each of which stands for one symbol (`GAPS`), filled; see `Infilled`.

    truth: the whole texts, if what stood in the gaps is to be scored.

    Raises:
        InputError: a model of no texts, a text without a gap or of too many symbols, or truth of other texts.
    """
    manner.check()
    gapped, found = gapped_texts(asking, _listed(texts), truth), list[Infilled]()
    with asking.drawing(seed, "infill"):
        for text in gapped:
            found.append(_infilled(text, manner, truth is not None))
            if watch:
                watch(len(found), len(gapped))
    return _joined(found)


def _infilled(text: Gapped, manner: Infilling, known: bool) -> Infilled:
    particles = filled(text, manner)
    about = summarise(particles.log_w)
    draws = _resampled(particles.codes, _of_known(text, particles), manner.draws)
    texts = in_texts(to_array(torch.where(text.there, draws, torch.nan)), text.variable)
    truth = to_array(log_truth(text, particles)) if known else None
    log_p, stderr, ess, khat = (to_array(each) for each in (about.log_p, about.stderr, about.ess, about.khat))
    return Infilled(texts[None], (_candidates(text, particles),), log_p, stderr, ess, khat, truth)


def filled(text: Gapped, manner: Infilling = USUAL_INFILLING) -> Particles:
    """Particles of the last of so many rounds."""
    q = text.model.infer(text.shut())
    for _ in range(manner.rounds - 1):
        q = read_anew(text, drawn(text, q, manner.particles))
    return drawn(text, q, manner.particles)


def drawn(text: Gapped, q: Distribution, particles: int) -> Particles:
    """z_k ~ q, and each gap in turn from the model, given z_k and all before it; weighed by the symbols that are there.

        log w_k = log p(z_k) − log q(z_k) + Σ_{t told} log p(x_t | x_<t, z_k)

    The mean of w_k is p of what is told, whatever q is: the gaps are summed over by drawing them from the model. What
    ends in a gap is no text in which more follows, and weighs nothing.
    """
    z = q.sample((particles,))
    codes, log_told = (torch.cat(each) for each in zip(*(fill(px, text) for px in text.decoded(z))))
    if text.variable.missing:
        log_told = log_told.masked_fill(((codes == END) & text.gaps).any(-1), -math.inf)
    return Particles(z, codes, text.model.prior(text.batch.c).log_prob(z) - q.log_prob(z), log_told)


def fill(px: Any, text: Gapped) -> tuple[Tensor, Tensor]:
    """The text with its gaps drawn from p(x|z), (K, 1, L), and log p of what is there under each draw, (K, 1)."""
    told, codes = text.there & ~text.gaps, text.codes
    if isinstance(px, Independent):
        each, log_p = px.sample().to(codes.dtype), px.base_dist.log_prob(codes.expand(*px.batch_shape, -1))
        log_told = torch.where(told, log_p, 0).sum(-1)
    else:
        each, log_told = px.fill(codes.expand(*px.batch_shape, -1), told.expand(*px.batch_shape, -1))
    return torch.where(text.gaps, each, codes), log_told


def read_anew(text: Gapped, found: Particles, parts: int = READ_ANEW) -> Distribution:
    """The mean of the encoder's posteriors of so many completions of the text, drawn by their weights.

    Raises:
        InputError: posteriors that are no Gaussians.
    """
    try:
        values, _, at = coordinates(text.model.infer(text.completed(_resampled(found.codes, found.log_w, parts))))
    except ValueError:
        raise InputError("completed texts are read anew where the posterior is Gaussian; use one round") from None
    equal = D.Categorical(logits=torch.zeros(1, parts, device=found.z.device), validate_args=False)
    return D.MixtureSameFamily(equal, at(*(each.unsqueeze(0) for each in values)), validate_args=False)


def log_truth(text: Gapped, found: Particles) -> Tensor:
    """log p(what stood in the gaps | what is there), (1,) nats.

    p of the whole text is estimated by the same z, and p of what is there by that and the weights of the particles that
    filled the gaps otherwise; so it is never above 0. It errs downwards where few z explain what stood there.
    """
    mask = text.batch.mask_of(text.variable.name)
    whole = torch.cat([observed_log_prob(px, text.codes, mask) for px in text.decoded(found.z)])
    same = (found.codes == text.codes).all(-1)
    truth = torch.logsumexp(found.log_ratio + whole, 0)
    return truth - torch.logaddexp(truth, torch.logsumexp(found.log_w.masked_fill(same, -math.inf), 0))


def _of_known(text: Gapped, found: Particles) -> Tensor:
    """The log weights of those fillings that have a code for every gap; of all where none has."""
    log_w = found.log_w.masked_fill(((found.codes == UNKNOWN) & text.gaps).any(-1), -math.inf)
    return found.log_w if log_w.isneginf().all() else log_w


def _resampled(codes: Tensor, log_w: Tensor, count: int) -> Tensor:
    """So many of texts (K, 1, L), each as often as its weight says, (M, L)."""
    share = torch.softmax(torch.zeros_like(log_w) if log_w.isneginf().all() else log_w, 0)
    return codes[torch.multinomial(share[:, 0], count, replacement=True), 0]


def _candidates(text: Gapped, found: Particles) -> tuple[dict[str, float], ...]:
    """The likeliest symbols of each gap, by the weights of the particles that have them there."""
    share, labels = torch.softmax(found.log_w[:, 0], 0), text.variable.labels or ()
    each = []
    for place in text.gaps[0].nonzero()[:, 0].tolist():
        mass = share.new_zeros(len(labels)).index_add(0, found.codes[:, 0, place].long(), share)
        top = mass.topk(min(CANDIDATES, len(labels)))
        each.append({labels[code]: value for value, code in zip(*(t.tolist() for t in top)) if value > 0})
    return tuple(each)


def gapped_texts(asking: Asking, texts: Sequence[str], truth: Any = None) -> list[Gapped]:
    """Texts with gaps as the model sees them, one by one; see `infill` for what is refused."""
    model, variable = asking.setup.model, asking.spec.variables[0]
    if not is_text(variable) or not isinstance(model, Latent):
        raise InputError("gaps in texts are filled by a model of texts with one latent; train one, such as text-vae")
    gaps = [_gaps(variable, text) for text in texts]
    whole = texts if truth is None else _matching(variable, texts, gaps, _listed(truth))
    seen = (asking.seen(raw.to(asking.device)) for raw in asking.batches(np.array(whole)))
    rows = [batch[row : row + 1] for batch in seen for row in range(batch.size)]
    return [Gapped(model, variable, row, _row(variable, each).to(asking.device)) for row, each in zip(rows, gaps)]


def _listed(texts: Any) -> list[str]:
    return [texts] if isinstance(texts, str) else [str(text) for text in texts]


def _gaps(variable: Variable, text: str) -> list[bool]:
    """Which symbols of a text are gaps."""
    form = variable.form or "words"
    gaps = [symbol == GAPS[form] for symbol in Vocabulary.by(variable).split(text)]
    if not any(gaps):
        raise InputError(f"the text {shown(text)!r} has no gap; write {GAPS[form]} for each of the {form} to be found")
    return gaps


def _matching(variable: Variable, texts: Sequence[str], gaps: Sequence[list[bool]], truth: Sequence[str]) -> list[str]:
    """The whole texts, if they are those with gaps."""
    split = Vocabulary.by(variable).split
    for text, gap, whole in zip(texts, gaps, truth, strict=True):
        same = [a == b or gap for a, b, gap in zip(split(text), split(whole), gap)]
        if len(split(whole)) != len(gap) or not all(same):
            raise InputError(f"the text {shown(whole)!r} is not that with gaps in it: {shown(text)!r}")
    return list(truth)


def _row(variable: Variable, gaps: list[bool]) -> Tensor:
    """(1, L)."""
    return torch.tensor([gaps + [False] * (variable.size - len(gaps))])


def _joined(found: Sequence[Infilled]) -> Infilled:
    words = tuple(gaps for each in found for gaps in each.words)
    log_p, stderr, ess, khat = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("log_p", "stderr", "ess", "khat")
    )
    truth = [each.truth for each in found if each.truth is not None]
    texts = np.concatenate([each.texts for each in found])
    return Infilled(texts, words, log_p, stderr, ess, khat, np.concatenate(truth) if truth else None)
