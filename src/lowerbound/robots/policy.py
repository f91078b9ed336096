"""A trained model of action chunks at the wheel: what it does next, in any number of episodes at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.core import Chain, Latent, Model
from lowerbound.data.ahead import Ahead
from lowerbound.data.spec import Variable
from lowerbound.errors import InputError
from lowerbound.evaluation.conditions import stored
from lowerbound.fitted import Fitted
from lowerbound.robots.instructed import instructions, parts_of
from lowerbound.robots.simulators import Array

Style = Callable[[Model, Tensor], Any]
"""From a model and what it is told (n, C) to the z that it acts by, of n rows."""


@final
class Policy:
    """What a robot does: the means of p(a|z,c) at the mean of p(z|c), asked for every few steps and blended.

    Asked at every step, each action is the mean of all the predictions of it, weighted by exp(−m i), i = 0 being the
    oldest; asked every `chunk` steps, the whole of a chunk is done before the next look. Nothing in it is random, and
    what one episode does depends on no other. Tony Z. Zhao, Vikash Kumar, Sergey Levine and Chelsea Finn, "Learning
    fine-grained bimanual manipulation with low-cost hardware", 2023.

    fitted: a model of chunks told a state, such as those of the recipes act and told-act. every: control steps from one
    question to the next. ensemble: m; None acts by the newest prediction alone. instruction: for a model told in words,
    what to do in all episodes, or in each. style: the z to act by.

    Raises:
        InputError: a model of something else, or `every` beyond the chunk.

    Example:
        >>> policy = Policy(trained)  # doctest: +SKIP
        >>> policy.reset(50)  # doctest: +SKIP
        >>> policy.act(np.zeros((50, 14), np.float32)).shape  # doctest: +SKIP
        (50, 14)
    """

    def __init__(
        self,
        fitted: Fitted,
        every: int = 1,
        ensemble: float | None = 0.01,
        instruction: str | Sequence[str] | Array | None = None,
        style: Style | None = None,
    ) -> None:
        self.setup, self.variable, self.device = fitted.setup, _actions(fitted), fitted.device
        self.steps = steps_of(fitted)
        if not 1 <= every <= self.steps:
            raise InputError(f"the policy is asked every {every} steps, and a chunk has {self.steps}; give 1 to those")
        if ensemble is not None and not ensemble >= 0:
            raise InputError(f"ensemble weighs predictions by exp(-m i), with an m of 0 or more, not {ensemble}")
        self.every, self.ensemble, self.style = every, ensemble, style or usual
        self.about = _told(fitted)
        self.words = instructions(self.about, instruction)
        self.reset(1 if self.words is None else len(self.words))

    def reset(self, episodes: int) -> None:
        """Forget what was before: so many new episodes begin."""
        if self.words is not None and len(self.words) not in (1, episodes):
            raise InputError(f"{len(self.words)} instructions are given for {episodes} episodes; give one, or one each")
        self.episodes, self.step = episodes, 0
        self.plan = self._plan()

    def act(self, state: Array) -> Array:
        """The actions (n, A) for states (n, S), one for each episode; on the data's own scale."""
        if self.step % self.every == 0:
            self.plan.add(self.chunks(state))
        self.step += 1
        found: Array = self.plan.next().cpu().numpy()
        return found

    @torch.inference_mode()
    def chunks(self, state: Array) -> Tensor:
        """The chunks (n, chunk, A) that the model would do from these states on."""
        told = self.setup.told(self._stored(state), len(state))
        assert told is not None
        z = self.style(self.setup.model, told)
        mean = self.setup.model.decode(z, told)[self.variable.name].mean
        whole: Tensor = self.setup.views[self.variable.name].inverse(mean)
        return whole[:, : self.steps]

    def _stored(self, state: Array) -> Tensor:
        """What the model is told of states, and of the instruction after them, (n, C)."""
        given = np.asarray(state, np.float32)
        if given.shape != (self.episodes, parts_of(self.about)[0]):
            raise InputError(
                f"the states are of shape {given.shape}, and {self.episodes} episodes of {parts_of(self.about)[0]} "
                "numbers are under way; give a row an episode, or reset the policy"
            )
        if self.words is not None:
            given = np.concatenate([given, np.broadcast_to(self.words, (len(given), self.words.shape[1]))], axis=1)
        return stored(self.about, given).to(self.device)

    def _plan(self) -> Plan:
        shape = (self.episodes, self.steps, self.variable.shape[-1])
        empty = torch.zeros(shape, device=self.device)
        return Newest(empty) if self.ensemble is None else Blend(empty, self.every, self.ensemble)


