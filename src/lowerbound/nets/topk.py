"""The largest of many responses, and what is made of them: the activations of sparse codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isqrt
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.errors import InputError

BLOCK, BLOCK_ON_GPU = 1 << 22, 1 << 28
"""Responses computed at once: of a wide dictionary there are never more in memory. On a processor few enough for memory
that is at hand already; a GPU likes great products."""

BANDWIDTH = 0.1
"""Width of the kernel about a threshold by which its gradient is estimated, as a share of the threshold."""

FORGET = 0.01
"""Share of a running mean that each step renews."""

SLOTS = 4
"""A datum may use up to so many times k units where the activation leaves their number free."""

ActivationName = Literal["topk", "batch-topk", "jump-relu"]


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of scores (B, n) and their positions, both (B, k) in no order.

    The rows are cut into groups. The k largest lie in the k groups whose maxima are largest, so only those are sorted:
    of 16 384 scores some 1 500, half the time of sorting all.

    >>> largest(torch.tensor([[3.0, 1.0, 2.0]]), 1)
    (tensor([[3.]]), tensor([[0]]))
    """
    n = scores.shape[1]
    size = isqrt(n // k)
    if size < 4:
        values, positions = scores.topk(k, sorted=False)
        return values, positions
    whole = n // size * size
    values, positions = _in_groups(scores[:, :whole].unflatten(1, (size, -1)), k)
    rest = torch.arange(whole, n, device=scores.device).expand(len(scores), -1)
    values, chosen = torch.cat([values, scores[:, whole:]], 1).topk(k, sorted=False)
    return values, torch.cat([positions, rest], 1).gather(1, chosen)


def _in_groups(grid: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All scores of the k most promising columns of a grid (B, size, groups), and their positions, (B, size·k)."""
    _, size, groups = grid.shape
    columns = grid.amax(1).topk(k, sorted=False).indices.unsqueeze(1).expand(-1, size, -1)
    firsts = groups * torch.arange(size, device=grid.device).unsqueeze(-1)
    return grid.gather(2, columns).flatten(1), (firsts + columns).flatten(1)


@torch.no_grad()
def strongest(x: Tensor, weight: Tensor, bias: Tensor, k: int) -> Tensor:
    """Which k rows of `weight` (width, D) respond most, W x + b, to each x (B, D): their numbers (B, k).

    Computed over a block of rows at a time, so that the (B, width) responses of a wide dictionary never exist at once.

    >>> strongest(torch.tensor([[1.0, 0.0]]), torch.eye(2), torch.zeros(2), 1)
    tensor([[0]])
    """
    step = max(k, (BLOCK if x.device.type == "cpu" else BLOCK_ON_GPU) // len(x))
    found = [_strongest_in(x, weight, bias, k, start, step) for start in range(0, len(weight), step)]
    if len(found) == 1:
        return found[0][1]
    values, rows = (torch.cat(each, 1) for each in zip(*found, strict=True))
    return rows.gather(1, values.topk(k, sorted=False).indices)


def _strongest_in(x: Tensor, weight: Tensor, bias: Tensor, k: int, start: int, step: int) -> tuple[Tensor, Tensor]:
    part = slice(start, start + step)
    scores = F.linear(x, weight[part], bias[part])
    values, positions = largest(scores, min(k, scores.shape[1]))
    return values, positions + start


class Activation(nn.Module, ABC):
    """What of a layer's responses becomes its code: chosen among the `slots` strongest of each datum."""

    slots: int

    @abstractmethod
    def handicap(self) -> Tensor | None:
        """What is taken off each unit's response (width,) before the strongest are chosen; None for nothing."""

    @abstractmethod
    def forward(self, response: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """From the strongest responses (B, slots) and their units to their code values (B, slots), most of which may
        be 0, and how many units each datum uses (B,)."""


@final
class TopK(Activation):
    """The k largest responses as they are, all others 0. The gradient goes through the kept alone.

    Alireza Makhzani and Brendan Frey, "k-sparse autoencoders", 2013.

    >>> TopK(2)(torch.tensor([[0.3, 0.2]]), torch.tensor([[7, 1]]))
    (tensor([[0.3000, 0.2000]]), tensor([2.]))
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.slots = k

    def handicap(self) -> Tensor | None:
        return None

    def forward(self, response: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return response, used(response)


@final
class BatchTopK(Activation):
    """The k·B largest positive responses of a batch of B, so that a hard datum may use more units than an easy one.

    In evaluation a datum must not depend on those beside it: there a response is kept if it exceeds the running mean
    of the least kept in training. No datum uses more than `slots` units.

    Bart Bussmann, Patrick Leask and Neel Nanda, "BatchTopK sparse autoencoders", 2024.

    >>> BatchTopK(1, slots=2)(torch.tensor([[3.0, 2.0], [1.0, 0.5]]), torch.tensor([[0, 1], [0, 1]]))
    (tensor([[3., 2.],
            [0., 0.]]), tensor([2., 0.]))
    """

    least: Tensor
    batches: Tensor

    def __init__(self, k: int, slots: int) -> None:
        super().__init__()
        self.k, self.slots = k, slots
        self.register_buffer("least", torch.zeros(()))
        self.register_buffer("batches", torch.zeros(()))

    def handicap(self) -> Tensor | None:
        return None

    def forward(self, response: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        least = self._least(response.detach()) if self.training else self.least
        value = torch.where((response >= least) & (response > 0), response, 0)
        return value, used(value)

    def _least(self, response: Tensor) -> Tensor:
        """The least response to keep of this batch, which joins the running mean."""
        least = response.flatten().topk(len(response) * self.k, sorted=False).values.amin().relu()
        self.batches.add_(1)
        self.least.lerp_(least, (1 / self.batches).clamp_min(FORGET))
        return least


@final
class JumpReLU(Activation):
    """h where h > θ, else 0, with a threshold θ > 0 for each unit that is learned.

    The jump has no gradient in θ. That of its mean over the data has the data's density at θ in it, which is estimated
    by a rectangular kernel over the batch: straight through the jump, where h is within half a bandwidth of θ,
    ∂h·1[h > θ]/∂θ = −θ/ε and ∂1[h > θ]/∂θ = −1/ε. Here ε is `BANDWIDTH`·θ, θ = scale·exp(t) with t learned, and the
    scale is that at which the first batch uses k units a datum: so the scale of the data does not matter. No datum
    uses more than `slots` units.

    Senthooran Rajamanoharan et al., "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse
    autoencoders", 2024.
    """

    scale: Tensor

    def __init__(self, width: int, k: int, slots: int) -> None:
        super().__init__()
        self.k, self.slots = k, slots
        self.log_threshold = nn.Parameter(torch.zeros(width))
        self.register_buffer("scale", torch.zeros(()))

    def handicap(self) -> Tensor | None:
        return self.scale * self.log_threshold.detach().exp()

    def forward(self, response: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            self.scale.copy_(torch.where(self.scale > 0, self.scale, self._first_scale(response.detach())))
        threshold = self.scale * F.embedding(index, self.log_threshold.unsqueeze(-1)).squeeze(-1).exp()
        above = _Step.apply(response.detach(), threshold)
        value = response * above.detach() + threshold.detach() * (above - above.detach())
        return value, above.sum(-1)

    def _first_scale(self, response: Tensor) -> Tensor:
        return response.topk(self.k, sorted=False).values.amin(-1).mean().clamp_min(torch.finfo(response.dtype).tiny)


class _Step(torch.autograd.Function):
    """1[h > θ]; the gradient in θ straight through, that in h none."""

    @staticmethod
    def forward(ctx: Any, response: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(response, threshold)
        return (response > threshold).to(response.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        response, threshold = ctx.saved_tensors
        width = BANDWIDTH * threshold
        near = (response - threshold).abs() < width / 2
        return None, torch.where(near, -grads[0] / width, 0)


def activation(name: ActivationName, k: int, width: int) -> Activation:
    """The activation by name, for k units of `width` a datum.

    >>> activation("batch-topk", 8, 100).slots
    32
    """
    if k > width:
        raise InputError(f"k is {k}, more units than the {width} of latent; lower k or raise latent")
    slots = min(SLOTS * k, width)
    if name == "topk":
        return TopK(k)
    return BatchTopK(k, slots) if name == "batch-topk" else JumpReLU(width, k, slots)


def used(value: Tensor) -> Tensor:
    """How many entries of each row are not zero."""
    return (value != 0).sum(-1).to(value.dtype)
