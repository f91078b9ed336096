"""Quatrains of the Tang: what a held-out poem costs a VAE, with either kind of decoder, and models that have no z.

    python bench/poems.py [PART ...]     (default: all; each is kept, and what is kept is tabled with it)

Parts: ngrams, unigram and 5-gram; lm, a network like the VAE's decoder that writes symbol by symbol, without a z;
parallel, the VAE whose decoder writes all at once; gru, the one whose decoder is that of lm; verse-KIND, what real,
shuffled and written poems keep of the rules; page, the poems shown in docs/poems.md.

All are told the form, all have the vocabulary of the training poems with one symbol for what is not in it, and all are
scored on the same test poems. Runs lie in lowerbound-poems in the folder for temporary files (or in POEM_RUNS), and one
begun there is gone on with.
"""

from __future__ import annotations

import json
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
from _harness import RESULTS, record
from _ngram import KneserNey
from lowerbound.core import Autoregressive, Batch
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
from lowerbound.recipes.text_vae import log_shares

COMMAND = "python bench/poems.py"
SOURCE = "quatrains-tang"
KEPT = RESULTS / "parts"
RUNS = Path(os.environ.get("POEM_RUNS") or Path(tempfile.gettempdir()) / "lowerbound-poems")

SHARED: dict[str, Any] = {"told": "condition", "drop": 0.0, "batch_size": 64, "lr": 1e-3, "lr_warmup": 100}
GRU: dict[str, Any] = {"latent": 32, "free_bits": 0.25, "dropout": 0.2, "word_dropout": 0.2, "clip": 5.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "parallel": {**SHARED, "epochs": 15, "anneal": 1200, "free_bits": 0.1, "dropout": 0.1},
    "gru": {**SHARED, "decoder": "gru", "layers": 1, "lr": 3e-3, "epochs": 14, "anneal": 400, **GRU},
}
LM_EPOCHS, LM_RATE, LM_DROPOUT = 8, 3e-3, 0.3
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
    """Trained as the VAEs are: from the symbols' shares, by Adam and a cosine; the best epoch by validation is kept."""
    torch.manual_seed(0)
    net, (x, c) = writer(), rows_of("train")
    net.net.out.start_at(log_shares(Batch({"x": x}, mask={"x": ~x.isnan()}), data().spec.variables[0]))
    adam = torch.optim.Adam(net.parameters(), LM_RATE)
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


def mixed() -> list[str]:
    """Each place's character from another of them, of the same form: all that a place says by itself is left."""
    chance, whole = random.Random(2), [poem for poem in held_out() if is_whole(poem)]
    forms = [[poem for poem in whole if len(poem) == length] for length in (20, 28)]
    columns = [[chance.sample(column, len(column)) for column in zip(*of_form)] for of_form in forms]
    return ["".join(poem) for each in columns for poem in zip(*each)]


@torch.no_grad()
def by_lm() -> list[str]:
    """Drawn from the model without a z, under the forms of the test poems."""
    torch.manual_seed(0)
    net, (_, c) = trained_lm().eval(), rows_of("test")
    codes = net(c[random.Random(0).sample(range(len(c)), WRITTEN)]).sample()
    return vocabulary().decode(codes.numpy()).tolist()


KINDS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "real": ("real, held out", held_out),
    "shuffled": ("the same, their characters shuffled", shuffled),
    "mixed": ("real, each place from another poem", mixed),
    "lm": ("network without z, drawn", by_lm),
    "gru": ("VAE, gru decoder, drawn", lambda: written("gru", Manner(1.0))),
    "drawn": ("VAE, parallel decoder, drawn", lambda: written("parallel", Manner(1.0))),
    "likeliest": ("VAE, parallel decoder, likeliest", lambda: written("parallel", Manner())),
    "constrained-drawn": ("constrained: parallel, drawn", lambda: written("parallel", Manner(1.0, True))),
    "constrained-likeliest": ("constrained: parallel, likeliest", lambda: written("parallel", Manner(0.0, True))),
}
"""Part -> what its poems are called in the table, and who writes them."""


def verse(name: str) -> dict[str, float]:
    """What one kind of poems keeps of the rules, and how many of its lines stand in training poems."""
    made, known = KINDS[name][1](), {line for poem in texts("train") for line in lines_of(poem)}
    found = [line for poem in made if is_whole(poem) for line in lines_of(poem)]
    return {
        **verse_figures(made, readings()),
        "different": len(set(made)) / len(made),
        "lines_of_training": sum(line in known for line in found) / max(1, len(found)),
    }


FROM_TO = ((0, 1), (2, 3), (4, 5))
"""Test poems of five characters a line, by number: interpolated between."""


def page() -> dict[str, Any]:
    """Poems by seed, none chosen, and three ways between the first test poems."""
    model = run("parallel")
    manners = {"drawn": Manner(1.0), "likeliest": Manner(), "constrained": Manner(0.5, constrained=True)}
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


# The tables


