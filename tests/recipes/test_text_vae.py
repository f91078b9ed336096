"""The recipe of texts: what it refuses, where it starts, what it is told, and that it learns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close
from catalogue import batch, spec, variable
from lowerbound.core import Autoregressive, Batch, Categorical, naive_log_marginal, total
from lowerbound.data.spec import Variable
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get
from lowerbound.recipes.text_vae import log_shares

DECODERS = ("parallel", "gru", "transformer")
SMALL: dict[str, Any] = {"latent": 2, "width": 16, "embedding": 8, "layers": 2}


def built(**arguments: Any) -> Setup:
    setup = get("text-vae").build(spec(variable("category", (6,))), **{**SMALL, **arguments})
    setup.model.eval()
    return setup


@pytest.mark.parametrize(
    ("kind", "shape"), [("real", (6,)), ("byte", (6,)), ("category", (2, 3)), ("category", ())], ids=str
)
def test_other_data_are_refused(kind: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="text-vae is of rows of symbols, and 'x' is of kind"):
        get("text-vae").build(spec(variable(kind, shape)))


def test_several_variables_are_refused() -> None:
    two = (variable("category", (6,)), replace(variable("category", (6,)), name="y"))
    with pytest.raises(InputError, match="models one variable"):
        get("text-vae").build(spec(*two))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"word_dropout": 0.3}, "a parallel decoder reads no words that could be dropped; use word_dropout 0, or"),
        ({"decoder": "transformer", "width": 100}, "a width of 100 cannot be shared by 3 heads"),
        ({"prior": "vamp"}, "argument prior must be one of normal, mixture, maf, realnvp, spline"),
        ({"cycles": 4}, "say over how many steps, with anneal"),
        ({"prior": "maf", "free_bits": 0.1}, "free_bits charges each dimension of z by itself"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        built(**arguments)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_decoder_starts_at_the_shares_of_symbols(decoder: str) -> None:
    """Before anything is learned the loss of a symbol is near the entropy of symbols, not log V."""
    torch.manual_seed(1)
    x = Variable("x", "category", (12,), 0, 499, levels=500, likelihood="categorical")
    setup = get("text-vae").build(spec(x), latent=4, decoder=decoder)
    setup.model.eval()
    shares = torch.softmax(-0.05 * torch.arange(500.0), 0)
    rows = Batch({"x": torch.multinomial(shares, 12 * 3000, replacement=True).reshape(3000, 12).float()})
    setup.meet[0.0](lambda count: rows[slice(count)], 0, 100)
    with torch.no_grad():
        each = -setup.model.trace(rows[slice(200)], 1).log_px.mean() / 12
    entropy = float(-(shares * shares.log()).sum())
    assert abs(float(each) - entropy) < 0.15
    assert entropy < math.log(500) - 1


def test_shares_count_what_was_observed() -> None:
    codes = torch.tensor([[0.0, 2.0, 2.0], [2.0, 1.0, 9.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    found = log_shares(Batch({"x": codes}, mask={"x": mask}), variable("category", (3,)))
    assert_close(found.exp(), torch.tensor([2.0, 1.0, 4.0, 1.0]) / 8, within=1e-6)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_decoder_is_of_its_name(decoder: str) -> None:
    part = built(decoder=decoder).model.likelihood["x"]
    assert isinstance(part, Categorical if decoder == "parallel" else Autoregressive)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_condition_reaches_encoder_and_decoder(decoder: str) -> None:
    setup = built(decoder=decoder, told="condition", drop=0.0)
    seen = setup.see(batch("category", 3, (6,)))
    other = replace(seen, c=seen.c.flip(0))
    z = torch.zeros(3, 2)
    assert (setup.model.infer(seen).mean - setup.model.infer(other).mean).abs().max() > 1e-4
    scores = [setup.model.decode(z, each.c)["x"].log_prob(seen.x["x"]) for each in (seen, other)]
    assert (scores[0] - scores[1]).abs().max() > 1e-4
    assert setup.model.generate(3, seen.c)["x"].sample().shape == (3, 6)
    assert built(decoder=decoder).see(batch("category", 3, (6,))).c is None


def test_ends_are_of_texts_that_may_end() -> None:
    for missing in (False, True):
        x = replace(variable("category", (6,)), missing=missing)
        part = get("text-vae").build(spec(x), decoder="gru", **SMALL).model.likelihood["x"]
        assert part.ends == missing


@pytest.mark.parametrize(
    "arguments", [{"lag": 2}, {"free_bits": 0.5}, {"anneal": 10, "cycles": 2, "beta": 0.5}], ids=str
)
def test_remedies_against_collapse(arguments: dict[str, Any]) -> None:
    setup = built(decoder="gru", word_dropout=0.3, **arguments)
    seen = setup.see(batch("category", 3, (6,)))
    assert total(setup.objective(setup.model.trace(seen, 1, setup.estimator), torch.tensor(3))).isfinite()
    still = {id(p) for p in setup.resting(0)}
    assert bool(still) == ("lag" in arguments)


LINES = [f"{a} {b} {c} {b}" for a in ("red", "blue") for b in ("cat", "dog", "cow") for c in ("sees", "hears")]


@pytest.mark.parametrize("decoder", ["parallel", "gru"])
def test_it_learns_to_write_texts_back(decoder: str, tmp_path: Path) -> None:
    """Twelve texts, of which z says which: log 12 = 2.48 nats of log p, and nothing else is uncertain."""
    small = {"latent": 4, "width": 32, "embedding": 16, "layers": 1, "anneal": 300}
    settings = {"epochs": 60, "batch_size": 32, "lr": 5e-3, "seed": 1}
    model = lowerbound.train("text-vae", LINES * 20, tmp_path / "run", decoder=decoder, **small, **settings)
    assert np.mean(model.reconstruct(LINES) == np.array(LINES)) > 0.9
    figures = model.evaluate(split="train", particles=100)
    assert -math.log(12) - 0.4 < figures["log_p"]["value"] < -math.log(12) + 0.05
    assert 1.2 < figures["rate"]["value"] < 2.6
    assert len(set(model.sample(64).tolist()) & set(LINES)) >= 6


@pytest.mark.parametrize("decoder", DECODERS)
def test_all_rows_together_have_probability_one(decoder: str) -> None:
    """All 4³ rows of four symbols together have probability one, whatever z says of each."""
    setup = get("text-vae").build(spec(variable("category", (3,))), **{**SMALL, "decoder": decoder})
    setup.model.eval()
    rows = torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    found = naive_log_marginal(setup.model, Batch({"x": rows}), 1000)
    assert abs(float(found.log_p.exp().sum()) - 1) < 0.02
