"""Sentences out of a model of short glosses: gaps filled, paths between two of them; docs/sentences.md.

    python bench/sentences.py [PART ...]    (default: those not measured yet, then the table and the page)

Parts: n-grams, and two models by their names, find one masked word of each of some held-out glosses; examples,
unpicked: draws, reconstructions, paths and fillings of the model whose validation bound is the better. Runs lie in
lowerbound-sentences in the folder for temporary files, and one begun there is gone on with.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import lowerbound
from _harness import RESULTS, ROOT, machine, record
from _ngram import KneserNey
from collapse import BODY, WORDS, data
from lowerbound.core.psis import RELIABLE_K
from lowerbound.data.dataset import Dataset
from lowerbound.data.text.vocabulary import Vocabulary
from lowerbound.evaluation.infill import GAPS, Infilling
from lowerbound.evaluation.metrics import evaluate
from lowerbound.files import write_json, write_text
from lowerbound.fitted import Fitted

COUNT, PARTICLES, SEED = 200, 500, 0
"""Held-out glosses with one word masked, draws for each of them, and what fixes which word."""

END, UNKNOWN, BEGIN = 0, 1, -2
"""Codes: of an end, of what has none, and of what stands before a gloss for n-grams."""
STRANGE = "□"
"""A word that has no code."""

ROWS, DRAWS = 500, 30
"""Held-out glosses that are scored whole, and draws of z for each."""

LEAST = 4
"""Symbols that such a gloss has at least, its end among them."""

SYMBOLS, RARE = 6_000, 0
"""Glosses none of whose words is another than these, of the commonest."""

COMMON: dict[str, Any] = {"latent": 32, "decoder": "gru", **BODY, "batch_size": 64, "lr": 3e-3, "clip": 5.0}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "gru": {"dropout": 0.2, "word_dropout": 0.4, "anneal": 1_200, "free_bits": 0.2, "epochs": 8},
    "annealing": {"dropout": 0.1, "anneal": 700, "free_bits": 0.05, "epochs": 6},
}
"""The one with the better validation bound is the one that examples are of."""

GAPPED = (
    "a small ___ with ___ wings",
    "a person who ___ ___",
    "of or relating to ___",
    "the act of ___ something",
    "a ___ used to make ___",
)
STEPS, PAIRS, SHOWN = 7, 4, 10

KEPT = RESULTS / "parts"
PAGE = ROOT / "docs" / "sentences.md"
RUNS = Path(tempfile.gettempdir()) / "lowerbound-sentences"


def glosses() -> Dataset:
    return data(SYMBOLS, RARE)


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary.by(glosses().spec.variables[0])


@cache
def trained(name: str) -> Fitted:
    """A model, trained, or the rest of its training."""
    if (RUNS / name).exists():
        return lowerbound.resume(RUNS / name, glosses())
    return lowerbound.train("text-vae", glosses(), RUNS / name, **COMMON, **MODELS[name])


@cache
def held() -> tuple[np.ndarray, np.ndarray]:
    """Codes of held-out glosses (N, L), and the place (N,) in each that is masked: any word that has a code."""
    codes = np.nan_to_num(glosses().split("test").array("x"), nan=-1).astype(int)
    codes = codes[(codes >= 0).sum(1) >= LEAST]
    chance = np.random.PCG64(SEED).random_raw(codes.size).reshape(codes.shape)
    return codes[:COUNT], np.where(codes > 1, chance, 0).argmax(1)[:COUNT]


def texts() -> tuple[list[str], list[str]]:
    """The same as texts with a gap, and whole; a word without a code stays without one."""
    symbols = [*vocabulary().symbols]
    symbols[UNKNOWN] = STRANGE
    whole = [[symbols[code] for code in row if code > 0] for row in held()[0]]
    pairs = [([*row], gap) for row, gap in zip(whole, held()[1])]
    for row, gap in pairs:
        row[gap] = GAPS["words"]
    return [" ".join(row) for row, _ in pairs], [" ".join(row) for row in whole]


def masked() -> list[int]:
    """What stood in the gaps."""
    codes, gaps = held()
    return codes[np.arange(len(codes)), gaps].tolist()


def by_model(name: str) -> dict[str, Any]:
    """What a model makes of each gap: its likeliest words, and log p of the one that stood there; and of glosses."""
    start = time.process_time()
    model, seconds = trained(name), round(time.process_time() - start)
    found = model.infill(*texts(), Infilling(1, PARTICLES), SEED)
    assert found.truth is not None
    likeliest = [[word for word in gaps[0] if word != "<unknown>"] for gaps in found.words]
    figures = evaluate(model.setup, glosses().split("test").where(slice(ROWS)), DRAWS)
    kept = {each: figures[each] for each in ("log_p", "elbo", "rate", "active_units", "nats_per_symbol", "perplexity")}
    doubtful = int((found.khat > RELIABLE_K).sum())
    return {**scored(likeliest, found.truth.tolist()), "doubtful": doubtful, "seconds": seconds, "figures": kept}


def scored(likeliest: Sequence[Sequence[str]], log_p: Sequence[float]) -> dict[str, Any]:
    """likeliest: words of each gap, the likeliest first; log_p: of the one that stood there, in nats."""
    right = [vocabulary().symbols[code] for code in masked()]
    found = {f"top_{n}": [word in words[:n] for word, words in zip(right, likeliest)] for n in (1, 5)}
    return {**found, "log_p": [round(each, 4) for each in log_p]}


def n_grams() -> dict[str, Any]:
    """The same of the words' shares, and of n-grams that look to both sides."""
    return {name: by_n_gram(order) for name, order in (("unigram", 1), ("bigrams", 2), ("trigrams", 3))}


