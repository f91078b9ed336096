"""Steps of a table's rows against torch's Adam on each row by itself; and that a step never touches the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lowerbound.core import ELBO, Batch, Bernoulli, Latent, Table, rows, standard_normal, total
from lowerbound.run.settings import Settings
from lowerbound.training.optimiser import Optimiser

ROWS, DIM = 50, 3


def started() -> tuple[Table, nn.Linear]:
    torch.manual_seed(0)
    table = Table(ROWS, DIM, pace=2.0)
    nn.init.normal_(table.rows.weight)
    return table, nn.Linear(2 * DIM, 4)


def optimiser_of(table: Table, weights: nn.Module, **settings: Any) -> Optimiser:
    return Optimiser([*table.parameters(), *weights.parameters()], Settings(**settings), [table])


def loss_of(read: Tensor, weights: nn.Module, seed: int) -> Tensor:
    noise = torch.randn(len(read), 4, generator=torch.Generator().manual_seed(seed))
    return (weights(read) - noise).square().sum()


def drawn(seed: int) -> Tensor:
    return torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed))[:8]


def taken(steps: int, **settings: Any) -> tuple[Table, nn.Linear, Optimiser]:
    table, weights = started()
    optimiser = optimiser_of(table, weights, **settings)
    for step in range(steps):
        loss_of(table.rows(drawn(step)), weights, step).backward()
        optimiser.step(0.1 / (step + 1))
    return table, weights, optimiser


@pytest.mark.parametrize("clip", [None, 0.5])
def test_each_row_is_stepped_as_a_parameter_by_itself(clip: float | None) -> None:
    """And the weights beside as by torch; a clipped norm is that of all of the gradient, rows and weights."""
    table, weights = started()
    each = [nn.Parameter(row.clone()) for row in table.rows.weight.detach()]
    adams = [torch.optim.Adam([row]) for row in each]
    plain = torch.optim.Adam(weights.parameters())
    for step in range(30):
        index, rate = drawn(step), 0.1 / (step + 1)
        loss_of(torch.stack([each[i] for i in index]), weights, step).backward()
        stepped = [*weights.parameters(), *(each[i] for i in index)]
        if clip is not None:
            nn.utils.clip_grad_norm_(stepped, clip)
        for adam, pace in ((plain, 1.0), *((adams[i], 2.0) for i in index)):
            adam.param_groups[0]["lr"] = pace * rate
            adam.step()
            adam.zero_grad()
    ours, ours_beside, _ = taken(30, clip=clip)
    torch.testing.assert_close(ours.rows.weight, torch.stack(each), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours_beside.weight, weights.weight, rtol=1e-5, atol=1e-5)


def test_a_row_read_twice_is_stepped_once_by_the_sum() -> None:
    found = []
    for index in ([7, 3, 7], [3, 7]):
        table, weights = started()
        optimiser = optimiser_of(table, weights)
        read = table.rows(torch.tensor(index))
        (read.sum() + (0.0 if len(index) == 3 else read[1].sum())).backward()
        norm = optimiser.step(0.1)[1]
        found.append((norm, table.rows.weight.clone(), *optimiser.state().values()))
    for twice, summed in zip(*found):
        torch.testing.assert_close(twice, summed)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["table", "weights"])
@pytest.mark.parametrize("earlier", [0, 2])
def test_a_gradient_that_is_not_finite_changes_nothing(poison: float, place: str, earlier: int) -> None:
    table, weights, optimiser = taken(earlier, clip=1.0)
    before = [v.clone() for v in (table.rows.weight, weights.weight, *optimiser.tables[0].state().values())]
    loss_of(table.rows(drawn(9)), weights, 9).backward()
    gradient = table.rows.weight.grad._values() if place == "table" else weights.weight.grad
    gradient[0, 0] = poison
    finite, _ = optimiser.step(0.1)
    assert not finite
    after = [table.rows.weight, weights.weight, *optimiser.tables[0].state().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_going_on_from_a_state_gives_the_same_bits() -> None:
    whole, _, _ = taken(6)
    table, weights, optimiser = taken(3)
    twin, beside = started()
    twin.load_state_dict(table.state_dict())
    beside.load_state_dict(weights.state_dict())
    other = optimiser_of(twin, beside)
    other.load({name: value.clone() for name, value in optimiser.state().items()})
    for step in range(3, 6):
        loss_of(twin.rows(drawn(step)), beside, step).backward()
        other.step(0.1 / (step + 1))
    assert torch.equal(twin.rows.weight, whole.rows.weight)


class Largest(TorchDispatchMode):
    """The most bytes that any operation makes anew; one that writes in place makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        made = function(*given, **(named or {}))
        held = {each.untyped_storage().data_ptr() for each in tree_leaves(given) if is_dense(each)}
        for each in tree_leaves(made):
            if is_dense(each) and each.untyped_storage().data_ptr() not in held:
                self.bytes = max(self.bytes, each.untyped_storage().nbytes())
        return made


def is_dense(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_sparse


def step_of(count: int) -> int:
    """The largest tensor made in a step with a table of so many rows, in bytes."""
    torch.manual_seed(0)
    model = Latent(standard_normal(4), Table(count, 4), Bernoulli(nn.Linear(4, 6)), rows)
    optimiser = Optimiser(model.parameters(), Settings(clip=1.0), [model.posterior])
    with Largest() as largest:
        for index in (torch.arange(10), torch.arange(5, 15)):
            batch = Batch({"x": torch.ones(10, 6)}, index=index)
            total(ELBO()(model.trace(batch))).backward()
            optimiser.step(0.1)
    return largest.bytes


def test_no_operation_of_a_step_is_of_the_size_of_the_table() -> None:
    assert step_of(100) == step_of(10_000) < 10_000
