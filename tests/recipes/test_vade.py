"""The recipe vade: its bound is the published one, and the way in fits the mixture to the codes and lifts the bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

import lowerbound
from agree import LIMIT, assert_close
from catalogue import Case, batch, spec, variable
from lowerbound.core import Batch, Latent, MixturePrior, Trace
from lowerbound.core.mixtures import log_joint
from lowerbound.evaluation.clustering import agreement
from lowerbound.recipes import Setup, get
from lowerbound.recipes.clustering import Denoising, codes, fitted
from lowerbound.training.progress import Silent

STEP = torch.tensor(0)


def small(**more: object) -> Setup:
    return Case("vade", "unit", tuple(more.items())).build()


def prior_of(setup: Setup) -> MixturePrior:
    assert isinstance(setup.model, Latent)
    assert isinstance(setup.model.prior, MixturePrior)
    return setup.model.prior


def trace_of(setup: Setup, b: Batch) -> Trace:
    torch.manual_seed(1)
    return setup.model.trace(b, 7)


def published(trace: Trace, prior: MixturePrior, log_gamma: Tensor) -> Tensor:
    """log p(x|z) + Σ_c γ_c [log p(z|c) + log π_c − log γ_c] − log q(z|x) of each particle: Jiang et al.'s bound."""
    return trace.log_px + (log_gamma.exp() * (log_joint(prior(), trace.z) - log_gamma)).sum(-1) - trace.log_q


@pytest.mark.usefixtures("double")
def test_summing_the_component_out_is_the_published_bound_at_its_best() -> None:
    """Equal under the responsibilities, which the paper derives for q(c|x); below under any other q(c|x)."""
    setup = small()
    prior, trace = prior_of(setup), trace_of(setup, setup.see(batch("unit", 5)))
    best = log_joint(prior(), trace.z).log_softmax(-1)
    assert_close(published(trace, prior, best), trace.log_w, within=1e-10)
    other = torch.randn_like(best).log_softmax(-1)
    assert (published(trace, prior, other) < trace.log_w).all()


def test_until_the_meeting_the_rate_costs_nothing_and_then_it_rises() -> None:
    setup = small(rise=0.004)
    b = setup.see(batch("unit", 300))
    (meet,) = setup.meet.values()
    weigh = lambda step: setup.objective(trace_of(setup, b), torch.tensor(step))["weighted_rate"].mean().detach()  # noqa: E731
    assert weigh(499) == 0
    meet(lambda count: b[:count], 500, 1000)
    whole = setup.objective(trace_of(setup, b))["weighted_rate"].mean().detach()
    assert [round(float(weigh(step) / whole), 4) for step in (499, 500, 502, 504, 900)] == [0, 0, 0.5, 1, 1]


def test_the_mixture_is_set_to_the_likeliest_found_and_the_bound_rises() -> None:
    setup = small(restarts=3)
    b = setup.see(batch("unit", 400))
    before = trace_of(setup, b).log_p.mean()
    (meet,) = setup.meet.values()
    torch.manual_seed(0)
    meet(lambda count: b[:count], 0, 10)
    after = trace_of(setup, b).log_p.mean()
    assert after > before
    torch.manual_seed(0)
    expected = fitted(codes(setup.model, b), 5, restarts=3)
    assert_close(prior_of(setup)().log_weights.exp(), expected.weights, within=1e-6)
    assert_close(prior_of(setup).loc, expected.means, within=1e-6)
    assert_close(prior_of(setup).log_variance.exp(), expected.variances, within=1e-5)


def test_the_fit_is_as_likely_as_that_of_scikit_learn() -> None:
    """Means, weights and the diagonals of its covariances, of three clusters that lie askew and touch."""
    generator = np.random.default_rng(0)
    turns = generator.normal(size=(3, 2, 2))
    rows = np.concatenate([generator.normal(size=(400, 2)) @ turn + [6 * k, 0] for k, turn in enumerate(turns)])
    found = fitted(torch.from_numpy(rows), 3, restarts=5)
    known = GaussianMixture(3, n_init=5, tol=1e-6, max_iter=1000, random_state=0).fit(rows)
    ours, theirs = np.argsort(found.means[:, 0].numpy()), np.argsort(known.means_[:, 0])
    assert np.allclose(found.means.numpy()[ours], known.means_[theirs], atol=0.1)
    assert np.allclose(found.weights.numpy()[ours], known.weights_[theirs], atol=0.02)
    variances = np.diagonal(known.covariances_, axis1=1, axis2=2)
    assert np.allclose(found.variances.numpy()[ours], variances[theirs], rtol=0.1)


def test_separate_groups_of_codes_are_found() -> None:
    centres = torch.tensor([[-9.0, 0], [0, 9], [9, 0]])
    rows = torch.cat([centre + torch.randn(200, 2) for centre in centres])
    found = fitted(rows, 3, restarts=2)
    nearest = torch.cdist(found.means.float(), centres).min(0)
    assert nearest.values.max() < 0.3
    assert sorted(nearest.indices.tolist()) == [0, 1, 2]
    assert_close(found.weights.sum(), 1.0, within=1e-5)


def test_fewer_codes_than_components_leave_some_unused() -> None:
    found = fitted(torch.randn(3, 2), 5, restarts=1)
    assert found.weights.shape == (5,)
    assert (found.weights > 0).all()
    assert all(each.isfinite().all() for each in found)


def test_a_training_of_any_length_meets_in_it() -> None:
    assert get("vade").build(spec(variable("unit"))).meet.keys() == {0.3}


def test_until_it_is_to_see_the_encoder_of_a_training_misses_a_share_of_the_values() -> None:
    seen: list[torch.Tensor] = []
    network = Denoising(nn.Flatten(), 0.25)
    network.register_forward_hook(lambda _, __, out: seen.append(out))
    x = torch.ones(100, 100)
    network.train()(x)
    network.eval()(x)
    network.train().see()
    network(x)
    share = float((seen[0] == 0).float().mean())
    assert abs(share - 0.25) < LIMIT * (0.25 * 0.75 / 10_000) ** 0.5
    assert seen[1].min() == seen[2].min() == 1
    fresh = Denoising(nn.Flatten(), 0.25)
    fresh.load_state_dict(network.state_dict())
    assert fresh(x).min() == 1


def test_codes_begin_as_good_as_certain() -> None:
    setup = small(masked=0.0)
    q = setup.model.infer(setup.see(batch("unit", 20)))
    assert (q.stddev < 0.05).all()


def test_a_trained_model_finds_the_groups_of_plain_data(tmp_path: Path) -> None:
    """Four patterns with noise: every row in the right group, from one seed."""
    generator = np.random.default_rng(0)
    patterns, group = generator.integers(0, 2, (4, 30)), np.repeat(np.arange(4), 150)
    flips = generator.random((600, 30)) < 0.05
    x = (patterns[group] ^ flips).astype(np.uint8)
    order = generator.permutation(600)
    small = {"latent": 2, "hidden": [32], "components": 4, "epochs": 15, "batch_size": 32, "lr": 5e-3, "restarts": 3}
    model = lowerbound.train("vade", x[order], tmp_path / "run", progress=Silent(), **small)
    assert agreement(group[order], model.clusters(x[order]).labels)["accuracy"] > 0.99