def by_n_gram(order: int) -> dict[str, Any]:
    """p(word | both sides) ∝ Π p(each symbol whose context or self it is), smoothed as Kneser and Ney do."""
    rows = np.nan_to_num(glosses().split("train").array("x"), nan=-1).astype(int)
    begun = [[BEGIN] * (order - 1) + [code for code in row if code >= 0] for row in rows.tolist()]
    fitted = KneserNey(order, len(vocabulary().symbols)).fit(begun, [[code != BEGIN for code in row] for row in begun])
    likeliest, log_p = [], []
    for row, gap, code in zip(held()[0].tolist(), held()[1].tolist(), masked()):
        each = both_sides(fitted, [BEGIN] * (order - 1) + [code for code in row if code >= 0], gap + order - 1)
        best = np.argsort(-each)[:6]
        likeliest.append([vocabulary().symbols[word] for word in best if word != UNKNOWN])
        log_p.append(float(each[code] - np.logaddexp.reduce(each)))
    return scored(likeliest, log_p)


def both_sides(model: KneserNey, row: list[int], gap: int) -> np.ndarray:
    """log p of the row with each symbol but an end in the gap, as far as it depends on it."""
    found = np.full(model.symbols, -np.inf)
    for code in range(UNKNOWN, model.symbols):
        tried = [*row[:gap], code, *row[gap + 1 :]]
        places = range(gap, min(gap + model.order, len(row)))
        found[code] = sum(math.log(model.p(tuple(tried[at - model.order + 1 : at]), tried[at])) for at in places)
    return found


def validated(name: str) -> float:
    """The bound on validation glosses, whatever was charged in training."""
    return float(evaluate(trained(name).setup, glosses().split("validation").where(slice(ROWS)), 1)["elbo"]["value"])


@cache
def chosen() -> str:
    return max(MODELS, key=validated)


def examples() -> dict[str, Any]:
    """The first seed's, unpicked."""
    model, rows = trained(chosen()), glosses().split("test")
    x = rows.array("x")
    paths = [model.interpolate(x[2 * pair], x[2 * pair + 1], STEPS).tolist() for pair in range(PAIRS)]
    fillings = model.infill(list(GAPPED), manner=Infilling(5, 500))
    return {
        "model": chosen(),
        "samples": model.sample(SHOWN).tolist(),
        "drawn": model.sample(SHOWN, mean=False).tolist(),
        "reconstructions": list(zip(vocabulary().decode(x[:SHOWN]).tolist(), model.reconstruct(x[:SHOWN]).tolist())),
        "paths": [
            {"from": a, "to": b, "path": path}
            for (a, b), path in zip(vocabulary().decode(x[: 2 * PAIRS]).reshape(-1, 2).tolist(), paths)
        ],
        "fillings": [
            {"text": text, "filled": filled, "words": words}
            for text, filled, words in zip(GAPPED, fillings.texts.tolist(), fillings.words)
        ],
    }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "n-grams": n_grams,
    **{name: partial(by_model, name) for name in MODELS},
    "examples": examples,
}


def kept(part: str) -> Path:
    return KEPT / f"sentences_{part.replace(' ', '_')}.json"


def read(part: str) -> Any:
    return json.loads(kept(part).read_text())


def row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    log_p = np.array(found["log_p"])
    return {
        "by": name,
        "found %": round(100 * float(np.mean(found["top_1"])), 1),
        "± of it": round(100 * float(np.std(found["top_1"])) / math.sqrt(len(log_p)), 1),
        "among five %": round(100 * float(np.mean(found["top_5"])), 1),
        "log p of the word": round(float(log_p.mean()), 2),
        "± of that": round(float(log_p.std()) / math.sqrt(len(log_p)), 2),
        "doubtful": found.get("doubtful"),
    }


