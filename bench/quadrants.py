"""MNIST's quadrants told from one another: one conditional model, and its plain guess alone, grey and binarised.

    python bench/quadrants.py train | measure | show     (default: all three; what is kept is gone on with)

One, two or three quadrants of a picture are observed, as by Kihyuk Sohn, Honglak Lee and Xinchen Yan, "Learning
structured output representation using deep conditional generative models", 2015, and in Pyro's tutorial on it: the
lower left, the left half, all but the lower right. Runs lie in lowerbound-quadrants in the folder for temporary files.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution

import lowerbound
from _harness import RESULTS, ROOT, record, seconds
from lowerbound import plots
from lowerbound.core import AnalyticELBO
from lowerbound.core.conditionals import Parametric
from lowerbound.data.dataset import load_data
from lowerbound.data.masks import Hiding, Masks
from lowerbound.data.spec import DataSpec
from lowerbound.data.views import Scale, View
from lowerbound.evaluation.completion import Completing
from lowerbound.evaluation.metrics import evaluate
from lowerbound.files import write_json
from lowerbound.precision import products
from lowerbound.recipes import Setup, parts
from lowerbound.recipes.completing_vae import Sizes, completing
from lowerbound.recipes.registry import recipe
from lowerbound.run.folder import Run
from lowerbound.run.settings import Settings
from lowerbound.run.tensors import load_tensors
from lowerbound.training.loop import train as fit
from lowerbound.training.progress import shown_on
from lowerbound.training.start import Start

MASKS = ("quadrants-1", "quadrants-2", "quadrants-3")
LATENT, ACTIVATION = 50, "relu"
HIDDEN = {LATENT: (300, 300), 0: (500, 500)}
"""Of the conditional model's networks, its guess's among them; and of a guess alone."""
MODELS: dict[str, dict[str, Any]] = {
    "binarised": {"recipe": "completing-vae", "latent": LATENT, "legs": ((11, 1e-3), (12, 1e-3))},
    "grey": {"recipe": "grey-quadrants", "latent": LATENT, "legs": ((11, 1e-3), (12, 1e-3))},
    "binarised guess": {"recipe": "completing-vae", "latent": 0, "legs": ((15, 1e-3),)},
    "grey guess": {"recipe": "grey-quadrants", "latent": 0, "legs": ((15, 1e-3),)},
}
"""What is trained, in legs of so many epochs at rates that fall from there to 0, each from where the one before ended.
The guesses are the plain networks by themselves, as the others have them."""
RUNS, KEPT = Path(tempfile.gettempdir()) / "lowerbound-quadrants", RESULTS / "parts"
PICTURES = ROOT / "docs" / "images"
PICTURES_MEASURED, PARTICLES, MANY, FIRST = 10_000, 100, 1000, 250
"""Of each of so many test pictures, so many particles; and more of each of the first."""

KINDS = ("grey", "binarised")
TITLE = "MNIST's quadrants: the rest of a picture from one, two or three of them"
PUBLISHED = {
    "quadrants-1": {"Pyro": "71.8 (net 100.4)", "Sohn et al.": "63.9"},
    "quadrants-2": {"Pyro": "51.0 (net 61.9)", "Sohn et al.": "45.0"},
    "quadrants-3": {"Pyro": "24.2 (net 25.4)", "Sohn et al.": "21.0"},
}

NOTES = (
    "One model for all three tasks a kind of pixels, each picture under one of the masks at random; networks of "
    f"{' and '.join(map(str, HIDDEN[LATENT]))} units, z of {LATENT}; 55,000 training, 5,000 validation pictures, and "
    "of the official test ones so many as are said; weights kept by the validation pictures alone; one seed, one "
    "thread, beside work that took nine tenths of the machine. −CLL: by importance sampling from q(z | x_observed, "
    f"x_hidden), nats a picture, an upper bound in expectation, with its error over test pictures, and what {MANY:,} "
    "particles take off it on a few of them. Grey: x log p + (1 − x) log (1 − p) of grey values, as Pyro's tutorial "
    "scores them: it is no likelihood. Binarised: pixels drawn once, observed ones too, a likelihood. Pyro: 500, 500 "
    "units, z of 200, a model a task, 60,000 training pictures, weights and figure by the same 10,000 test pictures, "
    "up to 50 epochs; its figure is the ELBO, which compares with ours. Sohn et al.: importance sampling. Its guess: "
    "the network in the model whose code the prior reads, trained on its own error; a guess alone: the same with 500 "
    "and 500 units and 15 epochs, for all three tasks too."
)


@final
class GreyBernoulli(Parametric):
    """x log p + (1 − x) log (1 − p) of grey values: no density of them, but what is published under its name."""

    per_value = 1

    def family(self, h: Tensor) -> Distribution:
        return D.Bernoulli(logits=h.float(), validate_args=False)


@recipe("grey-quadrants")
def grey_quadrants(spec: DataSpec, *, latent: int = LATENT) -> Setup:
    """The completing-vae of grey pictures under a Bernoulli's cross-entropy. Choose it never but to compare.

    Args:
        latent: dimensions of z, 0 for the guess alone.
    """
    x, known = parts.only_variable(spec), parts.family("bernoulli")
    family = replace(known, build=lambda net, v: GreyBernoulli(net, len(v.shape)))
    sizes = Sizes(x, family, "mlp", HIDDEN[latent], ACTIVATION, parts.reads(x, "continuous-bernoulli"))
    return completing(sizes, latent, AnalyticELBO(), Scale(x.low, x.high), Hiding(x.name, Masks(x.shape, MASKS)))


def main() -> None:
    for step in sys.argv[1:] or ("train", "measure", "show"):
        {"train": train, "measure": measure, "show": show}[step.partition("=")[0]](step.partition("=")[2])


def train(only: str = "") -> None:
    """All models, or the one named by train=NAME; what was begun is gone on with, what is done is left."""
    for name in [only] if only else MODELS:
        for number in range(len(MODELS[name]["legs"])):
            if not (run_of(name, number) / "weights.safetensors").exists():
                print(name, number, f"{seconds(partial(leg, name, number)):.0f} s", flush=True)


def run_of(name: str, number: int) -> Path:
    return RUNS / "-".join([*name.split(), *([str(number + 1)] if number else [])])


def leg(name: str, number: int) -> None:
    """Train one leg of a model, or go on with it."""
    data, run, chosen = load_data("mnist"), run_of(name, number), MODELS[name]
    epochs, lr = chosen["legs"][number]
    arguments = {"latent": chosen["latent"]}
    if chosen["recipe"] == "completing-vae":
        arguments |= {"hidden": HIDDEN[chosen["latent"]], "activation": ACTIVATION, "masks": MASKS}
    settings = Settings(epochs=epochs, lr=lr, batch_size=64, seed=number)
    made = Run.open(run) if run.exists() else Run.create(run, chosen["recipe"], arguments, data.spec, settings)
    before = load_tensors(run_of(name, number - 1) / "weights.safetensors") if number else None
    fit(made, data, progress=shown_on(sys.stderr), start=before and Start(before))


def trained(name: str) -> lowerbound.Fitted:
    """The model after the last of its legs that are over."""
    return lowerbound.load(run_of(name, legs_over(name) - 1), device="cpu")


def legs_over(name: str) -> int:
    """How many legs of a model are trained."""
    runs = [run_of(name, number) for number in range(len(MODELS[name]["legs"]))]
    return sum((run / "weights.safetensors").exists() for run in runs)


def measure(only: str = "") -> None:
    """Every model under every mask, unless that was done before; then the table."""
    for name in [only] if only else MODELS:
        for mask in MASKS:
            if (legs := legs_over(name)) and not (path := part(name, mask, legs)).exists():
                KEPT.mkdir(parents=True, exist_ok=True)
                write_json(path, figures(trained(name), mask))
                print(path.name, path.read_text(), flush=True)
    rows = [row(mask, kind) for kind in KINDS for mask in MASKS if kept(kind, mask)]
    record("quadrants", TITLE, "python bench/quadrants.py", rows, NOTES)


def part(name: str, mask: str, legs: int) -> Path:
    return KEPT / f"quadrants_{name.replace(' ', '_')}_{legs}_{mask}.json"


def kept(name: str, mask: str) -> dict[str, Any] | None:
    """What was measured of a model after the most legs, and how many epochs these were."""
    legs = MODELS[name]["legs"]
    for count in range(len(legs), 0, -1):
        if (path := part(name, mask, count)).exists():
            return {**json.loads(path.read_text()), "epochs": sum(epochs for epochs, _ in legs[:count])}
    return None


def figures(fitted: lowerbound.Fitted, mask: str) -> dict[str, Any]:
    """On the first test pictures with a hundred particles, on a few with more."""
    about = fitted.spec.variables[0]
    setup = replace(fitted.setup, hiding=Hiding(about.name, Masks(about.shape, [mask])))
    found = asked(setup, PICTURES_MEASURED, PARTICLES)
    few, many = (asked(setup, FIRST, count)["log_p"] for count in (PARTICLES, MANY))
    wanted = ("log_p", "elbo", "guess", "khat")
    result = fitted.run.record.result if fitted.run else None
    more = {"few": few, "many": many, "first": FIRST, "run": result}
    return {**{name: found[name] for name in wanted}, "count": found["count"], **more}


def asked(setup: Setup, count: int, particles: int) -> dict[str, Any]:
    """An evaluation on the first test pictures; of values as the model sees them, not of bytes."""
    view = setup.views["x"]
    plain = replace(setup, views={"x": _Unscaled(view) if isinstance(view, Scale) else view})
    with products("bf16"):
        found: dict[str, Any] = evaluate(plain, load_data("mnist").split("test").where(slice(count)), particles)
    return found


@final
class _Unscaled(View):
    """What a view makes of bytes, without the change of volume: what is scored is no density of bytes."""

    def __init__(self, inner: View) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, raw: Tensor) -> Tensor:
        return self.inner(raw)

    def expected(self, raw: Tensor) -> Tensor:
        return self.inner.expected(raw)

    def inverse(self, value: Tensor) -> Tensor:
        return self.inner.inverse(value)

    @property
    def log_slope(self) -> Tensor:
        return torch.zeros(())

    @property
    def log_volume(self) -> float:
        return 0.0


def row(mask: str, kind: str) -> dict[str, Any]:
    """A row of the table."""
    model, alone = kept(kind, mask), kept(f"{kind} guess", mask)
    assert model is not None
    return {
        "observed": mask.removeprefix("quadrants-"),
        "pixels": kind,
        "epochs": model["epochs"],
        "pictures": model["count"],
        "−CLL, 100 particles": shown(model["log_p"]),
        f"less with {MANY:,}": f"{model['many']['value'] - model['few']['value']:.2f} on {model['first']:,}",
        "−ELBO": shown(model["elbo"]),
        "its guess": f"{-model['guess']['log_p']:.2f} ± {model['guess']['stderr']:.2f}",
        "a guess alone": shown(alone["log_p"]) if alone else "",
        "k̂ > 0.7": f"{100 * model['khat']['share_above_0.7']:.0f} %",
        **(PUBLISHED[mask] if kind == "grey" else {}),
    }


def shown(found: dict[str, float]) -> str:
    """Minus the value, with its standard error over test pictures."""
    return f"{-found['value']:.2f} ± {found['stderr']:.2f}"


def show(only: str = "") -> None:
    """Completions of the first test pictures by the binarised model, a picture a mask."""
    fitted = trained("binarised")
    x = load_data("mnist").split("test").array("x")[:8]
    for mask in MASKS:
        observed = Masks(x.shape[1:], [mask])(len(x)).numpy()
        found = fitted.complete(x, observed, Completing(draws=5, particles=100))
        plots.write_png(PICTURES / f"{mask}.png", plots.completions(x, observed, found.draws, 0, 255))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
