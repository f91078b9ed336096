"""Recipes by name: what they say of themselves, what they take, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from agree import refused
from catalogue import batch, spec, variable
from lowerbound.errors import InputError
from lowerbound.recipes import Parameter, Recipe, Setup, get, names, recipe
from lowerbound.recipes import registry as module


def toy(spec: object, *, width: int = 3, rate: float = 0.5, mode: str = "a") -> Setup:
    """A toy: nothing but a summary.

    More about it, which is no argument: really. Choose it for data of
    1.5 dimensions. Somebody, "A toy", 1999.

    Args:
        width: how wide,
            and on a second line, why.
        rate: how fast.
        mode: a word: any.

    Returns:
        nothing: of use.
    """
    raise NotImplementedError((width, rate, mode))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(module, "_registered", dict(module._all()))
    monkeypatch.setattr(module, "_all", lambda: module._registered)
    recipe("toy")(toy)
    return get("toy")


def test_a_recipe_says_what_its_function_says(registered: Recipe) -> None:
    assert registered.name == "toy"
    assert registered.summary == "A toy: nothing but a summary."
    assert "More about it" in registered.description
    assert registered.choice == "Choose it for data of 1.5 dimensions."
    assert registered.parameters == {
        "width": Parameter("width", int, 3, "how wide, and on a second line, why."),
        "rate": Parameter("rate", float, 0.5, "how fast."),
        "mode": Parameter("mode", str, "a", "a word: any."),
    }


def test_registered_recipes_are_found_by_name(registered: Recipe) -> None:
    assert "toy" in names()
    assert names() == sorted(names())


def test_arguments_are_completed_and_converted(registered: Recipe) -> None:
    assert registered.check({}) == {"width": 3, "rate": 0.5, "mode": "a"}
    found = registered.check({"rate": 1})
    assert found["rate"] == 1.0
    assert isinstance(found["rate"], float)


def test_checked_arguments_reach_the_function(registered: Recipe) -> None:
    with pytest.raises(NotImplementedError) as caught:
        registered.build(spec(variable("unit")), width=7, rate=2)
    assert caught.value.args == ((7, 2.0, "a"),)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"widht": 4}, "recipe toy has no argument 'widht'; did you mean 'width'?"),
        ({"zzz": 4}, "recipe toy has no argument 'zzz'; choose one of: width, rate, mode"),
        ({"width": 4.5}, "argument width must be a whole number, not 4.5"),
        ({"width": "4"}, "argument width must be a whole number, not '4'"),
        ({"width": True}, "argument width must be a whole number, not True"),
        ({"rate": float("nan")}, "argument rate must be a number, not nan"),
        ({"mode": 3}, "argument mode must be text, not 3"),
    ],
)
def test_wrong_arguments_are_refused(registered: Recipe, arguments: dict[str, object], sentence: str) -> None:
    with refused(sentence, InputError):
        registered.check(arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"latent": 0}, "argument latent must be a whole number of at least 1, not 0"),
        ({"hidden": [8, 0]}, "argument hidden must be a list, each a whole number of at least 1 or null, not [8, 0]"),
        ({"hidden": 8}, "argument hidden must be a list, each a whole number of at least 1 or null, not 8"),
        ({"net": "cnn"}, "argument net must be one of mlp, conv, resnet, not 'cnn'"),
        ({"beta": -1}, "argument beta must be a number of at least 0, not -1"),
        ({"particles": 2.0}, "argument particles must be a whole number of at least 1, not 2.0"),
        ({"latnt": 2}, "recipe vae has no argument 'latnt'; did you mean 'latent'?"),
    ],
)
def test_arguments_of_the_vae_are_checked(arguments: dict[str, object], sentence: str) -> None:
    with refused(sentence, InputError):
        get("vae").build(spec(variable("unit")), **arguments)


def test_lists_become_tuples() -> None:
    assert get("vae").check({"hidden": [8, 4]})["hidden"] == (8, 4)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vea", "there is no recipe 'vea'; did you mean 'vae'?"),
        ("qqqq", f"there is no recipe 'qqqq'; choose one of: {', '.join(names())}"),
    ],
)
def test_an_unknown_recipe_is_refused(name: str, sentence: str) -> None:
    with refused(sentence, InputError):
        get(name)


def test_a_setup_sees_data_through_its_views() -> None:
    setup = get("vae").build(spec(variable("byte", (3,))), latent=2, hidden=(4,), likelihood="gaussian-fixed")
    raw = batch("byte", 5, (3,))
    seen = setup.see(raw)
    assert torch.equal(seen.x["x"], raw.x["x"] / 7)
    assert seen.c is None  # the vae is not conditional
    assert torch.equal(seen.index, raw.index)
    assert setup.log_volume == pytest.approx(-3 * torch.log(torch.tensor(7.0)).item())
    assert not setup.random_views


def test_dynamic_binarisation_is_a_random_view() -> None:
    setup = get("vae").build(spec(variable("byte")), latent=2, hidden=(4,), likelihood="bernoulli")
    raw = batch("byte", 5)
    assert setup.random_views
    assert setup.log_volume == 0
    looks = [setup.see(raw).x["x"] for _ in range(2)]
    assert not torch.equal(*looks)
    assert set(looks[0].unique().tolist()) == {0.0, 1.0}


def test_a_setup_moves_with_all_its_parts() -> None:
    setup = get("vae").build(spec(variable("real", (3,))), latent=2, hidden=(4,), anneal=10)
    moved = setup.to("meta")
    for part in (moved.model, moved.objective, *moved.views.values()):
        assert all(t.device.type == "meta" for t in (*part.parameters(), *part.buffers()))
