"""The density of codes: a standard normal at first, scikit-learn's mixture once fitted."""

from __future__ import annotations

import pytest
import torch
from sklearn.mixture import GaussianMixture

from agree import assert_close, assert_mean
from lowerbound.core import Batch, CodeDensity, standard_normal
from lowerbound.data.dataset import load_data
from lowerbound.recipes import registry
from lowerbound.recipes.autoencoding import fit_density

pytestmark = pytest.mark.usefixtures("double")


def codes(n: int = 600) -> torch.Tensor:
    """Two clouds, far apart, each with a slant of its own."""
    slant = torch.tensor([[[1.0, 0.8], [0.0, 0.3]], [[0.2, 0.0], [0.9, 0.5]]])
    which = torch.arange(n) % 2
    return torch.tensor([[-4.0, 0.0], [3.0, 2.0]])[which] + (slant[which] @ torch.randn(n, 2, 1)).squeeze(-1)


def test_before_it_is_fitted_it_is_the_standard_normal() -> None:
    z = torch.randn(9, 3)
    assert_close(CodeDensity(4, 3)().log_prob(z), standard_normal(3)().log_prob(z), within=1e-10)


def test_fitted_it_is_scikit_learns_mixture() -> None:
    density, z = CodeDensity(2, 2), codes()
    fit_density(density, z)
    theirs = GaussianMixture(2, random_state=0).fit(z.numpy())
    assert_close(density().log_prob(z), torch.from_numpy(theirs.score_samples(z.numpy())), within=1e-8)


def test_its_samples_are_of_the_mixture() -> None:
    density, z = CodeDensity(2, 2), codes()
    fit_density(density, z)
    drawn = density().sample((20_000,))
    assert_mean(drawn, density().mean)
    assert_mean((drawn - density().mean).square(), density().variance)


def test_fewer_codes_than_components_leave_some_unused() -> None:
    density, z = CodeDensity(5, 2), codes(3)
    fit_density(density, z)
    assert density().log_prob(z).isfinite().all()
    assert density().sample((50,)).isfinite().all()
    assert (density.logits == -torch.inf).sum() == 2


def test_codes_that_never_vary_do_not_stop_it() -> None:
    density = CodeDensity(3, 2)
    fit_density(density, torch.ones(40, 2))
    assert_close(density().sample((50,)), 1.0, within=0.1)


def test_it_learns_nothing_and_is_saved() -> None:
    density, other = CodeDensity(2, 2), CodeDensity(2, 2)
    assert not list(density.parameters())
    z = codes()
    fit_density(density, z)
    other.load_state_dict(density.state_dict())
    assert torch.equal(other().log_prob(z), density().log_prob(z))


def test_one_component_has_the_mean_and_the_covariance_of_the_codes() -> None:
    density, z = CodeDensity(1, 2), codes()
    fit_density(density, z)
    assert_close(density().mean, z.mean(0), within=1e-8)
    assert_close(density().component_distribution.covariance_matrix[0], z.T.cov(correction=0), within=1e-4)


def test_an_autoencoder_is_settled_on_the_codes_of_all_rows() -> None:
    setup = registry.get("ae").build(load_data(torch.randn(30, 3).numpy()).spec, latent=2, hidden=[4], components=1)
    batches = [Batch({"x": part}) for part in torch.randn(500, 3).split(100)]
    setup.settle(lambda: iter(batches))
    with torch.no_grad():
        z = torch.cat([setup.model.infer(batch).mean for batch in batches])
        assert_close(setup.model.prior().mean, z.mean(0), within=1e-6)
