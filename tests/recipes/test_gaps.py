"""Every recipe on data of which values are missing, and the encoder that is told which."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from catalogue import LABEL, SMALL, TOLD, Case, cases, spec, variables
from lowerbound.core import Batch, total
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get


def gappy(case: Case) -> Setup:
    gapped = (replace(each, missing=True) for each in variables(case.kind, case.shape))
    about = spec(*gapped, told=TOLD.get(case.recipe, LABEL))
    known = get(case.recipe).parameters
    given = {name: value for name, value in {**SMALL, **dict(case.arguments)}.items() if name in known}
    return get(case.recipe).build(about, **given)


def with_gaps(case: Case) -> Batch:
    whole = case.batch(4)
    mask = {name: torch.rand(x.shape) < 0.6 for name, x in whole.x.items()}
    return replace(whole, x={name: torch.where(mask[name], x, 0) for name, x in whole.x.items()}, mask=mask)


WHOLE = ("flow-matching",)
"""Recipes that are of whole rows, and say so."""


@pytest.mark.parametrize("case", [each for each in cases() if each.values[0].recipe not in WHOLE])
def test_every_recipe_takes_rows_with_gaps(case: Case) -> None:
    setup, raw = gappy(case), with_gaps(case)
    setup.start({name: torch.full(x.shape[1:], 0.5) for name, x in raw.x.items()})
    trace = setup.model.trace(setup.see(raw), 2, setup.estimator)
    loss = total(setup.objective(trace))
    loss.backward()
    assert loss.isfinite()
    assert setup.volumes(raw).isfinite().all()


@pytest.mark.parametrize("recipe", WHOLE)
def test_a_recipe_of_whole_rows_refuses_gaps(recipe: str) -> None:
    with pytest.raises(InputError, match="of whole rows"):
        gappy(Case(recipe, "real", ()))


def test_the_encoder_of_a_vae_tells_a_zero_from_a_gap() -> None:
    setup = gappy(Case("vae", "real", ()))
    x = setup.views["x"].inverse(torch.zeros(1, 8, 8))
    masks = [torch.ones(1, 8, 8, dtype=torch.bool), torch.arange(64).reshape(1, 8, 8) < 32]
    means = [setup.model.infer(setup.see(Batch({"x": x}, mask={"x": mask}))).mean for mask in masks]
    assert not torch.allclose(*means)
    assert torch.equal(setup.model.infer(setup.see(Batch({"x": x}))).mean, means[0])