def costs_table() -> list[dict[str, Any]]:
    """A row a model."""
    named = {"1": "unigram", "5": "5-gram, Kneser-Ney"}
    costs = {named[order]: each["test"] for order, each in kept("ngrams").items()}
    costs["gru network without z"] = kept("lm").get("test")
    without = [{"model": name, "nats a character": cost} for name, cost in costs.items()]
    return [*(_of_vae(name, kept(name)) for name in SETTINGS if kept(name)), *without]


def _of_vae(name: str, each: dict[str, Any]) -> dict[str, Any]:
    nats = {"nats a character": each["test"], "by the ELBO": each["elbo"], "KL, nats a poem": each["kl"]}
    return {"model": f"text-vae, {name} decoder", **nats, "active units": each["active"]}


def verse_table() -> list[dict[str, Any]]:
    """A row for each kind of poems, constrained ones last."""
    return [{"poems": KINDS[name][0], **kept(f"verse-{name}")} for name in KINDS if kept(f"verse-{name}")]


def kept(name: str) -> dict[str, Any]:
    path = KEPT / f"poems-{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


COST_NOTES = (
    "14,160 poems of the Tang with lines of five or seven characters; 11,317 to train on, 1,421 for validation and "
    "1,422 for the test, poems with nearly a line in common in one split. Nats over characters, 20 or 28 a poem; "
    "the networks and the VAE also score the poem's end. All are told the form, the 5-gram by being told where "
    "lines begin, and all have the same 4,131 symbols; 0.74 % of the test's characters are none of them and scored "
    "as one symbol. The 5-gram's discount (0.9) is the best of five by validation. The network without z has one "
    "layer of 256 gated recurrent units, 1.0 million weights, Adam at 0.003, 8 epochs of which the sixth was the "
    "best by validation, 5 core-minutes (at 0.001 its first epoch cost 6.98 on validation, at 0.003 6.77); the VAE "
    "4.5 million, Adam at 0.001, 15 epochs, some 11 core-minutes. Its log p is by importance sampling with 20 "
    "draws, a lower bound that is not to be believed poem by poem (Pareto k): of 60 test poems 20 draws give -161.8 "
    "nats and 500 give -161.3, so a tight one is 0.02 nats a character better, or a little more. What one character "
    "says of the next, z must say to a decoder that writes all at once: with 8 nats of KL the VAE is half a nat a "
    "character better than a unigram, and far behind models that read what they have written. 6.4 of those nats are "
    "free (0.1 a dimension), so that all dimensions count as active says little. The VAE whose decoder is the network "
    "without z (2.5 million weights, 14 epochs, some 4 core-minutes) begins slowly: draws of z are thirty times as "
    "large as the symbols where both are fed to its units (standard deviations 0.49 and 0.016), and after 4 epochs it "
    "cost 6.73; its epochs were then raised. No unit of it is active: its KL is what its free bits (0.25 a dimension) "
    "give away, and z says nothing of a poem. One seed and one split, on two cores shared with up to "
    "fifteen other processes. The parallel VAE's settings were fixed before any figure; the others' were changed on "
    "training and validation figures, but for those epochs."
)
VERSE_NOTES = (
    "1,000 poems of each kind, in the test poems' shares of five and seven characters a line; those held out are a "
    "random 1,000 of the test. whole: of the right length and without an unknown character; all else is of those. "
    "lines_in_tone: lines that keep one of the four patterns of tones; in_order: poems whose lines do so in one of "
    "the four orders; rhymed: second and fourth line in one level rhyme of the Pingshui tables; distinct_1, "
    "distinct_2: different characters, and pairs within a line, over all. The rules are those of docs/poems.md. "
    "Real poems are the ceiling and two kinds the floor: their characters shuffled, and each place's character "
    "taken from another poem of the form, which is all that a decoder of independent places could do without a z. "
    "Constrained poems keep tones and rhyme and have no character twice by construction, so only the distinct "
    "figures of those rows say anything of the model; they are told apart from what is free. Drawn freely, 33 of "
    "100 of the VAE's poems keep an order, where without z 1 of 1,000 would: so its z says which order a poem is "
    "in. Rhyme it does not say when drawn, nor does the network without z (5 of 100; the floor is 4). The likeliest "
    "characters are in better order, rhyme in 43 of 100 and are dull: ten times fewer different ones, and almost "
    "every poem has some character three times. No line of any is one of a training poem."
)


def tables() -> None:
    """Write down all that is kept."""
    if kept("ngrams"):
        record("poems", "Quatrains of the Tang: what a character costs", COMMAND, costs_table(), COST_NOTES)
    if kept("verse-real"):
        record("poems-verse", "Quatrains of the Tang: poems by the rules of verse", COMMAND, verse_table(), VERSE_NOTES)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "ngrams": ngrams,
    "lm": lm,
    "parallel": lambda: vae("parallel"),
    "gru": lambda: vae("gru"),
    **{f"verse-{name}": lambda name=name: verse(name) for name in KINDS},
    "page": page,
}


def main() -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PARTS:
        write_json(KEPT / f"poems-{name}.json", PARTS[name]())
        print(name, kept(name), flush=True)
    tables()


if __name__ == "__main__":
    main()
