"""A dictionary's two sides: which of many units a datum calls for, and the sum of what they stand for.

Codes of k units out of `width` are kept as values and unit numbers, (..., k) each. Nothing here is of the size of a
dense code (B, width) but the responses from which the largest are chosen, and those a block at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.nets.leading import require_event
from lowerbound.nets.topk import Activation, largest, strongest

POOL = 1024
"""Dead units that are looked at in a step; the next step draws others."""

NEVER = 1 << 62


@final
class SparseEncoder(nn.Module):
    """x `(B, *x_shape)` to a code: the units that `activation` keeps of W x + b, by value and number.

    In training it also counts for how many data each unit has been of no use, and names for each datum the dead units
    that respond most to it, for an objective that revives them: those that were not used for `dead_after` data. The
    counts stay on the device; of several processes, the first one's share of the data is counted.

    >>> from lowerbound.nets.topk import TopK
    >>> code, spare, used = SparseEncoder((8, 8), 100, TopK(3), dead_after=1000)(torch.rand(5, 8, 8))
    >>> code["value"].shape, code["index"].shape, used
    (torch.Size([5, 3]), torch.Size([5, 3]), tensor([3., 3., 3., 3., 3.]))
    """

    idle: Tensor

    def __init__(self, x_shape: Sequence[int], width: int, activation: Activation, dead_after: int) -> None:
        super().__init__()
        self.x_shape, self.activation, self.dead_after = tuple(x_shape), activation, dead_after
        self.weight = nn.Parameter(unit_rows(width, math.prod(x_shape)))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("idle", torch.zeros(width, dtype=torch.int64))

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor] | None, Tensor]:
        """The code, the dead units' responses beside it (None outside of training), and the units used (B,)."""
        require_event(x, self.x_shape)
        flat = x.reshape(len(x), -1)
        index = self._chosen(flat)
        rows = torch.cat([index, self._dead(flat)], 1) if self.training else index
        response = respond(flat, self.weight, self.bias, rows)
        value, used = self.activation(response[:, : index.shape[1]], index)
        if not self.training:
            return {"value": value, "index": index}, None, used
        dead, rest = rows[:, index.shape[1] :], response[:, index.shape[1] :]
        spare = {"value": torch.where(self._is_dead(dead), rest.relu(), 0), "index": dead}
        self._count(value.detach(), index)
        return {"value": value, "index": index}, spare, used

    @torch.no_grad()
    def look_for(self, dictionary: Dictionary) -> None:
        """Start each unit at the direction it stands for, where x and what comes out have the same size."""
        if dictionary.weight.shape == self.weight.shape:
            self.weight.copy_(dictionary.weight)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Have a datum equal to the mean get no response, so that it needs no unit to say what is always so."""
        self.bias.copy_(-F.linear(mean.flatten(), self.weight))

    def _chosen(self, x: Tensor) -> Tensor:
        handicap = self.activation.handicap()
        bias = self.bias if handicap is None else self.bias - handicap
        return strongest(x, self.weight, bias, self.activation.slots)

    @torch.no_grad()
    def _dead(self, x: Tensor) -> Tensor:
        """As many dead units as a code has slots, those of a random pool that respond most; living ones if too few."""
        chance = torch.rand(len(self.idle), device=x.device).masked_fill(self.idle < self.dead_after, -1)
        pool = chance.topk(min(max(POOL, self.activation.slots), len(chance)), sorted=False).indices
        scores = F.linear(x, self.weight[pool], self.bias[pool]).masked_fill(~self._is_dead(pool), -torch.inf)
        return pool[largest(scores, self.activation.slots)[1]]

    def _is_dead(self, index: Tensor) -> Tensor:
        return self.idle[index] >= self.dead_after

    def _count(self, value: Tensor, index: Tensor) -> None:
        self.idle.add_(len(value))
        self.idle.scatter_reduce_(0, index.flatten(), torch.where(value != 0, 0, NEVER).flatten(), "amin")


@final
class Dictionary(nn.Module):
    """A code to the sum of what its units stand for, Σ z_i d_i + b, with directions d_i of unit norm.

    The norm is one by construction: d_i = w_i / ‖w_i‖, of which only the rows that a code uses are computed.
    A code is {"value", "index"}, each (..., k), or dense (..., width); what comes out is (..., *shape).

    >>> net = Dictionary(100, (8, 8))
    >>> net({"value": torch.ones(5, 3), "index": torch.tensor([4, 9, 11]).expand(5, 3)}).shape
    torch.Size([5, 8, 8])
    """

    def __init__(self, width: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(unit_rows(width, math.prod(shape)))
        self.bias = nn.Parameter(torch.zeros(tuple(shape)))

    def forward(self, z: Tensor | Mapping[str, Tensor], c: Tensor | None = None) -> Tensor:
        """Sparse or dense codes to `(..., *shape)`."""
        flat = F.linear(z, F.normalize(self.weight).T) if isinstance(z, Tensor) else self._sum(z["value"], z["index"])
        return flat.unflatten(-1, self.bias.shape) + self.bias

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the bias so that an empty code gives `out`, of the shape of one output."""
        self.bias.copy_(out)

    def _sum(self, value: Tensor, index: Tensor) -> Tensor:
        lead, k = value.shape[:-1], value.shape[-1]
        return combine(self.weight, value.reshape(-1, k), index.reshape(-1, k)).unflatten(0, lead or (1,))


