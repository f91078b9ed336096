"""Adam's step with clipping and skipping, neither of which makes the host wait for the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.core.table import Table
from lowerbound.errors import InputError
from lowerbound.run.settings import Settings
from lowerbound.training.rowwise import RowwiseAdam


@final
class Optimiser:
    """Fused AdamW over some parameters, which leaves out steps whose gradient is not finite.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; Loshchilov and Hutter, "Decoupled Weight
    Decay Regularization", 2019. The norm of the gradient stays on the device: the fused kernel itself divides by
    `grad_scale` (clipping) and does nothing when `found_inf` is 1 (skipping), both made for loss scaling.

    tables: those among the parameters' owners whose rows are stepped one by one (see `RowwiseAdam`); their posteriors
    are no weights, so they know no decay.

    Example:
        >>> weight = nn.Parameter(torch.ones(2))
        >>> optimiser = Optimiser([weight], Settings())
        >>> (weight * torch.tensor([1.0, torch.nan])).sum().backward()
        >>> finite, norm = optimiser.step(rate=0.5)
        >>> finite.item(), weight.tolist()
        (False, [1.0, 1.0])
    """

    def __init__(self, parameters: Iterable[nn.Parameter], settings: Settings, tables: Iterable[Table] = ()) -> None:
        self.tables = [RowwiseAdam(table, settings.epsilon) for table in tables]
        apart = {id(table.weight) for table in self.tables}
        self.parameters = [p for p in parameters if p.requires_grad and id(p) not in apart]
        if not self.parameters:
            raise InputError("the model has no parameter to train")
        self.clip = settings.clip
        lr, eps, decay = settings.lr, settings.epsilon, settings.weight_decay
        self.adam = torch.optim.AdamW(self.parameters, lr, eps=eps, weight_decay=decay, fused=True)

    def step(self, rate: float) -> tuple[Tensor, Tensor]:
        """Step if the gradient is finite, and clear it; return whether it was, and its norm before clipping."""
        dense = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm([*dense, *(table.take() for table in self.tables)])
        finite = torch.isfinite(norm)
        self._guard(norm, finite)
        self._set_rate(rate)
        self.adam.step()
        self.adam.zero_grad()
        for table in self.tables:
            table.step(rate, finite, self._shrink(norm))
        return finite, norm

    def renew(self) -> None:
        """Forget all moments and counts of steps."""
        self.adam.state.clear()
        for table in self.tables:
            table.load({name: torch.zeros_like(value) for name, value in table.state().items()})

    def state(self) -> dict[str, Tensor]:
        """Return the moments and step counts by name."""
        moments = {**self.adam.state_dict()["state"], **{f"table{n}": t.state() for n, t in enumerate(self.tables)}}
        return {f"{number}.{key}": value for number, all_ in moments.items() for key, value in all_.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        moments: dict[str, dict[str, Tensor]] = {}
        for name, value in state.items():
            owner, _, key = name.partition(".")
            moments.setdefault(owner, {})[key] = value
        for number, table in enumerate(self.tables):
            table.load(moments.pop(f"table{number}"))
        numbered = {int(number): each for number, each in moments.items()}
        self.adam.load_state_dict({"state": numbered, "param_groups": self.adam.state_dict()["param_groups"]})

    def _guard(self, norm: Tensor, finite: Tensor) -> None:
        self.adam.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]
        if self.clip is not None:
            self.adam.grad_scale = self._shrink(norm).to(torch.float32)  # type: ignore[attr-defined]

    def _shrink(self, norm: Tensor) -> Tensor:
        """Return what the gradient is to be divided by."""
        return torch.ones_like(norm) if self.clip is None else (norm / self.clip).clamp(min=1)

    def _set_rate(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = rate
