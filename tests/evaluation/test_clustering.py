"""Clusters of a trained model: Bayes' rule by hand, agreement with labels by brute force, samples of each alone."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

import lowerbound
from agree import LIMIT, assert_close, refused
from lowerbound.core import (
    Batch,
    Bernoulli,
    Gaussian,
    Latent,
    MixturePrior,
    Occupancy,
    Parametric,
    Pathwise,
    standard_normal,
)
from lowerbound.core.distributions import LogScaleNormal
from lowerbound.core.mixtures import GaussianMixture, log_joint, only
from lowerbound.errors import InputError
from lowerbound.evaluation.clustering import agreement, matching, responsibilities, restricted
from lowerbound.recipes import get
from lowerbound.training.progress import Silent

SMALL = {"hidden": [16], "epochs": 2, "batch_size": 256, "progress": Silent()}


def mixture(lead: tuple[int, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(4).log_softmax(0), torch.randn(*lead, 4, 3), 0.3 * torch.randn(*lead, 4, 3)


@pytest.mark.usefixtures("double")
def test_responsibilities_are_bayes_rule_in_either_form_of_mixture() -> None:
    log_weights, loc, log_scale = mixture()
    z = torch.randn(5, 2, 3)
    each = D.Normal(loc, log_scale.exp()).log_prob(z.unsqueeze(-2)).sum(-1) + log_weights
    plain = GaussianMixture(log_weights, loc, log_scale)
    torchs = D.MixtureSameFamily(D.Categorical(logits=log_weights), D.Independent(LogScaleNormal(loc, log_scale), 1))
    for found in (plain, torchs):
        assert_close(log_joint(found, z), each, within=1e-10)
        assert_close(log_joint(found, z).logsumexp(-1), found.log_prob(z), within=1e-10)


def test_what_is_no_mixture_has_no_components() -> None:
    for ask in (log_joint, only):
        with refused("Independent is no mixture, and has no components"):
            ask(standard_normal(2)(), 0)


@pytest.mark.parametrize("lead", [(), (6,)])
def test_one_component_alone_has_its_moments(lead: tuple[int, ...]) -> None:
    """3 means and 3 variances at 4.5 standard errors, for each of at most 6 distributions."""
    log_weights, loc, log_scale = mixture(lead)
    parts = D.Independent(LogScaleNormal(loc, log_scale), 1)
    weights = D.Categorical(logits=log_weights.expand(*lead, 4))
    whole = D.MixtureSameFamily(weights, parts) if lead else GaussianMixture(log_weights, loc, log_scale)
    z = only(whole, 2).sample((20_000,))
    mean, scale = loc[..., 2, :], log_scale[..., 2, :].exp()
    assert ((z.mean(0) - mean) / scale * 20_000**0.5).abs().max() < LIMIT
    assert ((z.var(0) / scale**2 - 1) * 10_000**0.5).abs().max() < LIMIT


def test_a_datum_belongs_where_bayes_puts_its_codes() -> None:
    """With a certain posterior p(k|x) is p(k|z) at its mean."""
    prior = MixturePrior(3, 2)
    prior.start_at(torch.tensor([0.2, 0.3, 0.5]), torch.tensor([[-2.0, 0], [0, 0], [2, 0]]), torch.ones(3, 2))
    narrow: Parametric = Gaussian(nn.Sequential(nn.Unflatten(-1, (2, 1)), nn.ConstantPad1d((0, 1), -14.0)))
    model = Latent(prior, narrow, Bernoulli(nn.Linear(2, 4)))
    x = torch.tensor([[-2.0, 1.0], [0.3, 0.0], [5.0, 0.0]])
    expected = log_joint(prior(), x).softmax(-1)
    assert_close(responsibilities(model, Batch({"x": x}), 50), expected, within=1e-2)


def test_of_a_categorical_latent_they_are_q_itself() -> None:
    setup = get("discrete-vae").build(lowerbound.load_data("digits").spec, latent=1, classes=7, hidden=[8])
    seen = setup.see(Batch({"x": torch.randint(0, 17, (5, 8, 8))}))
    found = responsibilities(setup.model, seen, 3)
    assert found.shape == (5, 7)
    q = setup.model.infer(seen)
    assert torch.equal(found, q.base_dist.probs[:, 0])


def test_models_without_clusters_are_refused() -> None:
    model = lowerbound.train("vae", "digits", latent=2, **SMALL)
    x = lowerbound.load_data("digits").arrays["x"][:3]
    for ask in (lambda: model.clusters(x), lambda: model.sample_clusters(2)):
        with pytest.raises(InputError, match=r"the model has no clusters: .*; train vade, gmvae or vae with"):
            ask()


@pytest.fixture(scope="module", params=["vade", "gmvae", "ae"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> lowerbound.Fitted:
    out: Path = tmp_path_factory.mktemp("runs") / request.param
    return lowerbound.train(request.param, "digits", out, latent=2, components=3, **SMALL)


def test_the_verb_tells_each_row_and_draws_from_each_cluster(model: lowerbound.Fitted) -> None:
    x = lowerbound.load_data("digits").arrays["x"][:300]
    found = model.clusters(x, particles=20)
    assert found.responsibilities.shape == (300, 3)
    assert np.allclose(found.responsibilities.sum(1), 1, atol=1e-5)
    assert np.array_equal(found.labels, found.responsibilities.argmax(1))
    assert np.array_equal(found.responsibilities, model.clusters(x, particles=20).responsibilities)
    assert model.sample_clusters(5).shape == (3, 5, 8, 8)
    drawn = model.sample_clusters(5, mean=False)
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, model.sample_clusters(5, mean=False))


def test_all_clusters_in_their_shares_are_the_model(model: lowerbound.Fitted) -> None:
    """Mean pixels over the clusters, weighted, are those of the prior: 64 at 4.5 standard errors, 1 in 2000."""
    n = 4000
    whole, each = model.sample(n, seed=1), model.sample_clusters(n, seed=2)
    prior = (
        model.setup.model.prior if isinstance(model.setup.model, Latent) else model.setup.model.links["z"].prior.plain
    )
    weights = prior.logits.softmax(-1).detach().numpy()
    mean = np.tensordot(weights, each.mean(1), 1)
    error = np.sqrt((whole.var(0) + np.tensordot(weights**2, each.var(1), 1)) / n)
    assert (np.abs(mean - whole.mean(0)) / np.maximum(error, 1e-6)).max() < LIMIT


def test_a_restricted_model_keeps_the_rest(model: lowerbound.Fitted) -> None:
    alone = restricted(model.setup.model, 0)
    assert {name for name, _ in model.setup.model.named_parameters()} <= {
        name.replace("prior.prior.", "prior.") for name, _ in alone.named_parameters()
    }


def test_the_matching_is_the_best_of_all() -> None:
    """Against every one-to-one matching there is, with more clusters than labels, fewer, and as many."""
    generator = np.random.default_rng(0)
    for clusters, labels in ((4, 4), (5, 3), (3, 5)):
        k, y = generator.integers(0, clusters, 60), generator.integers(0, labels, 60)
        wide = max(clusters, labels)
        best = max(np.mean(np.array(p)[k] == y) for p in permutations(range(wide), clusters))
        assert agreement(y, k)["accuracy"] == pytest.approx(best)


def test_agreement_knows_no_names_and_is_perfect_for_the_same_groups() -> None:
    y = np.array(["cat", "dog", "dog", "owl"])
    assert agreement(y, np.array([2, 0, 0, 1])) == {"accuracy": 1.0, "nmi": 1.0, "ari": 1.0}
    assert matching(y, np.array([2, 0, 0, 1])) == [(0, "dog"), (1, "owl"), (2, "cat")]
    assert agreement(y, np.zeros(4, int)) == {"accuracy": 0.5, "nmi": 0.0, "ari": 0.0}


def test_how_many_clusters_are_in_use() -> None:
    """Far from each other two clusters share the data evenly, and a third has none: 2 are in use, and surely."""
    prior = MixturePrior(3, 1)
    prior.start_at(torch.full((3,), 1 / 3), torch.tensor([[-50.0], [50.0], [900.0]]), torch.ones(3, 1))
    narrow = Gaussian(nn.Sequential(nn.Unflatten(-1, (1, 1)), nn.ConstantPad1d((0, 1), -14.0)))
    model, meter = Latent(prior, narrow, Bernoulli(nn.Linear(1, 4))), Occupancy()
    for x in (torch.full((6, 1), -50.0), torch.full((6, 1), 50.0)):
        meter.add(model.trace(Batch({"x": x}), 3, Pathwise()))
    assert meter.figures()["clusters"] == pytest.approx({"used": 2.0, "certainty": 1.0})


def test_a_model_without_clusters_has_no_such_figures() -> None:
    meter = Occupancy()
    meter.add(
        Latent(standard_normal(1), Gaussian(nn.Unflatten(-1, (1, 2))), Bernoulli(nn.Linear(1, 4))).trace(
            Batch({"x": torch.zeros(3, 2)})
        )
    )
    assert meter.figures() == {}