def unit_rows(width: int, size: int) -> Tensor:
    """Random directions, (width, size)."""
    return F.normalize(torch.randn(width, size))


def respond(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> Tensor:
    """(W x + b) of the rows index (B, k) alone; the gradient of W is computed for these rows alone.

    >>> respond(torch.tensor([[1.0, 2.0]]), torch.eye(2), torch.zeros(2), torch.tensor([[1]]))
    tensor([[2.]])
    """
    products: Tensor = _Respond.apply(x, weight, index)
    return products + F.embedding(index, bias.unsqueeze(-1)).squeeze(-1)


def combine(weight: Tensor, value: Tensor, index: Tensor) -> Tensor:
    """Σ_j value_j w_j / ‖w_j‖ over the rows index (B, k), (B, D); likewise.

    >>> combine(2 * torch.eye(2), torch.tensor([[3.0]]), torch.tensor([[1]]))
    tensor([[0., 3.]])
    """
    total: Tensor = _Combine.apply(weight, value, index)
    return total


class _Respond(torch.autograd.Function):
    """Products of each x with its own rows of a matrix, by parts that stay in the cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, index)
        rows = ((part, F.embedding(index[part], weight)) for part in parts(index, weight))
        return torch.cat([own.mul_(x[part].unsqueeze(1)).sum(-1) for part, own in rows])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight, index = ctx.saved_tensors
        (g,) = grads
        of_x = F.embedding_bag(index, weight, per_sample_weights=g, mode="sum") if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight)
        for part in parts(index, weight):
            add_rows(of_weight, index[part], g[part].unsqueeze(-1) * x[part].unsqueeze(1))
        return of_x, of_weight, None


class _Combine(torch.autograd.Function):
    """Weighted sums of normalised rows of a matrix: with u = w/‖w‖ and g the gradient of a sum,
    ∂/∂value = u·g and ∂/∂w = value (g − u (u·g)) / ‖w‖."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, value: Tensor, index: Tensor) -> Tensor:
        norm = norms(weight, index)
        ctx.save_for_backward(weight, value, index, norm)
        return F.embedding_bag(index, weight, per_sample_weights=value / norm, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, value, index, norm = ctx.saved_tensors
        g, of_weight, of_value = grads[0], torch.zeros_like(weight), []
        for part in parts(index, weight):
            rows, share = F.embedding(index[part], weight), value[part] / norm[part]
            along = torch.bmm(rows, g[part].unsqueeze(-1)).squeeze(-1) / norm[part]
            rows.mul_((-share * along / norm[part]).unsqueeze(-1)).baddbmm_(share.unsqueeze(-1), g[part].unsqueeze(1))
            add_rows(of_weight, index[part], rows)
            of_value.append(along)
        return of_weight, torch.cat(of_value), None


def norms(weight: Tensor, index: Tensor) -> Tensor:
    """The norms of the rows index (B, k): of those alone, or of all where that is less work."""
    if index.numel() >= len(weight):
        return torch.linalg.vector_norm(weight, dim=1)[index]
    return torch.cat(
        [torch.linalg.vector_norm(F.embedding(index[part], weight), dim=-1) for part in parts(index, weight)]
    )


def add_rows(target: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add rows (B, k, D) to those of the target that index (B, k) names, in an order that is always the same."""
    if target.device.type == "cpu":
        target.index_add_(0, index.flatten(), rows.flatten(0, 1))
    else:  # index_add_ adds in whatever order threads come
        target.index_put_((index.flatten(),), rows.flatten(0, 1), accumulate=True)


def parts(index: Tensor, weight: Tensor) -> Iterator[slice]:
    """Slices of data whose rows together are few enough to stay in a processor's cache, or a GPU's memory."""
    numbers = 1 << (20 if weight.device.type == "cpu" else 27)
    step = max(1, numbers // (index.shape[1] * weight.shape[1]))
    return (slice(start, start + step) for start in range(0, len(index), step))
