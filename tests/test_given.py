"""A conditional model's verbs under what it is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

import lowerbound
from lowerbound import Fitted, InputError
from lowerbound.core import Bernoulli, Gaussian, Latent, Pathwise, standard_normal
from lowerbound.core.objectives import AnalyticELBO
from lowerbound.data.conditioning import Told
from lowerbound.data.spec import Variable
from lowerbound.data.views import Identity
from lowerbound.recipes.registry import Setup
from lowerbound.training.progress import Silent

SMALL = {"epochs": 6, "latent": 3, "hidden": [32], "batch_size": 128, "lr": 3e-3, "progress": Silent()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return lowerbound.train("cvae", "digits", tmp_path_factory.mktemp("runs") / "digits", **SMALL)


@pytest.fixture(scope="module")
def x(model: Fitted) -> np.ndarray:
    return model.rows(split="test").array("x")


@pytest.fixture(scope="module")
def labels(model: Fitted) -> list[str]:
    return [str(code) for code in model.rows(split="test").condition]


def test_the_right_label_explains_a_digit_better(model: Fitted, x: np.ndarray, labels: list[str]) -> None:
    wrong = [str((int(label) + 1) % 10) for label in labels]
    right, shifted = (model.given(each).log_prob(x, 50) for each in (labels, wrong))
    assert (right - shifted).mean() > 0.3
    assert right.mean() > model.given(None).log_prob(x, 50).mean()


def test_nothing_told_is_what_not_asking_tells(model: Fitted, x: np.ndarray) -> None:
    np.testing.assert_array_equal(model.given(None).log_prob(x, 10), model.log_prob(x, 10))


def test_one_label_is_told_of_every_row(model: Fitted, x: np.ndarray) -> None:
    once, each = model.given(7), model.given(["7"] * len(x))
    np.testing.assert_array_equal(once.encode(x), each.encode(x))
    np.testing.assert_array_equal(once.sample(300), model.given(["7"] * 300).sample(300))


def test_what_is_decoded_depends_on_what_is_told(model: Fitted) -> None:
    z = np.zeros((10, 3))
    found = model.given(list(range(10))).decode(z)
    assert found.shape == (10, 8, 8)
    alone = np.concatenate([model.given(label).decode(z[:1]) for label in range(10)])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_figures_are_of_the_data_s_own_labels(model: Fitted, x: np.ndarray, labels: list[str]) -> None:
    told = model.evaluate(particles=50)["log_p"]["value"]
    assert abs(told - model.given(labels).log_prob(x, 50).mean()) < 0.1  # the same but for the draws of views and z


@pytest.mark.parametrize(
    ("condition", "words"),
    [("ten", "no datum is labelled 'ten'"), ([], "no condition"), (["1", "2"], "2 conditions are given for 3 rows")],
)
def test_no_such_label(model: Fitted, condition: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.given(condition).sample(3)


def test_a_model_that_is_told_nothing(x: np.ndarray) -> None:
    plain = lowerbound.train("vae", "digits", **{**SMALL, "epochs": 1})
    with pytest.raises(InputError, match="told nothing but x"):
        plain.given(3)


def test_a_model_that_must_be_told(x: np.ndarray) -> None:
    strict = lowerbound.train("cvae", "digits", drop=0, **{**SMALL, "epochs": 1})
    with pytest.raises(InputError, match="say which, or train with drop"):
        strict.sample(2)
    assert strict.given(2).sample(2).shape == (2, 8, 8)


def test_data_without_labels_are_refused() -> None:
    with pytest.raises(InputError, match="nothing to condition on"):
        lowerbound.train("cvae", np.eye(30), **SMALL)


def test_a_run_says_the_same_when_it_is_opened_again(model: Fitted, x: np.ndarray, tmp_path: Path) -> None:
    model.save(tmp_path / "copy")
    np.testing.assert_array_equal(
        lowerbound.load(tmp_path / "copy").given(3).log_prob(x, 5), model.given(3).log_prob(x, 5)
    )


def test_vectors_are_standardised_by_the_training_rows() -> None:
    generator = np.random.default_rng(0)
    c = 100 + 5 * generator.normal(size=(400, 2))
    x = c @ generator.normal(size=(2, 4)) + generator.normal(size=(400, 4))
    data = lowerbound.load_data(x, labels=c)
    about, told = data.spec.condition, Told.by(data.spec)
    assert about is not None
    train = data.split("train").condition
    np.testing.assert_allclose(about.mean, train.mean(0), rtol=1e-5)
    seen = told(data.split("train").resident().batch(torch.arange(320)).c, 320)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(0, correction=0), 1, atol=1e-4)
    model = lowerbound.train("cvae", data, **{**SMALL, "epochs": 1})
    assert model.given(c[:3]).log_prob(x[:3], 5).shape == (3,)
    assert model.given(c[0]).sample(4).shape == (4, 4)


def test_pictures_to_condition_on() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    data = lowerbound.load_data({"x": pictures[:, :2], "c": pictures[:, 2:]}, labels="c")
    assert data.spec.condition is not None
    assert (data.spec.condition.kind, data.spec.condition.shape) == ("byte", (2, 4))
    model = lowerbound.train("cvae", data, **{**SMALL, "epochs": 1})
    assert model.given(pictures[0, 2:]).sample(3).shape == (3, 2, 4)
    with pytest.raises(InputError, match="outside 0 to 255"):
        model.given(pictures[0, 2:].astype(int) + 1000).sample(3)


def test_what_is_withheld_is_withheld_in_training_alone() -> None:
    told, c = Told(Variable("c", "category", (), 0, 2, levels=3), drop=0.25), torch.eye(3).repeat(4000, 1)
    withheld = (told(c, len(c)) == 0).all(1)
    share = withheld.double().mean().item()
    assert abs(share - 0.25) < 4.5 * (0.25 * 0.75 / len(c)) ** 0.5  # by chance once in 150 000
    whole = told.eval()(c, len(c))
    assert whole[:, -1].eq(1).all()
    np.testing.assert_allclose(whole[:, :-1].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(whole[:, :-1].std(0, correction=0), 1, atol=1e-5)
    assert not Told(told.variable)(c, len(c)).eq(0).all(1).any()


def test_the_exact_answer_where_z_tells_nothing_more() -> None:
    """p(x|c) of a Bernoulli whose logit is c alone: no bound in between, so log p(x|c) is known."""

    class Only(torch.nn.Module):
        def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return c.expand(*z.shape[:-1], 1)

    class Same(torch.nn.Module):
        def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 1, 2)

    model = Latent(standard_normal(1), Gaussian(Same()), Bernoulli(Only()))
    data = lowerbound.load_data(np.tile([[0], [1]], (20, 1)), kind="binary", labels=np.linspace(-2, 2, 40)[:, None])
    told = Told(Variable("c", "real", (1,), -2, 2))
    fitted = Fitted(Setup(model, {"x": Identity()}, AnalyticELBO(), Pathwise(), condition=told), data.spec)
    exact = torch.nn.functional.logsigmoid(torch.tensor([1.5])).item()
    assert abs(fitted.given([1.5]).log_prob(np.array([[1]]), 3)[0] - exact) < 1e-6
