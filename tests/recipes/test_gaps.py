"""Every recipe on data of which values are missing, and the encoder that is told which."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from catalogue import SMALL, Case, batch, cases, spec, variable
from lowerbound.core import Batch, total
from lowerbound.recipes import Setup, get


def gappy(case: Case) -> Setup:
    about = spec(replace(variable(case.kind), missing=True))
    known = get(case.recipe).parameters
    given = {name: value for name, value in {**SMALL, **dict(case.arguments)}.items() if name in known}
    return get(case.recipe).build(about, **given)


def with_gaps(case: Case) -> Batch:
    whole, mask = batch(case.kind, 4), torch.rand(4, 8, 8) < 0.6
    return replace(whole, x={"x": torch.where(mask, whole.x["x"], 0)}, mask={"x": mask})


@pytest.mark.parametrize("case", cases())
def test_every_recipe_takes_rows_with_gaps(case: Case) -> None:
    setup, raw = gappy(case), with_gaps(case)
    setup.start({"x": torch.full((8, 8), 0.5)})
    trace = setup.model.trace(setup.see(raw), 2, setup.estimator)
    loss = total(setup.objective(trace))
    loss.backward()
    assert loss.isfinite()
    assert setup.volumes(raw).isfinite().all()


def test_the_encoder_of_a_vae_tells_a_zero_from_a_gap() -> None:
    setup = gappy(Case("vae", "real", ()))
    x = setup.views["x"].inverse(torch.zeros(1, 8, 8))
    masks = [torch.ones(1, 8, 8, dtype=torch.bool), torch.arange(64).reshape(1, 8, 8) < 32]
    means = [setup.model.infer(setup.see(Batch({"x": x}, mask={"x": mask}))).mean for mask in masks]
    assert not torch.allclose(*means)
    assert torch.equal(setup.model.infer(setup.see(Batch({"x": x}))).mean, means[0])
