"""EM over a thousand random problems of every family, with weights and gaps: by how much a step ever lowers the bound.

python bench/monotone.py
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from _harness import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "mixtures"))
from families import CASES, Step, climb, problem

PROBLEMS, STEPS, MISSING = 1000, 40, 0.3
ALLOWED = 1e-9
NOTES = (
    f"{PROBLEMS} problems in all, seeds 0 to {PROBLEMS - 1} dealt to the families in turn: 60 to 400 rows of 2 to 8 "
    f"entries, {MISSING:.0%} of them missing, weighted at random, 1 to 5 components, no floor, {STEPS} steps. The "
    "greatest fall is relative to the bound; left out are the steps in which a lost component began anew, where alone "
    "a bound may fall."
)


def main() -> None:
    torch.set_num_threads(1)
    names = list(CASES)
    climbs: dict[str, list[list[Step]]] = {name: [] for name in names}
    for seed in range(PROBLEMS):
        name = names[seed % len(names)]
        climbs[name].append(list(climb(*problem(CASES[name], seed, MISSING), STEPS)))
    rows = [row(name, found) for name, found in climbs.items()]
    rows.append(row("all", [steps for found in climbs.values() for steps in found]))
    record("monotone", "EM never lowers the bound", "python bench/monotone.py", rows, NOTES)
    assert rows[-1]["greatest fall"] < ALLOWED


def row(name: str, climbs: list[list[Step]]) -> dict[str, Any]:
    """What is said of a family."""
    steps = [step for each in climbs for step in each]
    return {
        "family": name,
        "problems": len(climbs),
        "steps": len(steps),
        "components begun anew": sum(step.reseeded for step in steps),
        "greatest fall": float(f"{max(0.0, *(step.fall for step in steps if not step.reseeded)):.1e}"),
    }


if __name__ == "__main__":
    main()
