"""log p(x) by importance sampling beside pythae's `get_nll`: the same weights, K = 1,000; and memory as K grows.

python bench/log_likelihood.py
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from torch import nn

from _harness import alternately, paired_ratio, record, seconds
from lowerbound.core import Batch, Bernoulli, Gaussian, Latent, log_marginal, standard_normal
from lowerbound.precision import Precision, products
from train_throughput import LATENT, WIDTH, pictures

PARTICLES, OURS, THEIRS, ROUNDS = 1000, 500, 20, 5
GROWING = (100, 1_000, 10_000, 100_000)


def pythae_model() -> VAE:
    """pythae's default perceptrons with weights drawn from a fixed seed."""
    torch.manual_seed(0)
    return VAE(VAEConfig(input_dim=(784,), latent_dim=LATENT, reconstruction_loss="bce")).eval()


def same_model(theirs: VAE) -> Latent:
    """The same networks as a `Latent`, weight for weight."""
    first, decoder = theirs.encoder.layers[0][0], theirs.decoder.layers
    heads = nn.Linear(WIDTH, 2 * LATENT)
    mean, log_variance = theirs.encoder.embedding, theirs.encoder.log_var
    with torch.no_grad():
        heads.weight.copy_(torch.stack([mean.weight, log_variance.weight], 1).flatten(0, 1))
        heads.bias.copy_(torch.stack([mean.bias, log_variance.bias], 1).flatten())
    encode = nn.Sequential(first, nn.ReLU(), heads, nn.Unflatten(-1, (LATENT, 2)))
    decode = nn.Sequential(decoder[0][0], nn.ReLU(), decoder[1][0])
    return Latent(standard_normal(LATENT), Gaussian(encode), Bernoulli(decode))


def main() -> None:
    x = torch.from_numpy(pictures()).float()
    theirs = pythae_model()
    model = same_model(theirs)
    answers: dict[str, float] = {}
    logs: dict[str, torch.Tensor] = {}

    def pythae() -> float:
        with torch.no_grad():
            took = seconds(lambda: answers.update(pythae=theirs.get_nll(x[:THEIRS], PARTICLES, 100)))
        return THEIRS * PARTICLES / took

    def ours(name: str, precision: Precision) -> float:
        torch.manual_seed(0)
        with products(precision):
            took = seconds(lambda: logs.update({name: log_marginal(model, Batch({"x": x[:OURS]}), PARTICLES).log_p}))
        answers[name] = float(logs[name][:THEIRS].mean())
        return OURS * PARTICLES / took

    rough = "lowerbound, precision bf16"
    work = {"lowerbound": lambda: ours("lowerbound", "fp32"), rough: lambda: ours(rough, "bf16"), "pythae": pythae}
    for run in work.values():
        run()
    rates = alternately(work, ROUNDS)
    rows = [
        {
            "what": name,
            "datum × particle a second (median)": round(statistics.median(each)),
            "faster than pythae by": round(paired_ratio(each, rates["pythae"]), 2),
            "mean log p of the same data": round(answers[name], 2),
        }
        for name, each in rates.items()
    ]
    apart = logs[rough] - logs["lowerbound"]
    peaks = {k: peak(k) for k in GROWING}
    memory = ", ".join(f"{mebibytes} MiB at K = {k:,}" for k, mebibytes in peaks.items())
    notes = (
        f"{torch.get_num_threads()} threads each; the same untrained weights in both. pythae's `get_nll` returns log p "
        "itself, without a minus. With products in bf16 and the same noise, log p of a datum moves by "
        f"{float(apart.square().mean().sqrt()):.1g} nats (root mean square), the mean over data by "
        f"{float(apart.mean()):.1g}. Peak memory of a process that estimates {THEIRS} data with lowerbound: {memory}."
    )
    record("log_likelihood", "log p(x), K = 1,000", "python bench/log_likelihood.py", rows, notes)


def peak(particles: int) -> int:
    """Peak memory in MiB of a fresh process that estimates log p of a few data."""
    run = subprocess.run([sys.executable, __file__, str(particles)], capture_output=True, text=True, check=True)
    return int(run.stdout)


def estimate_only(particles: int) -> None:
    """What `peak` measures."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy((rng.random((THEIRS, 784)) > 0.8).astype(np.float32))
    log_marginal(same_model(pythae_model()), Batch({"x": x}), particles)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    estimate_only(int(sys.argv[1])) if len(sys.argv) > 1 else main()
