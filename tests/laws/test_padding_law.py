"""Padding does not count: a batch of rows of differing length is, term by term, those rows one by one without padding.

In value and in gradient, for every decoder of sequences, whatever lies under the mask.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agree import assert_close
from catalogue import Case
from lowerbound.core import Batch, Categorical, Latent, Trace, log_marginal, total
from lowerbound.core.given import scored
from lowerbound.data.dataset import load_data
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get

pytestmark = pytest.mark.usefixtures("double")

PLACES, PARTICLES = 8, 3
LENGTHS = (8, 1, 5, 2, 7)
DECODERS = ("parallel", "gru", "transformer")
GARBAGE = (0.0, 3.0, math.nan, math.inf, -7.0, 1e30)
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"bound": "iwae", "estimator": "pathwise"},
    {"beta": 0.5, "free_bits": 0.2},
    {"told": "condition", "posterior": "full"},
)


def built(decoder: str, spread: float = 0.3, seed: int = 1, **arguments: Any) -> Setup:
    """In eval mode: what is hidden of words in training is drawn anew for each batch."""
    torch.manual_seed(seed)
    setup = Case.of("text-vae", "category", ("decoder", decoder)).build((PLACES,), **arguments)
    for p in setup.model.parameters():
        nn.init.normal_(p, std=spread)
    return setup


def rows() -> Batch:
    """Rows of each length, whole: nothing is masked yet."""
    return Batch({"x": torch.randint(0, 4, (len(LENGTHS), PLACES)).double()}, torch.eye(3)[torch.arange(5) % 3])


def padded(whole: Batch, garbage: float) -> Batch:
    mask = torch.arange(PLACES) < torch.tensor(LENGTHS).unsqueeze(1)
    return Batch({"x": torch.where(mask, whole.x["x"], garbage)}, whole.c, mask={"x": mask})


def alone(whole: Batch, row: int) -> Batch:
    one = whole[row : row + 1]
    return Batch({"x": one.x["x"][:, : LENGTHS[row]]}, one.c)


class Cut(nn.Module):
    """The first places of what a decoder of all of them gives."""

    def __init__(self, net: nn.Module, places: int) -> None:
        super().__init__()
        self.net, self.places = net, places

    def forward(self, *given: Tensor) -> Tensor:
        return self.net(*given)[..., : self.places, :]


def of_length(model: Latent, length: int) -> Latent:
    """The model of rows of this length alone: what is read as it is, and no more places written than there are."""
    part = model.likelihood["x"]
    if isinstance(part, Categorical):
        part = Categorical(Cut(part.net, length), part.per_value)
    return Latent(model.prior, model.posterior, part, model.reads)


def trace_of(model: Latent, batch: Batch, noise: Tensor) -> Trace:
    """The trace at μ + σ·noise, or as a full covariance makes of it, differentiable in all weights."""
    q = model.infer(batch)
    root = q.scale_tril if hasattr(q, "scale_tril") else torch.diag_embed(q.stddev)
    return scored(model, batch, q.mean + (root @ noise.unsqueeze(-1)).squeeze(-1))


def terms(setup: Setup, trace: Trace) -> dict[str, Tensor]:
    """Every number of a loss, (..., B)."""
    px = {f"log_lik_{name}": value for name, value in trace.log_lik.items()}
    scores = {"log_w": trace.log_w, "log_q": trace.log_q, "log_p": trace.log_p, **px}
    return {**scores, **setup.objective(trace)}


def slopes(setup: Setup, loss: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(setup.model.parameters()), allow_unused=True)
    return [torch.zeros(()) if each is None else each for each in found]


def one_by_one(setup: Setup, seen: Batch, noise: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Terms side by side and the gradient of the mean loss, from each row by itself."""
    parts, losses = [], []
    for row, length in enumerate(LENGTHS):
        trace = trace_of(of_length(setup.model, length), alone(seen, row), noise[:, row : row + 1])
        parts.append(terms(setup, trace))
        losses.append(total(setup.objective(trace)))
    return {name: torch.cat([p[name] for p in parts], -1) for name in parts[0]}, slopes(
        setup, torch.stack(losses).mean()
    )


