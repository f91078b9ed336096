"""Kill a training at random moments, go on with it, and compare with one that was left alone, byte for byte.

    python bench/kill_resume.py

Each trial starts `lowerbound train` on digits in a process of its own, kills it (SIGKILL) at a moment drawn over the
time that the training takes, looks whether any file is half written, goes on with `lowerbound train --resume`, and
compares weights, metrics and recipe with those of the uninterrupted run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _harness import record
from lowerbound.run.folder import Run

SETTINGS = (
    "--latent 8 --hidden 64 --epochs 30 --batch-size 64 --ema 0.99 --clip 5 --schedule cosine --checkpoint-seconds 0.1"
)
COMPARED = ("weights.safetensors", "metrics.jsonl", "recipe.json")


def begin(path: Path) -> subprocess.Popen[bytes]:
    """Start training a new run."""
    return _command("train", "vae", "--data", "digits", "--out", str(path), *SETTINGS.split())


def resume(path: Path) -> int:
    """Go on with a run to its end."""
    return _command("train", "--resume", str(path)).wait()


def _command(*words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = (sys.executable, "-m", "lowerbound", *words, "--quiet")
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment)


def await_training(path: Path) -> float:
    """Wait until a run is being trained; return the time then."""
    while not (path / "recipe.json").exists() or json.loads((path / "recipe.json").read_text())["state"] == "created":
        time.sleep(0.005)
    return time.monotonic()


def torn(path: Path) -> list[str]:
    """Files that are there under their final name and cannot be read."""
    found = []
    for file in path.rglob("*.json*"):
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        if not file.name.startswith(".") and not all(map(_is_json, lines)):
            found.append(file.name)
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def trial(folder: Path, whole: Path, delay: float) -> dict[str, Any]:
    """Kill one run after so many seconds of training, go on, and compare."""
    process = begin(folder)
    await_training(folder)
    time.sleep(delay)
    process.kill()
    killed = process.wait() == -9
    broken = torn(folder)
    Run.open(folder)
    checkpoints = sorted(path.name for path in folder.glob("checkpoints/[0-9]*"))
    code = resume(folder)
    same = all((folder / name).read_bytes() == (whole / name).read_bytes() for name in COMPARED)
    step = int(checkpoints[-1]) if checkpoints else 0
    return {"killed": killed, "torn": broken, "resumed from step": step, "identical": code == 0 and same}


def killed_trials(home: Path, seconds: float, kills: int) -> list[dict[str, Any]]:
    """Trials until so many were killed before their end; the others count only if they went wrong."""
    trials: list[dict[str, Any]] = []
    for number in itertools.count():
        each = trial(home / str(number), home / "whole", random.uniform(0, seconds))
        trials += [each] if each["killed"] or not each["identical"] else []
        if len(trials) == kills:
            return trials
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        process = begin(home / "whole")
        began = await_training(home / "whole")
        process.wait()
        seconds = time.monotonic() - began
        trials = killed_trials(home, seconds, kills)
    report(trials, seconds)


def report(trials: list[dict[str, Any]], seconds: float) -> None:
    """Write the row, and the moments."""
    steps = sorted(each["resumed from step"] for each in trials)
    row = {
        "kills": sum(each["killed"] for each in trials),
        "bit-identical after resuming": f"{sum(each['identical'] for each in trials)}/{len(trials)}",
        "files half written": sum(len(each["torn"]) for each in trials),
        "resumed from steps": f"{steps[0]} to {steps[-1]}",
    }
    notes = f"Weights, metrics and recipe compared byte by byte. Training alone takes {seconds:.1f} s."
    record("kill_resume", "Killed and resumed", "python bench/kill_resume.py", [row], notes)


if __name__ == "__main__":
    main()
