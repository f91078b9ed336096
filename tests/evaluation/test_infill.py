"""Gaps in texts: what is estimated is what an exact sum over every filling says."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agree import LIMIT, assert_mean, refused
from lowerbound.core import (
    AnalyticELBO,
    Autoregressive,
    Batch,
    Categorical,
    Conditional,
    Gaussian,
    Latent,
    Pathwise,
    standard_normal,
)
from lowerbound.core.observation import observed_log_prob
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import view_for
from lowerbound.errors import InputError
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.completion import Completing, complete
from lowerbound.evaluation.imputation import Manner, imputed
from lowerbound.evaluation.infill import Gapped, Infilling, drawn, filled, infill, log_truth
from lowerbound.nets.sequence import Sizes
from lowerbound.nets.sequence_causal import GRUWriter
from lowerbound.recipes.registry import Setup

SYMBOLS = ("<end>", "<unknown>", "a", "b")
V, L = len(SYMBOLS), 4


def parallel(ends: bool) -> Conditional:
    return Categorical(nn.Sequential(nn.Linear(1, L * V), nn.Unflatten(-1, (L, V))), V)


def autoregressive(ends: bool) -> Conditional:
    net = GRUWriter(Sizes(symbols=V, places=L, width=3, layers=1, embedding=2), inputs=1)
    return Autoregressive(net, ends=ends)


PARTS = {"autoregressive": autoregressive, "parallel": parallel}


def model(part: str, ends: bool = True) -> Latent:
    """A model of four symbols in a row, in float64, with an encoder that is far from right."""
    torch.manual_seed(5)
    encoder = nn.Sequential(nn.Linear(L, 2), nn.Unflatten(-1, (1, 2)))
    likelihood = PARTS[part](ends)
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter))  # so that z and what comes before matter
    return Latent(standard_normal(1), Gaussian(encoder), likelihood).double().eval()


def variable(missing: bool = True) -> Variable:
    return Variable("x", "category", (L,), 0, V - 1, V, labels=SYMBOLS, missing=missing, form="words")


def log_p(of: Latent, x: Tensor) -> Tensor:
    """log p(x) of whole rows (N, L), by the trapezoidal rule over z; NaN beyond an end."""
    z = torch.linspace(-9, 9, 4_001, dtype=torch.float64)[:, None, None]
    mass = torch.softmax(-0.5 * z[:, :, 0].square(), 0)
    px, there = of.decode(z.expand(-1, len(x), 1))["x"], ~x.isnan()
    each = observed_log_prob(px, x.nan_to_num(0), there)
    return torch.logsumexp(each + mass.log(), 0)


class Case(NamedTuple):
    """A text, where its gaps are, and what every filling of them comes to."""

    text: Gapped
    fillings: Tensor
    log_p: Tensor


def case(part: str, codes: list[float], gaps: list[int], missing: bool = True) -> Case:
    of = model(part, missing)
    x = torch.tensor([codes], dtype=torch.float64)
    gap = torch.zeros(1, L, dtype=torch.bool).index_fill(1, torch.tensor(gaps), True)
    fillings = x.repeat(V ** len(gaps), 1)
    fillings[:, gaps] = torch.tensor(list(product(range(V), repeat=len(gaps))), dtype=torch.float64)
    kept = fillings[(fillings[:, gaps] != 0).all(1)] if missing else fillings  # no text goes on after its end
    batch = Batch({"x": x.nan_to_num(0)}, mask={"x": ~x.isnan()} if missing else None)
    return Case(Gapped(of, variable(missing), batch, gap), kept, log_p(of, kept))


CASES: dict[str, tuple[list[float], list[int], bool]] = {
    "one": ([2, 3, 2, 0], [1], True),
    "two and what is beyond the end": ([2, 3, 0, math.nan], [0, 1], True),
    "apart": ([3, 1, 2, 0], [0, 2], True),
    "rows of one length": ([2, 3, 2, 3], [1, 3], False),
}
BOTH = pytest.mark.parametrize("part", PARTS)


@BOTH
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rounds", [1, 2])
def test_weights_average_to_p_of_what_is_there(part: str, name: str, rounds: int) -> None:
    text, _, every = case(part, *CASES[name])
    torch.manual_seed(1)
    found = filled(text, Infilling(particles=20_000, rounds=rounds))
    assert_mean((found.log_w - every.logsumexp(0)).exp()[:, 0].detach(), 1.0)


@BOTH
def test_what_is_drawn_is_as_frequent_as_it_is_probable(part: str) -> None:
    text, fillings, every = case(part, *CASES["apart"])
    torch.manual_seed(2)
    found = drawn(text, text.model.infer(text.shut()), 50_000)
    share = torch.softmax(found.log_w[:, 0].detach(), 0)
    for codes, probability in zip(fillings, (every - every.logsumexp(0)).exp()):
        alike = (found.codes[:, 0] == codes).all(-1).double()
        mean = (share * alike).sum()
        error = (share.square() * (alike - mean).square()).sum().sqrt()
        assert abs(mean - probability) < LIMIT * error
    assert abs(float(share.sum()) - 1) < 1e-9


@BOTH
@pytest.mark.parametrize("name", CASES)
def test_the_truth_is_scored_by_what_all_fillings_come_to(part: str, name: str) -> None:
    text, fillings, every = case(part, *CASES[name])
    truth = every[(fillings.nan_to_num(0) == text.codes).all(1)] - every.logsumexp(0)
    torch.manual_seed(3)
    ratios = torch.stack([log_truth(text, filled(text, Infilling(particles=2_000))) for _ in range(20)]).exp().detach()
    # Its error from so many particles is a thousandth of what it is in mean; 4.5 standard errors of 20 are more.
    assert_mean(ratios[:, 0], truth.exp())


def asking(part: str) -> Asking:
    spec = DataSpec("toy", (variable(),), None, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)
    of = model(part).float()
    return Asking(Setup(of, {"x": view_for(variable(), "categorical")}, AnalyticELBO(), Pathwise()), spec)


@BOTH
def test_texts_are_filled_where_they_have_gaps_alone(part: str) -> None:
    found = infill(asking(part), ["a ___ b", "___"], ["a b b", "a"], Infilling(draws=7, particles=300))
    assert found.texts.shape == (2, 7)
    assert all(text.split()[::2] == ["a", "b"] and text.split()[1] in "ab" for text in found.texts[0])
    assert set(found.texts[1]) <= {"a", "b"}
    assert [len(gaps) for gaps in found.words] == [1, 1]
    assert "<end>" not in found.words[0][0]
    assert all(sum(gap.values()) == pytest.approx(1) for gaps in found.words for gap in gaps)
    assert found.truth is not None
    assert found.truth[1] == pytest.approx(math.log(found.words[1][0]["a"]), abs=0.3)
    assert (found.log_p < 0).all()
    assert (found.khat < 0.7).all()


def test_the_same_call_gives_the_same_and_a_seed_another() -> None:
    def answer(seed: int) -> Any:
        return infill(
            asking("parallel"), "a ___ ___", manner=Infilling(draws=9, particles=50), seed=seed
        ).texts.tolist()

    assert answer(0) == answer(0)
    assert answer(0) != answer(1)


def test_what_is_no_text_with_gaps_is_refused() -> None:
    with refused("the text 'a b' has no gap; write ___ for each of the words to be found", InputError):
        infill(asking("parallel"), "a b")
    with refused("the text 'b b' is not that with gaps in it: 'a ___'", InputError):
        infill(asking("parallel"), "a ___", "b b")
    with refused("text 0 (from 0) has 4 words, and the model takes 1 to 3; cut or lengthen it", InputError):
        infill(asking("parallel"), "a ___ b a")
    with pytest.raises(InputError, match="particles must be a whole number"):
        infill(asking("parallel"), "a ___", manner=Infilling(particles=0))


def test_other_ways_to_what_is_missing_refuse_texts_that_they_cannot_sum_over() -> None:
    given = {name: asking(name) for name in PARTS}
    whole, observed = np.array(["a b"]), np.array([False, True, True, False])
    with pytest.raises(InputError, match="fill them with the verb infill"):
        complete(given["autoregressive"], whole, observed)
    assert complete(given["parallel"], whole, observed, Completing(2, 50, "importance")).ess[0] > 1
    spec, setup = given["parallel"].spec, given["parallel"].setup
    with pytest.raises(InputError, match="nothing is missing beyond a text's end"):
        imputed(setup, spec, given["parallel"].batches(whole)[0], Manner())