class Plan(ABC):
    """What is to be done at the next steps, of the chunks that were asked for."""

    @abstractmethod
    def add(self, chunks: Tensor) -> None:
        """Take up newly predicted chunks (n, chunk, A), whose first action is the next."""

    @abstractmethod
    def next(self) -> Tensor:
        """The next action, (n, A)."""


@final
class Newest(Plan):
    """The newest chunk alone."""

    def __init__(self, chunks: Tensor) -> None:
        self.chunks, self.at = chunks, 0

    def add(self, chunks: Tensor) -> None:
        self.chunks, self.at = chunks, 0

    def next(self) -> Tensor:
        self.at += 1
        return self.chunks[:, self.at - 1]


@final
class Blend(Plan):
    """The mean of all predictions of an action, weighted by exp(−m i), i = 0 the oldest of those that are of it.

    How many older ones there are of a step is known when a chunk is predicted, so that sums of what is ahead are all
    that is kept: (n, chunk, A), however many predictions there were.

    >>> import math
    >>> plan = Blend(torch.zeros(1, 2, 1), every=1, m=math.log(3))
    >>> plan.add(torch.tensor([[[1.0], [4.0]]]))
    >>> plan.next().item()
    1.0
    >>> plan.add(torch.tensor([[[8.0], [0.0]]]))
    >>> plan.next().item()  # (4 + 8 / 3) / (1 + 1 / 3)
    5.0
    """

    def __init__(self, empty: Tensor, every: int, m: float) -> None:
        self.sums, self.weights, self.m, self.asked = empty, empty.new_zeros(empty.shape[1], 1), m, 0
        ahead = torch.arange(empty.shape[1], device=empty.device).unsqueeze(1)
        self.older = (empty.shape[1] - 1 - ahead) // every

    def add(self, chunks: Tensor) -> None:
        weight = torch.exp(-self.m * self.older.clamp_max(self.asked))
        self.sums, self.weights, self.asked = self.sums + weight * chunks, self.weights + weight, self.asked + 1

    def next(self) -> Tensor:
        found = self.sums[:, 0] / self.weights[0]
        self.sums, self.weights = _moved(self.sums), _moved(self.weights)
        return found


def _moved(values: Tensor) -> Tensor:
    """The values a step later, along the last dimension but one."""
    return torch.nn.functional.pad(values[..., 1:, :], (0, 0, 0, 1))


def usual(model: Model, told: Tensor) -> Any:
    """The mean of p(z|c); of a chain the mean of each layer at that of the one above."""
    if isinstance(model, Latent):
        return model.prior(told).mean.expand(len(told), -1)
    if not isinstance(model, Chain):
        raise InputError(f"a {type(model).__name__} has no usual z to act by; give a style")
    return model.foreseen(lambda p: p.mean.expand(len(told), -1), told)


def steps_of(fitted: Fitted) -> int:
    """Steps of the chunks that a model predicts."""
    variable = _actions(fitted)
    view = fitted.setup.views[variable.name]
    return view.steps if isinstance(view, Ahead) else variable.shape[0]


def _told(fitted: Fitted) -> Variable:
    if fitted.setup.condition is None:
        raise InputError("the model is told no state, so it cannot act by one; train act on demonstrations")
    return fitted.setup.condition.variable


def _actions(fitted: Fitted) -> Variable:
    variable = fitted.spec.variables[0]
    if len(fitted.spec.variables) > 1 or len(variable.shape) != 2 or variable.kind != "real":
        raise InputError("a policy acts by a model of chunks of actions; train one, such as act, on demonstrations")
    return variable
