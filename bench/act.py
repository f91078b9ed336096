"""Action chunking on ALOHA's transfer of a cube: successes in simulation, what each part is worth, how fast it acts.

    python bench/act.py [PART ...]     (default: all; each is kept, and what is kept is tabled with it)

Parts: demos, 50 episodes of the script; the name of each training (see TRAININGS), trained and then rolled out in 50
episodes by each of its ways; speed, the batched policy against a plain loop over episodes; picture,
docs/images/rollout.png of the first test episode that goes well. Runs lie in lowerbound-act in the folder for temporary
files, and one begun there is gone on with. Needs the extra robot.

Settings were chosen on the seeds of VALIDATION; test seeds are rolled out once a training and way.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lowerbound
from _harness import RESULTS, ROOT, record
from lowerbound.files import write_json
from lowerbound.fitted import Fitted
from lowerbound.plots import write_png
from lowerbound.robots.demonstrations import Demonstrations
from lowerbound.robots.policy import Policy, Style, steps_of
from lowerbound.robots.rollouts import Rollouts, roll_out
from lowerbound.robots.simulators import Simulator, simulator
from lowerbound.robots.style import style
from lowerbound.robots.video import STRIP, Camera

NAME = "aloha-transfer-cube"
KEPT = RESULTS / "parts"
RUNS = Path(tempfile.gettempdir()) / "lowerbound-act"
PICTURE = ROOT / "docs" / "images" / "rollout.png"
SHAKE = 0.015
"""Radians, and of grippers shares, by which demonstrations are disturbed."""

TEST, VALIDATION = range(1000, 1050), range(2000, 2020)
"""Seeds of episodes; the script's are 0 to 49."""

COMMON: dict[str, Any] = {"chunk": 50, "lr": 1e-3, "lr_warmup": 200}
PERCEPTRON: dict[str, Any] = {**COMMON, "net": "mlp", "epochs": 20, "batch_size": 128}
TRANSFORMER: dict[str, Any] = {**COMMON, "clip": 1.0, "epochs": 4, "batch_size": 32}


