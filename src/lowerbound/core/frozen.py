"""A module as it is, its parameters cut from the graph while gradients still pass through what it is given."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.func import functional_call


def frozen(module: nn.Module, *given: Any) -> Any:
    """module(*given) whose gradient reaches `given` but none of the module's parameters.

    >>> import torch
    >>> layer, x = nn.Linear(2, 1), torch.ones(2, requires_grad=True)
    >>> frozen(layer, x).backward()
    >>> layer.weight.grad is None, bool((x.grad == layer.weight[0]).all())
    (True, True)
    """
    held = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return functional_call(module, held, given)
