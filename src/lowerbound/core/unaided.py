"""What a conditional model costs where it is used: z drawn before x was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.batch import Batch
from lowerbound.core.chain import Chain
from lowerbound.core.estimators import summed
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective
from lowerbound.core.observation import observed_log_prob

Foresight = Callable[[Batch], Mapping[str, Distribution]]
"""From a batch to p(x|z,c) of each variable at one draw z ~ p(z|c), through which gradients pass."""


@final
class Unaided(Objective):
    """−E_{p(z|c)}[log p(x|z,c)], by one draw: what x costs to tell with a z that knows nothing of it.

    An ELBO trains p(x|z,c) under z ~ q(z|x,c), and p(z|c) to follow q; yet where x is to be foretold z comes of p(z|c),
    and its share of the error is never seen. By Jensen's inequality this, too, is no less than −log p(x|c), and so is
    any mean of the two: α (the negative ELBO) + (1 − α) Unaided is the hybrid objective of Kihyuk Sohn, Honglak Lee and
    Xinchen Yan, "Learning structured output representation using deep conditional generative models", 2015.

    foresee: of the model, which learns and saves it.

    >>> import torch
    >>> from lowerbound.core import Gaussian, Homoscedastic, Link, standard_normal
    >>> q = Gaussian(torch.nn.Unflatten(-1, (1, 2)))
    >>> model = Chain({"z": Link(standard_normal(1), q)}, Homoscedastic(torch.nn.Identity(), torch.zeros(())))
    >>> trace = model.trace(Batch({"x": torch.zeros(5, 2)}))
    >>> Unaided(foresight(model))(trace)["unaided_distortion"].shape
    torch.Size([5])
    """

    def __init__(self, foresee: Foresight) -> None:
        super().__init__()
        self.foresee = foresee

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        batch = trace.batch
        px = self.foresee(batch)
        said = [observed_log_prob(d, batch.x[name], batch.mask_of(name)) for name, d in px.items()]
        return {"unaided_distortion": -summed(said)}


def foresight(chain: Chain) -> Foresight:
    """That of a chain: each layer drawn given the one above."""

    def foresee(batch: Batch) -> Mapping[str, Distribution]:
        draw = lambda p: p.rsample() if p.batch_shape else p.rsample((batch.size,))  # noqa: E731
        return chain.decode(chain.foreseen(draw, batch.c), batch.c)

    return foresee
