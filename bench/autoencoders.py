"""Plain autoencoders of width 32 on MNIST: against principal components, shown half the pixels, sparse, contractive.

    python bench/autoencoders.py [reconstruction | sparsity | contraction ...]        (default: all)

Errors are means over the pixels of the 10,000 test pictures, in units of the range from black to white, squared.
Whatever is chosen is chosen by the 5,000 validation pictures.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

import lowerbound
from _harness import record
from lowerbound.core import Exact
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.training.progress import Silent

COMMAND = "python bench/autoencoders.py"
WIDTH, LOST, SEED = 32, 0.5, 0
COMMON = {"likelihood": "mse", "latent": WIDTH, "batch_size": 256, "lr": 0.002}
PICTURES_FOR_JACOBIANS = 500

Array = np.ndarray[Any, Any]


def fitted(data: Dataset, recipe: str, **given: Any) -> tuple[lowerbound.Fitted, float]:
    """A trained model, and the minutes it took."""
    start = time.perf_counter()
    model = lowerbound.train(recipe, data, progress=Silent(), **{**COMMON, **given})
    return model, (time.perf_counter() - start) / 60


def options(**given: Any) -> str:
    """Arguments as they are typed."""
    words = [f"--{name.replace('_', '-')} {said(value)}" for name, value in {**COMMON, **given}.items()]
    return f"`{' '.join(words)}`"


def said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def pictures(data: Dataset, split: str) -> Array:
    """The stored pictures of a split."""
    return data.split(split).array("x")


def error(told: Array, clean: Array) -> float:
    return float(np.square((told - clean.astype(np.float32)) / 255).mean())


def masked(x: Array) -> Array:
    """Pictures with half their pixels black, the same half for every model."""
    lost = np.random.default_rng(SEED).random(x.shape) < LOST
    return np.where(lost, 0, x).astype(x.dtype)


def reconstruction(data: Dataset) -> None:
    """AE and DAE against principal components, of whole and of masked pictures."""
    x, shown = pictures(data, "test"), masked(pictures(data, "test"))
    pca = PCA(WIDTH, random_state=SEED).fit(pictures(data, "train").reshape(-1, 784))
    through = lambda v: pca.inverse_transform(pca.transform(v.reshape(-1, 784))).reshape(-1, 28, 28)  # noqa: E731
    base = {WHOLE_SHOWN: error(through(x), x), MASKED: error(through(shown), x)}
    doubled = {MASKED: error(through(2 * shown.astype(float)), x)}
    rows = [
        compared(f"PCA, {WIDTH} components (scikit-learn)", base, base),
        compared("the same, masked pictures at twice the brightness", doubled, base),
    ]
    for recipe in ("ae", "dae"):
        given = {"hidden": [512, 256], "epochs": 30}
        model, minutes = fitted(data, recipe, **given)
        found = {WHOLE_SHOWN: error(model.reconstruct(x), x), MASKED: error(model.reconstruct(shown), x)}
        rows.append({**compared(recipe, found, base), "training, min": round(minutes, 1), "options": options(**given)})
        record("autoencoders", f"Autoencoders of width {WIDTH}, MNIST", COMMAND, rows, RECONSTRUCTION)


WHOLE_SHOWN, MASKED = "test error", "test error, half masked"


def compared(name: str, found: dict[str, float], base: dict[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name}
    for what in base:
        row[what] = round(found[what], 5) if what in found else None
        row[f"{what}: of PCA's"] = round(found[what] / base[what], 3) if what in found else None
    return {**row, "training, min": None, "options": None}


RECONSTRUCTION = (
    "Squared error a pixel, the range being one; all 10,000 test pictures, one seed each, one thread beside other "
    "work. Half masked: each pixel black with probability ½, the same pixels for every model, and the error is to the "
    "clean picture; shown at twice the brightness, PCA has its expectation right. Batch size and rate were chosen by "
    "two short trials on the validation pictures, of the plain autoencoder alone."
)


def sparsity(data: Dataset) -> None:
    """The sparse autoencoder whose validation error is least of those that keep to rho on the validation pictures."""
    rho, rows, kept = 0.05, [], None
    for weight in (3.0, 6.0):
        given = {"hidden": [256], "epochs": 20, "lr": 0.005, "rho": rho, "weight": weight}
        model, minutes = fitted(data, "sparse-ae", **given)
        seen = model.evaluate(data, split="validation", particles=1)
        keeps = all(abs(mean / rho - 1) < 0.15 for mean in seen["mean_activation"])
        score = seen["reconstruction_mse"]["value"]
        print(f"weight {weight:g}: validation error {score:.5f}, mean activations {seen['mean_activation']}")
        if keeps and (kept is None or score < kept[0]):
            kept = (score, model, given, minutes)
    if kept is None:
        raise SystemExit("no candidate keeps to rho on the validation pictures")
    score, model, given, minutes = kept
    figures = model.evaluate(data, split="test", particles=1)
    for number, width in enumerate((256, WIDTH)):
        mean, (least, most) = figures["mean_activation"][number], figures["unit_activation_range"][number]
        rows.append(
            {
                "layer": ("hidden", "code")[number],
                "units": width,
                "mean activation on test": round(mean, 4),
                "off rho by": f"{100 * (mean / rho - 1):+.1f} %",
                "its units, from least to most": f"{least:.3f} to {most:.3f}",
                "test error of the model": round(figures["reconstruction_mse"]["value"], 5),
            }
        )
    notes = f"rho {rho}; trained in {minutes:.1f} min with {options(**given)}. {SPARSITY}"
    record("autoencoder_sparsity", "Sparse autoencoder, MNIST", COMMAND, rows, notes)


SPARSITY = (
    "Of two weights of the penalty, 3 and 6, that whose validation error was least among those within 15 % of rho in "
    "every layer there; weights 1 and 2, tried before, were not."
)


def contraction(data: Dataset) -> None:
    """Sensitivity against error, with the penalty and without: trained as long, for less, or of a narrower code."""
    rows: list[dict[str, Any]] = []
    for name, given in MODELS.items():
        model, minutes = fitted(data, "contractive-ae", hidden=[256], **given)
        rows.append({"model": name, **sensitivity(model, data), "training, min": round(minutes, 2)})
        beside_its_equals(rows)
        record("autoencoder_contraction", "Contractive autoencoder, MNIST", COMMAND, rows, CONTRACTION)


MODELS: dict[str, dict[str, Any]] = {
    "no penalty": {"weight": 0.0, "epochs": 8},
    "no penalty, 2 epochs": {"weight": 0.0, "epochs": 2},
    "penalty × 0.1": {"weight": 0.1, "epochs": 8},
    "penalty × 0.03": {"weight": 0.03, "epochs": 8},
    "no penalty, width 16": {"weight": 0.0, "epochs": 8, "latent": 16},
    "penalty × 0.3": {"weight": 0.3, "epochs": 8},
}
RIVALS = {"shorter": "epochs", "narrower": "width"}
SCALED, WHOLE = "‖∂h/∂x‖² / var h", "‖∂x̂/∂x‖²"

CONTRACTION = (
    "h is the code, x the picture in units of its range, x̂ what is decoded; Jacobians are exact, over the first 500 "
    "test pictures. ‖∂h/∂x‖² alone could be lowered by a smaller code, so it is divided by the code's own variance; "
    "‖∂x̂/∂x‖² knows no code. Of the shorter's, of the narrower's: the figure over that which autoencoders without "
    "the penalty have at the same test error, those trained for fewer epochs and those of a narrower code, along the "
    "line between the two nearest; given within their range only. 8 epochs and width 32 where nothing else is said, "
    "networks 784-256-32-256-784, tanh, and the same price on the decoder's weights. A projection onto 32 dimensions "
    "has ‖∂x̂/∂x‖² = 32 (PCA's test error is 0.0168): as trained here, these models are near to it, and what the "
    "penalty takes away is answer to directions in which the data hardly vary."
)


def sensitivity(model: lowerbound.Fitted, data: Dataset) -> dict[str, Any]:
    """The test error, and what moves when a test picture does."""
    x = pictures(data, "test")
    u = torch.from_numpy(x[:PICTURES_FOR_JACOBIANS]) / 255
    network = model.setup.model
    code: Callable[[torch.Tensor], torch.Tensor] = lambda v: network.posterior(v).mean  # noqa: E731
    decoded: Callable[[torch.Tensor], torch.Tensor] = lambda z: network.decode(z)["x"].mean  # noqa: E731
    with torch.no_grad():
        h = code(u)
        norm, spread = Exact(code)(u).mean(), h.var(0).sum()
        whole = torch.stack([through(code, decoded, each) for each in u.split(20)]).mean()
    return {
        "test error": round(error(model.reconstruct(x), x), 5),
        "‖∂h/∂x‖²": round(float(norm), 3),
        SCALED: round(float(norm / spread), 3),
        WHOLE: round(float(whole), 2),
    }


def through(code: Callable[..., torch.Tensor], decoded: Callable[..., torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    """‖∂x̂/∂x‖² by the chain rule, for the code is the narrow place: the product of both Jacobians."""
    inward = torch.func.vmap(torch.func.jacrev(lambda v: code(v[None])[0]))(u).flatten(2)
    outward = torch.func.vmap(torch.func.jacfwd(lambda z: decoded(z[None])[0]))(code(u)).flatten(1, 2)
    return (outward @ inward).square().sum((1, 2)).mean()


def beside_its_equals(rows: list[dict[str, Any]]) -> None:
    """Beside each figure of a penalised model, its ratio to the unpenalised at the same test error."""
    for rival, word in RIVALS.items():
        plain = [row for row in rows if row["model"] == "no penalty" or word in row["model"]]
        curve = sorted(plain, key=lambda row: row["test error"])
        for row in rows:
            for name in (SCALED, WHOLE):
                row[f"{name}, of the {rival}'s"] = ratio(row, curve, name) if "×" in row["model"] else None


def ratio(row: dict[str, Any], curve: list[dict[str, Any]], name: str) -> float | None:
    errors = [each["test error"] for each in curve]
    if not errors[0] <= row["test error"] <= errors[-1]:
        return None
    return round(row[name] / float(np.interp(row["test error"], errors, [each[name] for each in curve])), 3)


PARTS = {"reconstruction": reconstruction, "sparsity": sparsity, "contraction": contraction}


def main() -> None:
    data = load_data("mnist")
    for name in sys.argv[1:] or PARTS:
        PARTS[name](data)


if __name__ == "__main__":
    os.nice(5)
    main()
