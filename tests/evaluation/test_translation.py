"""One variable told from another: as the model's own arithmetic has it, and refused with a sentence where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_mean, refused
from catalogue import spec
from lowerbound.core import ELBO, Pathwise
from lowerbound.data.dataset import load_data
from lowerbound.data.spec import Variable
from lowerbound.data.views import Identity
from lowerbound.errors import InputError
from lowerbound.recipes import Setup
from lowerbound.training.progress import Silent
from two_sides import TwoSides, poe

TOY = TwoSides()


@pytest.fixture(scope="module")
def model() -> lowerbound.Fitted:
    """x and y linear in a Gaussian z, and the exact posterior: what goes with what is known."""
    variables = tuple(
        Variable(name, "real", (size,), -9, 9, mean=(0.0,) * size, std=(1.0,) * size, likelihood="gaussian")
        for name, size in (("x", 4), ("y", 3))
    )
    views = {name: Identity() for name in "xy"}
    return lowerbound.Fitted(Setup(poe(TOY), views, ELBO(), Pathwise()), replace(spec(*variables), name="mapping"))


@pytest.mark.parametrize(("given", "to"), [("x", "y"), ("y", "x")])
def test_what_is_told_is_what_goes_with_it(model: lowerbound.Fitted, given: str, to: str) -> None:
    """E[y|x] of the joint Gaussian, and Var[y|x] where noise is drawn too; 20 and 15 entries at 4.5 each."""
    seen = TOY.data(5).x[given]
    joint, cut = TOY.joint([given, to]), seen.shape[1]
    covariance = joint.covariance_matrix
    gain = covariance[cut:, :cut] @ covariance[:cut, :cut].inverse()
    expected = joint.mean[cut:] + (seen - joint.mean[:cut]) @ gain.T
    told, drawn = (
        torch.from_numpy(model.translate({given: seen.numpy()}, [given], to, 4000, mean=mean)).transpose(0, 1)
        for mean in (True, False)
    )
    assert_mean(told.double(), expected.double())
    variance = (covariance[cut:, cut:] - gain @ covariance[:cut, cut:]).diagonal()
    assert_mean((drawn - expected).double().square(), variance.double().expand_as(expected))


def test_shapes_seeds_and_noise(model: lowerbound.Fitted) -> None:
    x = {"x": np.zeros((300, 4))}
    found = model.translate(x, ["x"], "y", 3)
    assert found.shape == (300, 3, 3)
    assert np.array_equal(found, model.translate(x, ["x"], "y", 3))
    assert not np.array_equal(found, model.translate(x, ["x"], "y", 3, seed=1))
    assert len(np.unique(found[0, :, 0])) == 3
    noisy = model.translate(x, ["x"], "y", 3, mean=False)
    assert noisy.std() > found.std()


def test_only_what_is_given_is_read(model: lowerbound.Fitted) -> None:
    x, y = np.ones((4, 4)), np.full((4, 3), 1e6)
    assert np.array_equal(model.translate({"x": x, "y": y}, ["x"], "y"), model.translate({"x": x}, ["x"], "y"))


def test_both_given_is_a_reconstruction(model: lowerbound.Fitted) -> None:
    whole = {name: each.numpy() for name, each in TOY.data(5).x.items()}
    told = torch.from_numpy(model.translate(whole, ["x", "y"], "y", 4000)).double()
    assert_mean(told.transpose(0, 1), torch.from_numpy(model.reconstruct(whole)["y"]).double())


def test_bytes_come_back_as_bytes() -> None:
    model = lowerbound.train("mmvae-plus", "digits-halves", latent=2, own=2, hidden=[8], epochs=1, progress=Silent())
    x = {"left": load_data("digits-halves").arrays["left"][:5]}
    drawn = model.translate(x, ["left"], "right", 2, mean=False)
    assert (drawn.dtype, drawn.shape) == (np.uint8, (5, 2, 8, 4))
    assert set(np.unique(drawn)) <= {0, 16}


@pytest.mark.parametrize(
    ("given", "to", "sentence"),
    [
        ([], "y", "say which variables to go by; choose from: x, y"),
        (["y"], "x", "there are no values of 'y' to go by; give them under that name"),
        (["x"], "u", "data 'mapping' have no variable 'u'; choose one of: x, y"),
        (["u"], "y", "data 'mapping' have no variable 'u'; choose one of: x, y"),
    ],
)
def test_what_cannot_be_told_is_refused(model: lowerbound.Fitted, given: list[str], to: str, sentence: str) -> None:
    with refused(sentence, InputError):
        model.translate({"x": np.zeros((3, 4))}, given, to)


def test_rows_are_checked(model: lowerbound.Fitted) -> None:
    with pytest.raises(InputError, match="rows of shape \\(3,\\)"):
        model.translate({"x": np.zeros((3, 3))}, ["x"], "y")
