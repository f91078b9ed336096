"""The recipe ladder-vae: its layers, its two kinds of networks, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from agree import assert_close, refused
from catalogue import batch, spec, variable
from lowerbound.core import IWAE, AnalyticELBO, Pathwise, Rate
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get

pytestmark = pytest.mark.usefixtures("double")
LADDER = get("ladder-vae")
SMALL = {"hidden": (4, 6, 8), "latent": 2, "top": 3}


def built(kind: str = "unit", shape: tuple[int, ...] = (9, 6), **arguments: object) -> Setup:
    return LADDER.build(spec(variable(kind, shape)), **{**SMALL, **arguments})


def events(setup: Setup) -> dict[str, tuple[int, ...]]:
    q = setup.model.infer(setup.see(batch("unit", 2, (9, 6))))
    return {name: tuple(each.event_shape) for name, each in q.items()}


def test_layers_are_named_from_the_top() -> None:
    assert events(built(net="mlp", layers=(2, 1))) == {"z1": (3,), "z2": (2,), "z3": (2,), "z4": (2,)}


def test_latents_of_pictures_are_maps() -> None:
    assert events(built(net="conv", layers=(1, 2))) == {"z1": (3,), "z2": (2, 3, 2), "z3": (2, 3, 2), "z4": (2, 5, 3)}


@pytest.mark.parametrize("net", ["mlp", "conv"])
@pytest.mark.parametrize("layers", [(0, 0), (2, 0), (0, 2)])
def test_a_height_may_have_no_layers(net: str, layers: tuple[int, int]) -> None:
    setup = built(net=net, layers=layers)
    trace = setup.model.trace(setup.see(batch("unit", 4, (9, 6))), 3)
    assert trace.log_w.shape == (3, 4)
    assert len(trace.kl) == 1 + sum(layers)


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_particles_are_scored_as_if_alone(net: str) -> None:
    """log p(x|z) and log p(z) of K particles are those of each, decoded and scored by itself."""
    setup = built(net=net)
    seen = setup.see(batch("unit", 4, (9, 6)))
    trace = setup.model.trace(seen, 3)
    for k in range(3):
        alone = setup.model.decode({name: z[k] for name, z in trace.z.items()})
        assert_close(alone["x"].log_prob(seen.x["x"]), trace.log_px[k], within=1e-9)


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_posteriors_start_beside_their_priors(net: str) -> None:
    torch.manual_seed(0)
    setup = LADDER.build(spec(variable("unit", (28, 28))), net=net)
    trace = setup.model.trace(setup.see(batch("unit", 4, (28, 28))))
    for name, kl in trace.kl.items():
        assert kl.mean() < 0.5, f"{name} starts far from its prior"


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_a_decoder_starts_at_the_mean_of_the_data(net: str) -> None:
    setup = built("binary", net=net)
    setup.start({"x": torch.full((9, 6), 0.2)})
    mean = setup.model.generate(200)["x"].mean.mean()
    assert abs(mean - 0.2) < 0.1


def test_defaults() -> None:
    setup = LADDER.build(spec(variable("unit")))
    assert isinstance(setup.objective, AnalyticELBO)
    assert isinstance(setup.estimator, Pathwise)
    assert isinstance(built(bound="iwae").objective, IWAE)


def test_free_bits_are_of_a_layer() -> None:
    """With more free bits than any layer takes, each costs just them, times the weight of the rate."""
    setup = built(free_bits=50.0, anneal=10)
    trace = setup.model.trace(setup.see(batch("unit", 4, (9, 6))))
    terms = setup.objective(trace, torch.tensor(5))
    assert list(terms) == ["distortion", "weighted_charged_rate"]
    assert_close(terms["weighted_charged_rate"], 0.5 * 50.0 * len(trace.kl))
    assert_close(built(free_bits=0.0).objective(trace)["rate"], Rate()(trace)["rate"])


def test_what_does_not_fit_is_refused() -> None:
    with refused(
        "a ladder with hidden widths (4, 6, 8) has 2 heights and needs as many numbers of layers, not (1,)", InputError
    ):
        built(layers=(1,))
    with pytest.raises(InputError, match="free_bits weigh the rate, which the bound iwae has not; use bound elbo"):
        built(bound="iwae", free_bits=1.0)
    with pytest.raises(InputError, match="takes pictures"):
        LADDER.build(spec(variable("real", (5,))), net="conv")
