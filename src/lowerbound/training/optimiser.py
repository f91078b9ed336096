"""Adam's step with clipping and skipping, neither of which makes the host wait for the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.run.settings import Settings


@final
class Optimiser:
    """Fused AdamW over some parameters, which leaves out steps whose gradient is not finite.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; Loshchilov and Hutter, "Decoupled Weight
    Decay Regularization", 2019. The norm of the gradient stays on the device: the fused kernel itself divides by
    `grad_scale` (clipping) and does nothing when `found_inf` is 1 (skipping), both made for loss scaling.

    Example:
        >>> weight = nn.Parameter(torch.ones(2))
        >>> optimiser = Optimiser([weight], Settings())
        >>> (weight * torch.tensor([1.0, torch.nan])).sum().backward()
        >>> finite, norm = optimiser.step(rate=0.5)
        >>> finite.item(), weight.tolist()
        (False, [1.0, 1.0])
    """

    def __init__(self, parameters: Iterable[nn.Parameter], settings: Settings) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        if not self.parameters:
            raise InputError("the model has no parameter to train")
        self.clip = settings.clip
        lr, eps, decay = settings.lr, settings.epsilon, settings.weight_decay
        self.adam = torch.optim.AdamW(self.parameters, lr, eps=eps, weight_decay=decay, fused=True)

    def step(self, rate: float) -> tuple[Tensor, Tensor]:
        """Step if the gradient is finite, and clear it; return whether it was, and its norm before clipping."""
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        finite = torch.isfinite(norm)
        self._guard(norm, finite)
        self._set_rate(rate)
        self.adam.step()
        self.adam.zero_grad()
        return finite, norm

    def state(self) -> dict[str, Tensor]:
        """Return the moments and step counts by name."""
        moments = self.adam.state_dict()["state"]
        return {f"{number}.{key}": value for number, all_ in moments.items() for key, value in all_.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = value
        self.adam.load_state_dict({"state": moments, "param_groups": self.adam.state_dict()["param_groups"]})

    def _guard(self, norm: Tensor, finite: Tensor) -> None:
        self.adam.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]
        if self.clip is not None:
            self.adam.grad_scale = (norm / self.clip).clamp(min=1).to(torch.float32)  # type: ignore[attr-defined]

    def _set_rate(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = rate