def drawn(model: Any, told: Tensor) -> Tensor:
    """A z of each episode's own from p(z|c), the same at every step and in every run."""
    prior = model.prior(told[:1]).mean
    return torch.randn(len(told), prior.shape[-1], generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Way:
    """How a policy acts: asked every so many steps (0: once a chunk), blended by this m, by this z."""

    every: int = 1
    ensemble: float | None = 0.01
    style: Style | None = None

    def policy(self, model: Fitted) -> Policy:
        return Policy(model, self.every or steps_of(model), self.ensemble, style=self.style)


WAYS: Mapping[str, Way] = {
    "asked at every step, blended": Way(),
    "whole chunks, open loop": Way(0, None),
    "asked at every step, newest": Way(1, None),
    "asked at every step, blended, z drawn": Way(style=drawn),
}
FULL, PLAIN = tuple(WAYS), tuple(WAYS)[:2]


@dataclass(frozen=True)
class Training:
    """What a model is trained with, and the ways it is rolled out."""

    settings: Mapping[str, Any]
    ways: tuple[str, ...] = PLAIN
    shake: float = SHAKE

    @property
    def data(self) -> Path:
        """The demonstrations it is trained on."""
        return RUNS / ("demos" if self.shake else "demos-calm")


TRAININGS: Mapping[str, Training] = {
    "transformer": Training(TRANSFORMER),
    "transformer-z-off": Training({**TRANSFORMER, "latent": 0}),
    "transformer-chunk-1": Training({**TRANSFORMER, "chunk": 1}, PLAIN[:1]),
    "transformer-no-kl": Training({**TRANSFORMER, "kl_weight": 0.0}),
    "mlp": Training(PERCEPTRON, FULL),
    "mlp-chunk-1": Training({**PERCEPTRON, "chunk": 1}, PLAIN[:1]),
    "mlp-z-off": Training({**PERCEPTRON, "latent": 0}),
    "mlp-no-kl": Training({**PERCEPTRON, "kl_weight": 0.0}, FULL),
    "mlp-calm": Training(PERCEPTRON, shake=0.0),
}
TITLES = {
    "transformer": "transformer",
    "transformer-z-off": "transformer, z off",
    "transformer-chunk-1": "transformer, chunk 1",
    "transformer-no-kl": "transformer, no KL",
    "mlp": "perceptrons",
    "mlp-chunk-1": "perceptrons, chunk 1",
    "mlp-z-off": "perceptrons, z off",
    "mlp-no-kl": "perceptrons, no KL",
    "mlp-calm": "perceptrons, demonstrations undisturbed",
}


def demos() -> dict[str, Any]:
    """The script's first 50 episodes that go well, disturbed and not."""
    return {name: written(TRAININGS[name]) for name in ("mlp", "mlp-calm")}


def written(training: Training) -> dict[str, Any]:
    """Demonstrations, and how many went wrong."""
    begun, made = time.process_time(), Demonstrations([NAME], 50, 0, shake=training.shake)
    if training.data.exists():
        return {"episodes": sum(1 for _ in made), "failed": made.failed}
    made.write(training.data)
    return {"episodes": made.kept, "failed": made.failed, "seconds": round(time.process_time() - begun, 1)}


def trained(name: str) -> Fitted:
    """One training, or the rest of one."""
    run = RUNS / name
    if run.exists():
        return lowerbound.resume(run)
    return lowerbound.train("act", TRAININGS[name].data, run, **TRAININGS[name].settings)


def core_seconds(name: str) -> float | None:
    """Seconds of one core that a training took, where it is known: kept beside the run as it ends."""
    path = RUNS / f"{name}.cpu"
    return float(path.read_text()) if path.exists() else None


def measured(name: str) -> dict[str, Any]:
    """One model, how it does in its ways and whether z matters to it."""
    begun, fresh = time.process_time(), not (RUNS / name).exists()
    model = trained(name)
    if fresh:
        (RUNS / f"{name}.cpu").write_text(str(time.process_time() - begun))
    return {
        "core_seconds": core_seconds(name),
        "wall_seconds": sum(each["seconds"] for each in lines(RUNS / name / "timing.jsonl")),
        "style": style(model, split="test") if TRAININGS[name].settings.get("latent", 32) else None,
        "ways": {way: judged(rolled(model, WAYS[way], TEST)) for way in TRAININGS[name].ways},
    }


def judged(found: Rollouts) -> dict[str, Any]:
    """The figures, and how many had the cube in the last step too."""
    return {**found.summary(), "held": int((found.last == 4).sum())}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rolled(model: Fitted, way: Way, seeds: Iterable[int], film: Camera | None = None) -> Rollouts:
    """One episode a seed, all in step."""
    chosen = list(seeds)
    return roll_out(worlds(len(chosen)), chosen, way.policy(model), film=film)


@cache
def all_worlds() -> list[Simulator]:
    return [simulator(NAME) for _ in TEST]


def worlds(count: int) -> list[Simulator]:
    return all_worlds()[:count]


def plain(model: Fitted, world: Simulator, seed: int, steps: int) -> tuple[float, float]:
    """One episode of one robot as a loop over its steps, each with a pass of the same network for a batch of one and
    a table of all predictions of all steps; seconds in the policy and in all."""
    decode = Policy(model).chunks
    chunk, actions = steps_of(model), len(world.abilities.actions)
    table, there = torch.zeros(steps, steps + chunk, actions), torch.zeros(steps, steps + chunk, dtype=torch.bool)
    state, thinking, begun = world.reset(seed), 0.0, time.perf_counter()
    for t in range(steps):
        at = time.perf_counter()
        table[t, t : t + chunk], there[t, t : t + chunk] = decode(state[None])[0], True
        said = table[there[:, t], t]
        weights = torch.exp(-0.01 * torch.arange(len(said)))
        action = ((weights / weights.sum())[:, None] * said).sum(0).numpy()
        thinking += time.perf_counter() - at
        state, _, _ = world.step(action)
    return thinking, time.perf_counter() - begun


def speed(rounds: int = 3, steps: int = 400) -> dict[str, Any]:
    """Control steps a second of 50 episodes together, and of a plain loop, in turn."""
    model, found = trained("mlp"), dict[str, list[float]]()
    for number in range(rounds):
        batched = rolled(model, WAYS[PLAIN[0]], TEST).summary()
        thinking, whole = plain(model, worlds(1)[0], TEST[number], steps)
        rates = {
            "batched": batched["control_steps_per_second"],
            "batched, policy alone": batched["actions_per_second"],
            "plain": steps / whole,
            "plain, policy alone": steps / thinking,
        }
        for name, rate in rates.items():
            found.setdefault(name, []).append(rate)
    return {name: statistics.median(each) for name, each in found.items()} | {"rounds": rounds}


def picture() -> None:
    """A strip of the first test episode that succeeds."""
    model = trained("mlp")
    for seed in TEST:
        camera = Camera(1, 8)
        if rolled(model, WAYS[PLAIN[0]], [seed], camera).succeeded[0]:
            chosen = np.linspace(0, len(camera.frames) - 1, STRIP).round().astype(int)
            half = STRIP // 2
            frames = [camera.frames[i] for i in chosen]
            write_png(PICTURE, np.concatenate([np.concatenate(frames[i : i + half], 1) for i in (0, half)]))
            return


def kept(name: str) -> Path:
    return KEPT / f"act_{name}.json"


def read(name: str) -> Any:
    return json.loads(kept(name).read_text()) if kept(name).exists() else None


def rows() -> list[dict[str, Any]]:
    return [row for name in TRAININGS if (found := read(name)) for row in _rows(name, found)]


def _rows(name: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_row(TITLES[name], way, found, each) for way, each in found["ways"].items()]


def _row(title: str, way: str, found: Mapping[str, Any], each: Mapping[str, Any]) -> dict[str, Any]:
    low, high = (100 * end for end in each["interval"])
    z = found["style"]
    return {
        "model": title,
        "acting": way,
        "successes": f"{each['successes']} of {each['episodes']}",
        "success %, 95 % interval": f"{100 * each['success_rate']:.0f} ({low:.0f} to {high:.0f})",
        "mean highest reward, of 4": round(each["mean_best_reward"], 2),
        "held": each["held"],
        "core-minutes of training": found["core_seconds"] and round(found["core_seconds"] / 60, 1),
        "KL, nats": z and round(z["rate"]["value"], 3),
        "z moves actions by": z and round(z["moved"], 4),
    }


def notes() -> str:
    """What is to be said beside the table."""
    rates = read("speed")
    fast = (
        f" Control steps a second, policy and physics (policy alone): 50 episodes together {rates['batched']:,.0f} "
        f"({rates['batched, policy alone']:,.0f}); a plain loop over one episode with a table of all predictions, the "
        f"same network at a batch of one, {rates['plain']:,.0f} ({rates['plain, policy alone']:,.0f}); medians of "
        f"{rates['rounds']} rounds in turn."
        if rates
        else ""
    )
    return NOTES + fast


NOTES = (
    "50 demonstrations of the script, whose tempo and meeting place differ between episodes: 40 to train on, 5 by "
    "whose objective the weights were chosen, 5 for z. They are disturbed: what is done is the script's action and a "
    "push of 0.015 radians, what is recorded is the action; undisturbed the script fails in none of the first 200 "
    "seeds. 400 control steps an episode, 50 a second, states of 14 joints and the cube's pose. 50 test episodes with "
    "seeds 1000 to 1049, the same for all, rolled out once; intervals are Wilson's. Success is a reward of 4 at any "
    "moment, as is usual there: the left gripper has the cube off the table; held says that it had it in the last step "
    "too. Ablations of one network have its budget, the same passes over the same frames: 20 of 16,000 in batches of "
    "128 for perceptrons of 512-512, 4 in batches of 32 for transformers of width 128; rate 0.001. z moves actions by: "
    "the root of the mean variance of the predicted actions over z ~ p(z), in their deviations; KL on held-out "
    "demonstrations. Core-minutes are of one thread beside other work. Chosen on 20 validation episodes (seeds 2000 to "
    "2019): to disturb the demonstrations, for without that a transformer after 6 passes succeeded in 4 of 20 and "
    "perceptrons in none. One seed of each model; parts are ablated in perceptrons, which take a quarter of the time."
)


def table() -> None:
    """Write down all that is kept."""
    record("act", "Action chunking on ALOHA's transfer of a cube", "python bench/act.py", rows(), notes())


PARTS: dict[str, Callable[[], Any]] = {
    "demos": demos,
    **{name: lambda name=name: measured(name) for name in TRAININGS},
    "speed": speed,
}


def main() -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or [*PARTS, "picture"]:
        if name == "picture":
            picture()
        else:
            write_json(kept(name), PARTS[name]())
            print(name, kept(name).read_text(), flush=True)
    if rows():
        table()


if __name__ == "__main__":
    main()