def near(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-10 of the greatest: the law says 1e-6, and in float64 nothing is lost."""
    assert_close(found, expected, within=1e-10 * max(1.0, float(expected.detach().abs().max())))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_padded_batch_is_its_rows_one_by_one(decoder: str, way: dict[str, Any]) -> None:
    setup, noise = built(decoder, **way), torch.randn(PARTICLES, len(LENGTHS), 2)
    seen = setup.see(rows())
    expected, slope = one_by_one(setup, seen, noise)
    assert expected["log_w"].std() > 0.1
    for garbage in GARBAGE:
        trace = trace_of(setup.model, padded(seen, garbage), noise)
        found = terms(setup, trace)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            near(value, expected[name])
        for one, other in zip(slopes(setup, total(setup.objective(trace))), slope, strict=True):
            near(one, other)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_same_in_single_precision(decoder: str, seed: int) -> None:
    """With weights at which rates are tens of nats: where they are thousands, rounding alone is more than this."""
    torch.set_default_dtype(torch.float32)
    setup = built(decoder, 0.1, seed, width=64, embedding=32)
    noise = torch.randn(PARTICLES, len(LENGTHS), 2)
    seen = setup.see(Batch({"x": rows().x["x"].float()}))
    expected, _ = one_by_one(setup, seen, noise)
    found = terms(setup, trace_of(setup.model, padded(seen, math.nan), noise))
    for name, value in found.items():
        assert_close(value.detach(), expected[name].detach(), within=1e-6 * float(expected[name].detach().abs().max()))


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_is_scored_is_all_there_is(decoder: str) -> None:
    """The distortion of a row is the sum over its own symbols, written out from the network's logits."""
    setup, noise = built(decoder), torch.randn(1, len(LENGTHS), 2)
    seen = setup.see(rows())
    trace = trace_of(setup.model, padded(seen, math.nan), noise)
    part, codes = setup.model.likelihood["x"], seen.x["x"].long()
    z = trace.z[0]
    logits = part.net(z) if decoder == "parallel" else part.net(codes, z)
    each = logits.log_softmax(-1).gather(-1, codes.unsqueeze(-1)).squeeze(-1)
    near(trace.log_px[0], torch.stack([row[:n].sum() for row, n in zip(each, LENGTHS)]))


@pytest.mark.parametrize("decoder", DECODERS)
def test_log_p_of_a_padded_row_is_that_of_the_row(decoder: str) -> None:
    setup = built(decoder)
    seen, row = setup.see(rows()), 2
    found = []
    for model, batch in (
        (setup.model, padded(seen, 9.0)[row : row + 1]),
        (of_length(setup.model, 5), alone(seen, row)),
    ):
        torch.manual_seed(7)
        found.append(log_marginal(model, batch, 50).log_p)
    near(*found)


@pytest.mark.parametrize("decoder", DECODERS)
def test_texts_come_padded_from_where_they_are_read(decoder: str) -> None:
    """From arrays of texts to a loss: beyond the end that is scored, nothing is."""
    data = load_data(["ab", "a", "abab", "bba", "b"] * 8, kind="characters")
    setup = get("text-vae").build(data.spec, decoder=decoder, latent=2, width=8, embedding=4)
    for module in (setup.model, setup.objective):
        module.eval()
    seen = setup.see(data.split("train").resident(torch.device("cpu")).batch(torch.arange(8)))
    mask, x = seen.mask["x"], seen.x["x"]
    last = mask.sum(1, keepdim=True) - 1
    assert (x.gather(1, last) == 0).all()
    torch.manual_seed(3)
    expected = setup.model.trace(seen, 2).log_w
    torch.manual_seed(3)
    found = setup.model.trace(Batch({"x": torch.where(mask, x, math.nan)}, mask=seen.mask), 2).log_w
    assert torch.equal(found, expected)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_row_longer_than_any_in_training_is_refused(decoder: str) -> None:
    setup = built(decoder)
    with pytest.raises(InputError, match="a row of 9 symbols was given to a network of 8 places"):
        setup.model.infer(Batch({"x": torch.zeros(2, 9)}))
    if decoder != "parallel":
        with pytest.raises(InputError, match="a row of 9 symbols was given to a network of 8 places"):
            setup.model.likelihood["x"](torch.zeros(2, 2)).log_prob(torch.zeros(2, 9))


def test_a_text_of_nothing_is_refused_where_texts_are_read() -> None:
    with pytest.raises(InputError, match="is an empty text; leave the row out"):
        load_data(["ab", "", "b"] * 9, kind="characters")


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_row_of_which_nothing_was_observed_costs_no_more_than_its_rate(decoder: str) -> None:
    setup = built(decoder)
    nothing = torch.zeros(2, PLACES, dtype=torch.bool)
    trace = setup.model.trace(Batch({"x": torch.full((2, PLACES), math.nan)}, mask={"x": nothing}), 2)
    assert (trace.log_px == 0).all()
    assert trace.log_w.isfinite().all()
