"""The law of EM, over every family: no step lowers the bound, whatever is missing and however rows are weighted."""

from __future__ import annotations

import pytest
from families import CASES, climb, problem

ROUNDING = 1e-9


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_no_step_lowers_the_bound(name: str, missing: float) -> None:
    for seed in range(2):
        for step in climb(*problem(CASES[name], seed, missing), 25):
            assert step.fall < ROUNDING or step.reseeded
