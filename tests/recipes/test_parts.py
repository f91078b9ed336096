"""The parts recipes choose by name, and the combinations that are refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from agree import assert_close
from catalogue import FITS, LIKELIHOODS, variable
from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.spec import KINDS
from lowerbound.errors import InputError
from lowerbound.recipes import parts

pytestmark = pytest.mark.usefixtures("double")


def test_every_likelihood_has_a_family_and_kinds() -> None:
    assert set(LIKELIHOODS) == set(parts._FAMILIES) == set(ACCEPTS)


@pytest.mark.parametrize(("name", "kind"), FITS)
def test_a_family_asks_for_what_its_likelihood_reads(name: str, kind: str) -> None:
    v = variable(kind, (3,))
    family = parts.family(name)
    part = family.build(nn.Identity(), v)
    per_value = family.per_value(v)
    assert part.per_value == per_value
    d = part(torch.randn(5, 3, per_value) if per_value > 1 else torch.randn(5, 3))
    assert (d.batch_shape, d.event_shape) == ((5,), (3,))


@pytest.mark.parametrize(("name", "count"), [("gaussian-fixed", 0), ("mse", 0), ("gaussian-learned", 1)])
def test_scales_fixed_and_learned(name: str, count: int) -> None:
    part = parts.family(name).build(nn.Identity(), variable("unit", (3, 2)))
    assert sum(p.numel() for p in part.parameters()) == count


def test_a_scale_for_each_dimension() -> None:
    (scale,) = parts.family("gaussian-per-dim").build(nn.Identity(), variable("unit", (3, 2))).parameters()
    assert scale.shape == (3, 2)


def test_mse_is_the_gaussian_of_variance_one_half() -> None:
    x, mean = torch.randn(4, 3), torch.randn(4, 3)
    log_p = parts.family("mse").build(nn.Identity(), variable("unit", (3,)))(mean).log_prob(x)
    assert_close(-log_p, (x - mean).square().sum(-1) + 1.5 * math.log(math.pi), within=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_auto_is_the_choice_of_the_data(kind: str) -> None:
    v = variable(kind)
    assert parts.likelihood_name("auto", v) == v.likelihood
    assert v.kind in ACCEPTS[v.likelihood]


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in LIKELIHOODS for k in KINDS if k not in ACCEPTS[n]])
def test_a_likelihood_that_does_not_fit_is_refused(name: str, kind: str) -> None:
    with pytest.raises(InputError, match=rf"variable 'x' holds .*, of which {name} is no likelihood: (use|load)"):
        parts.likelihood_name(name, variable(kind))
