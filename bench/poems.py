"""Quatrains of the Tang: what a held-out poem costs a VAE, with either kind of decoder, and models that have no z.

    python bench/poems.py [PART ...]     (default: all; each is kept, and what is kept is tabled with it)

Parts: ngrams, unigram and 5-gram; lm, a network like the VAE's decoder that writes symbol by symbol, without a z; vae,
parallel, whose decoder writes all at once; gru, the VAE whose decoder is that of lm; verse, what real, shuffled and
written poems keep of the rules; page, the poems shown in docs/poems.md.

All are told the form, all have the vocabulary of the training poems with one symbol for what is not in it, and all are
scored on the same test poems. Runs lie in lowerbound-poems in the folder for temporary files (or in POEM_RUNS), and one
begun there is gone on with.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import lowerbound
from _harness import RESULTS
from _ngram import KneserNey
from lowerbound.core import Autoregressive
from lowerbound.data.chinese import readings
from lowerbound.data.dataset import Dataset
from lowerbound.data.poems import lines_of
from lowerbound.data.text.vocabulary import Vocabulary
from lowerbound.evaluation.poems import Manner, Poem, Poet
from lowerbound.evaluation.prosody import is_whole, verse_figures
from lowerbound.files import write_json
from lowerbound.fitted import Fitted
from lowerbound.nets.sequence import Sizes
from lowerbound.nets.sequence_causal import GRUWriter

SOURCE = "quatrains-tang"
KEPT = RESULTS / "parts"
RUNS = Path(os.environ.get("POEM_RUNS") or Path(tempfile.gettempdir()) / "lowerbound-poems")

SHARED: dict[str, Any] = {"told": "condition", "drop": 0.0, "batch_size": 64, "lr": 1e-3, "lr_warmup": 100}
GRU: dict[str, Any] = {"free_bits": 0.1, "dropout": 0.3, "word_dropout": 0.3}
SETTINGS: dict[str, dict[str, Any]] = {
    "parallel": {**SHARED, "epochs": 15, "anneal": 1200, "free_bits": 0.1, "dropout": 0.1},
    "gru": {**SHARED, "decoder": "gru", "layers": 1, "epochs": 7, "anneal": 600, **GRU},
}
LM_EPOCHS, LM_DROPOUT = 7, 0.3
DISCOUNTS = (0.5, 0.6, 0.7, 0.8, 0.9)
PARTICLES = 20
WRITTEN = 1_000
"""Poems of each kind that are judged."""

Codes = list[list[int]]


@cache
def data() -> Dataset:
    return lowerbound.load_data(SOURCE)


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary.by(data().spec.variables[0])


def poems(split: str) -> Codes:
    """Codes of the characters of each poem, without its end."""
    rows = data().split(split).array("x")
    return [[int(code) for code in row if code > 0] for row in rows]


def characters(split: str = "test") -> int:
    return sum(map(len, poems(split)))


def texts(split: str) -> list[str]:
    return [vocabulary().text(codes) for codes in poems(split)]


def per_character(log_p: float, split: str = "test") -> float:
    return -log_p / characters(split)


# Models without a z


def broken(rows: Codes) -> tuple[Codes, list[list[bool]]]:
    """Poems with a break before each line, which is given with the form and not scored."""
    apart = [[[-1, *line] for line in _lines(row)] for row in rows]
    whole = [[code for line in lines for code in line] for lines in apart]
    return whole, [[code >= 0 for code in row] for row in whole]


def _lines(codes: Sequence[int]) -> list[Sequence[int]]:
    form = len(codes) // 4
    return [codes[start : start + form] for start in range(0, len(codes), form)]


def ngrams() -> dict[str, Any]:
    """Nats a character by order; the discount is the best on validation poems."""
    found = {}
    for order in (1, 5):
        counted = KneserNey(order, len(vocabulary().symbols)).fit(*broken(poems("train")))
        models = [replace(counted, discount=discount) for discount in DISCOUNTS]
        best = max(models, key=lambda model: model.log_p(*broken(poems("validation"))))
        by_split = {split: per_character(best.log_p(*broken(poems(split))), split) for split in ("validation", "test")}
        found[str(order)] = {"discount": best.discount, **by_split}
    return found


def writer() -> Autoregressive:
    """What the VAE of the part gru has for a decoder, given the form alone."""
    x = data().spec.variables[0]
    assert data().spec.condition is not None
    sizes = Sizes(len(vocabulary().symbols), x.shape[0], 256, 1, 128, LM_DROPOUT)
    return Autoregressive(GRUWriter(sizes, data().spec.condition.width), 0.0, ends=True)


def rows_of(split: str) -> tuple[Tensor, Tensor]:
    """Codes, NaN beyond the end, and the form as the VAEs are told it."""
    rows = data().split(split)
    assert rows.condition is not None
    return torch.from_numpy(rows.array("x")).float(), nn.functional.one_hot(torch.from_numpy(rows.condition), 2).float()


def lm() -> dict[str, Any]:
    """Trained as the VAEs are: Adam, a cosine, the epoch kept that is best on validation poems."""
    torch.manual_seed(0)
    net, (x, c) = writer(), rows_of("train")
    adam = torch.optim.Adam(net.parameters(), SHARED["lr"])
    steps = LM_EPOCHS * (len(x) // SHARED["batch_size"])
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    start, best = time.process_time(), float("inf")
    for epoch in range(LM_EPOCHS):
        for batch in torch.randperm(len(x)).split(SHARED["batch_size"])[: steps // LM_EPOCHS]:
            adam.zero_grad(set_to_none=True)
            (-net(c[batch]).log_prob(x[batch]).mean()).backward()
            adam.step()
            rate.step()
        found = costs(net, "validation")
        print("lm, epoch", epoch + 1, found, round(time.process_time() - start), "s", flush=True)
        if found < best:
            best = found
            RUNS.mkdir(parents=True, exist_ok=True)
            torch.save(net.state_dict(), RUNS / "lm.pt")
    return {"validation": best, "test": costs(trained_lm(), "test"), "seconds": time.process_time() - start}


def trained_lm() -> Autoregressive:
    net = writer()
    net.load_state_dict(torch.load(RUNS / "lm.pt", weights_only=True))
    return net


@torch.no_grad()
def costs(net: Autoregressive, split: str) -> float:
    """Nats a character."""
    net.eval()
    parts = zip(*(each.split(256) for each in rows_of(split)))
    log_p = sum(float(net(c).log_prob(x).double().sum()) for x, c in parts)
    net.train()
    return per_character(log_p, split)


# Models with one


def run(name: str) -> Fitted:
    """Trained, or gone on with, or loaded."""
    path = RUNS / name
    if (path / "weights.safetensors").exists():
        return lowerbound.load(path)
    if path.exists():
        return lowerbound.resume(path)
    return lowerbound.train("text-vae", SOURCE, out=path, seed=0, **SETTINGS[name])


def vae(name: str) -> dict[str, Any]:
    """Nats a character by importance sampling and of the ELBO; nats a poem of KL; active units."""
    start = time.process_time()
    model = run(name)
    seconds = time.process_time() - start
    found = model.evaluate(split="test", particles=PARTICLES)
    count = characters() / found["count"]
    return {
        "test": -found["log_p"]["value"] / count,
        "elbo": -found["elbo"]["value"] / count,
        "kl": found["rate"]["value"],
        "active": found["active_units"],
        "doubtful": found["doubtful"],
        "parameters": sum(each.numel() for each in model.setup.model.parameters()),
        "seconds": seconds,
    }


# What they write


def written(name: str, manner: Manner) -> list[str]:
    """As many random poems of each form as the test poems have, of so many in all."""
    share = float(np.mean([len(poem) == 20 for poem in poems("test")]))
    counts = {5: round(WRITTEN * share), 7: WRITTEN - round(WRITTEN * share)}
    model = run(name)
    return [
        poem.text for form, count in counts.items() for poem in Poet(model, form, None, manner).random(count, seed=0)
    ]


def held_out() -> list[str]:
    """So many of the test poems."""
    return random.Random(0).sample(texts("test"), WRITTEN)


def shuffled() -> list[str]:
    """The same with the characters of each in any order."""
    chance = random.Random(1)
    return ["".join(chance.sample(poem, len(poem))) if is_whole(poem) else poem for poem in held_out()]


@torch.no_grad()
def by_lm() -> list[str]:
    """Drawn from the model without a z, under the forms of the test poems."""
    torch.manual_seed(0)
    net, (_, c) = trained_lm().eval(), rows_of("test")
    codes = net(c[random.Random(0).sample(range(len(c)), WRITTEN)]).sample()
    return vocabulary().decode(codes.numpy()).tolist()


KINDS: dict[str, Callable[[], list[str]]] = {
    "real, held out": held_out,
    "the same, characters shuffled": shuffled,
    "network without z, drawn": by_lm,
    "VAE, gru decoder, drawn": lambda: written("gru", Manner(draw=True)),
    "VAE, parallel, drawn": lambda: written("parallel", Manner(draw=True)),
    "VAE, parallel, likeliest": lambda: written("parallel", Manner()),
    "constrained: VAE, parallel, drawn": lambda: written("parallel", Manner(draw=True, constrained=True)),
    "constrained: VAE, parallel, likeliest": lambda: written("parallel", Manner(constrained=True)),
}


def verse() -> dict[str, dict[str, float]]:
    """Of each kind of poems, what they keep of the rules, and how many of their lines stand in training poems."""
    known = {line for poem in texts("train") for line in lines_of(poem)}
    found = {}
    for name, make in KINDS.items():
        made = make()
        lines = [line for poem in made if is_whole(poem) for line in lines_of(poem)]
        found[name] = {
            **verse_figures(made, readings()),
            "different": len(set(made)) / len(made),
            "lines_of_training": sum(line in known for line in lines) / max(1, len(lines)),
        }
        print(name, found[name], flush=True)
    return found


FROM_TO = ((0, 1), (2, 3), (4, 5))
"""Test poems of five characters a line, by number: interpolated between."""


def page() -> dict[str, Any]:
    """Poems by seed, none chosen, and three ways between the first test poems."""
    model = run("parallel")
    manners = {"drawn": Manner(draw=True), "likeliest": Manner(), "constrained": Manner(draw=True, constrained=True)}
    by_seed = {
        name: [lines(Poet(model, (5, 7)[seed % 2], None, manner).random(1, seed)[0]) for seed in range(10)]
        for name, manner in manners.items()
    }
    test = [poem for poem in texts("test") if is_whole(poem) and len(poem) == 20]
    poet = Poet(model, 5)
    ways = [
        {"from": test[a], "to": test[b], "way": [lines(poem) for poem in poet.between(test[a], test[b], 5)]}
        for a, b in FROM_TO
    ]
    return {"random": by_seed, "between": ways}


def lines(poem: Poem) -> str:
    return " ".join(poem.lines)


# The table


def rows() -> list[dict[str, Any]]:
    grams, network = kept("ngrams"), kept("lm")
    found = [
        {"model": f"{'uni' if order == '1' else order + '-'}gram", "nats a character": round(each["test"], 3)}
        for order, each in grams.items()
    ]
    found.append({"model": "gru network, no z", "nats a character": round(network["test"], 3)})
    for name in SETTINGS:
        each = kept(name)
        if each:
            found.append(
                {
                    "model": f"text-vae, {name} decoder",
                    "nats a character": round(each["test"], 3),
                    "by its bound": round(each["elbo"], 3),
                    "KL, nats a poem": round(each["kl"], 2),
                    "active units": each["active"],
                }
            )
    return found


def kept(name: str) -> dict[str, Any]:
    import json

    path = KEPT / f"poems-{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "ngrams": ngrams,
    "lm": lm,
    "parallel": lambda: vae("parallel"),
    "gru": lambda: vae("gru"),
    "verse": verse,
    "page": page,
}


def main() -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PARTS:
        write_json(KEPT / f"poems-{name}.json", PARTS[name]())
        print(name, kept(name), flush=True)


if __name__ == "__main__":
    main()