def rows() -> list[dict[str, Any]]:
    lines = [
        row(f"{name}, both sides" if name != "unigram" else name, found) for name, found in read("n-grams").items()
    ]
    return lines + [row(f"text-vae, gru ({settings(name)})", read(name)) for name in MODELS]


TITLE = "Sentences: one masked word of held-out glosses"


def settings(name: str) -> str:
    return ", ".join(f"{key} {value}" for key, value in MODELS[name].items())


NOTES = f"""Short glosses, none of whose words is rare; one seed. Of each of the first {COUNT} test glosses of at
least {LEAST - 1} words one word is masked, whichever, and found by `infill` with {PARTICLES} particles in two rounds.
found: the likeliest word is the one that stood there. log p of the word is given all others, in nats; the model's is
estimated, and errs downwards. The n-grams (Kneser-Ney, trained on the same glosses) multiply the probabilities of all
symbols whose context the gap is in, and are normalised over the words. doubtful: glosses of which k̂ of the particles is
above 0.7."""

PAGE_HEAD = """# Sentences

Written by `python bench/sentences.py`. A sentence is data like any other: a row of words out of a vocabulary that is
made of the training rows, its end scored as a symbol, and nothing beyond it.

    lowerbound train text-vae --data glosses --decoder gru --anneal 2000 --free-bits 0.1 --out run
    lowerbound sample run --out -
    lowerbound interpolate run --between "a small bird" "a large building" --out -
    lowerbound infill run "a small ___ with ___ wings"

`glosses` are 98 815 definitions out of WordNet 3.0 (copyright Princeton University; its licence lets them be used,
copied and changed freely), of at most 16 words. In Python the verbs are those of every model, and take and give arrays
of `str`: `model.sample(10)`, `model.interpolate(a, b)`, `model.infill(["a small ___"])`.

## What a gap is filled by

A decoder that writes word by word knows p(word | words before, z), and a gap is asked about by the words on both sides.
z is drawn from q(z | what is there), each gap from the decoder in turn, and the draws are weighed by what comes after:

    log w = log p(z) − log q(z) + Σ over the words that are there of log p(word | all before, z)

The mean of the weights is p(what is there), exactly, however bad q is; fillings are draws resampled by them, and a
second round draws z from the encoder's posteriors of texts that the first completed. A decoder that writes all words at
once is asked in the same way. `tests/evaluation/test_infill.py` holds both to the sum over every filling of a small
model. How well masked words are found, beside n-grams that look to both sides: [results](results.md).

## Out of a small model

The examples below are the first of their seeds, none left out. They are of {about}. Which remedies keep z in use, and
what they cost, is on the page of [results](results.md).

![KL and log p by remedy](images/collapse.png)
"""


def page(found: dict[str, Any], measured: dict[str, Any]) -> str:
    """The page, in Markdown."""
    figures = {key: each["value"] for key, each in measured["figures"].items() if key != "active_units"}
    about = (
        f"a text-vae of {glosses().spec.splits['train']:,}\nglosses of at most {WORDS} words out of {SYMBOLS:,}, "
        f"trained for {measured['seconds'] / 60:.0f} minutes of one core: KL {figures['rate']:.1f} nats\na gloss, "
        f"{measured['figures']['active_units']} active units of 32, perplexity {figures['perplexity']:.0f} on "
        f"the first {ROWS:,} test\nglosses ({figures['nats_per_symbol']:.2f} nats a symbol, by {DRAWS} particles)"
    )
    parts = [
        PAGE_HEAD.replace("{about}", about),
        "### Drawn from p(z), each word the likeliest after those before it\n",
        listed(found["samples"]),
        "### Drawn from p(z), each word drawn\n",
        listed(found["drawn"]),
        "### Held-out glosses, and what their codes are decoded to\n",
        quoted([f"{a}\n → {b}" for a, b in found["reconstructions"]]),
        "### Paths between two held-out glosses, along the arc between their codes\n",
        *(quoted([f"[{each['from']}]", *each["path"], f"[{each['to']}]"]) for each in found["paths"]),
        "### Gaps, five fillings each\n",
        *(quoted([each["text"], *(f" → {text}" for text in each["filled"])]) for each in found["fillings"]),
        f"{machine()}\n",
    ]
    return "\n".join(parts)


def listed(lines: Sequence[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def quoted(lines: Sequence[str]) -> str:
    return "```text\n" + "".join(f"{line}\n" for line in lines) + "```\n"


def main() -> None:
    for part in sys.argv[1:] or [each for each in PARTS if not kept(each).exists()]:
        print(part, flush=True)
        write_json(kept(part), PARTS[part]())
    record("sentences", TITLE, "python bench/sentences.py", rows(), NOTES)
    write_text(PAGE, page(read("examples"), read(read("examples")["model"])))


if __name__ == "__main__":
    main()
