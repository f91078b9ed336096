"""A policy does what a loop over all predictions, written down one by one, does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agree import refused
from lowerbound.data.senses import beheld
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.fitted import Fitted
from lowerbound.recipes import get
from lowerbound.robots.instructed import instructions
from lowerbound.robots.policy import Policy, steps_of

TOTAL, ACTIONS, STATE = 8, 2, 3
SMALL: dict[str, Any] = {"latent": 2, "width": 8, "heads": 2, "layers": 1}
ACTION = Variable("action", "real", (TOTAL, ACTIONS), -9, 9, mean=(1.0, 50.0), std=(0.5, 20.0), missing=True)
SEEN = Variable("condition", "real", (STATE,), -3, 3, mean=(0.1,) * STATE, std=(2.0,) * STATE, form=f"state:{STATE}")


def data(about: Variable = SEEN) -> DataSpec:
    return DataSpec("toy", (ACTION,), about, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)


def model(recipe: str = "act", about: Variable = SEEN, **arguments: Any) -> Fitted:
    torch.manual_seed(0)
    spec = data(about)
    return Fitted(get(recipe).build(spec, **SMALL, **arguments), spec)


def states(steps: int, episodes: int, width: int = STATE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(steps, episodes, width)).astype(np.float32)


def predicted(fitted: Fitted, state: np.ndarray) -> np.ndarray:
    """E[x|z,c] at z = 0, by the verbs."""
    return np.asarray(fitted.given(state).decode(np.zeros((len(state), SMALL["latent"]))))


def naive(fitted: Fitted, seen: np.ndarray, chunk: int, every: int, m: float | None) -> np.ndarray:
    """Every prediction is kept; of each step those that are of it are looked up, from the oldest."""
    made = {t: predicted(fitted, seen[t]) for t in range(0, len(seen), every)}
    done = []
    for t in range(len(seen)):
        of_it = [made[q][:, t - q] for q in sorted(made) if q <= t < q + chunk]
        weights = [math.exp(-(m or 0) * i) for i in range(len(of_it))]
        newest = m is None
        done.append(of_it[-1] if newest else sum(w * a for w, a in zip(weights, of_it)) / sum(weights))
    return np.stack(done)


def followed(policy: Policy, seen: np.ndarray) -> np.ndarray:
    policy.reset(seen.shape[1])
    return np.stack([policy.act(state) for state in seen])


@pytest.mark.parametrize("m", [None, 0.0, 0.01, 2.0])
@pytest.mark.parametrize("every", [1, 3, 8])
@pytest.mark.parametrize("chunk", [1, 5, 8])
def test_a_policy_is_the_naive_loop(chunk: int, every: int, m: float | None) -> None:
    fitted, seen = model(chunk=chunk), states(20, 4)
    assert steps_of(fitted) == chunk
    if every > chunk:
        with pytest.raises(InputError, match=f"every {every} steps, and a chunk has {chunk}"):
            Policy(fitted, every, m)
        return
    expected = naive(fitted, seen, chunk, every, m)
    assert np.abs(expected).max() > 10
    found = followed(Policy(fitted, every, m), seen)
    assert np.abs(found - expected).max() < 1e-4  # of numbers about 50


def test_open_loop_is_one_look_a_chunk_whatever_the_weights() -> None:
    fitted, seen = model(), states(17, 2)
    plans = [followed(Policy(fitted, TOTAL, m), seen) for m in (None, 0.01, 3.0)]
    assert all(np.allclose(plans[0], each, atol=1e-5) for each in plans)
    assert np.allclose(plans[0][8:16], predicted(fitted, seen[8]).swapaxes(0, 1), atol=1e-5)


def test_episodes_do_not_mind_each_other_and_nothing_is_random() -> None:
    fitted, seen = model(), states(12, 5)
    together = followed(Policy(fitted), seen)
    assert np.array_equal(together, followed(Policy(fitted), seen))
    for i in range(5):
        assert np.allclose(together[:, i : i + 1], followed(Policy(fitted), seen[:, i : i + 1]), atol=1e-4)


def test_a_reset_forgets() -> None:
    policy, seen = Policy(model()), states(6, 3)
    first = followed(policy, seen)
    assert np.array_equal(followed(policy, seen), first)
    assert policy.act(seen[0]).shape == (3, ACTIONS)


def test_without_z_a_policy_acts_too() -> None:
    spec = data()
    fitted = Fitted(get("act").build(spec, **{**SMALL, "latent": 0}), spec)
    assert followed(Policy(fitted), states(4, 2)).shape == (4, 2, ACTIONS)


def test_another_style_acts_otherwise() -> None:
    fitted, seen = model(), states(4, 2)
    style = lambda m, told: torch.full((len(told), 2), 3.0)  # noqa: E731
    assert not np.allclose(followed(Policy(fitted, style=style), seen), followed(Policy(fitted), seen))


WORDS = replace(SEEN, shape=(STATE + 256,), mean=(0.0,) * (STATE + 256), std=(1.0,) * (STATE + 256), encoder="hash")


@pytest.mark.parametrize("recipe", ["act", "told-act"])
def test_a_policy_is_told_in_words(recipe: str) -> None:
    """One instruction for all is as the same to each; another one is another policy; vectors are as good as words."""
    fitted, seen = model(recipe, WORDS), states(5, 2)
    one = followed(Policy(fitted, instruction="open the drawer"), seen)
    assert np.array_equal(one, followed(Policy(fitted, instruction=["open the drawer"] * 2), seen))
    assert np.array_equal(one, followed(Policy(fitted, instruction=instructions(WORDS, "open the drawer")), seen))
    both = followed(Policy(fitted, instruction=["open the drawer", "push the block"]), seen)
    assert np.allclose(both[:, 0], one[:, 0], atol=1e-4)
    assert not np.allclose(both[:, 1], one[:, 1], atol=1e-4)


def test_what_is_refused() -> None:
    fitted = model()
    with refused("the model is told a state of 3 numbers and 0 of words, and is told no instruction; give none"):
        Policy(fitted, instruction="go")
    with refused("the model is told a state of 3 numbers and 256 of words, and needs an instruction; say what to do"):
        Policy(model(about=WORDS))
    with refused("2 instructions are given for 3 episodes; give one, or one each"):
        Policy(model(about=WORDS), instruction=["go", "stop"]).reset(3)
    with refused("the policy is asked every 9 steps, and a chunk has 8; give 1 to those"):
        Policy(fitted, 9)
    with pytest.raises(InputError, match="an m of 0 or more"):
        Policy(fitted, ensemble=math.nan)
    with pytest.raises(InputError, match=r"of shape \(2, 3\), and 1 episodes"):
        Policy(fitted).act(np.zeros((2, 3)))
    with pytest.raises(InputError, match="NaN"):
        Policy(fitted).act(np.full((1, 3), np.nan))


def test_a_policy_sees() -> None:
    """Told a state and after it a picture, both of which it minds."""
    count = STATE + 8 * 8 * 3
    about = replace(SEEN, shape=(count,), mean=None, std=None, form=f"picture:{STATE},8x8x3")
    policy, states_seen = Policy(model(about=about), ensemble=None), states(1, 2)[0]
    draw = np.random.default_rng(0).integers
    policy.reset(2)
    done = [policy.act(beheld(states_seen, draw(0, 256, (2, 8, 8, 3)).astype(np.uint8))) for _ in range(2)]
    assert done[0].shape == (2, ACTIONS)
    assert not np.allclose(done[0], done[1])
    with pytest.raises(InputError, match="2 episodes of 195 numbers are under way"):
        policy.act(states_seen)
