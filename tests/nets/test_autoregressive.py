"""The causal transformer: what a place may know, the same logits one place at a time, and rows apart."""

from __future__ import annotations

import math

import pytest
import torch

from agree import assert_close
from lowerbound.errors import InputError
from lowerbound.nets.autoregressive import CausalTransformer, attended

pytestmark = pytest.mark.usefixtures("double")


def network(places: int = 6, width: int = 64) -> CausalTransformer:
    net = CausalTransformer(5, places, width, 2)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return net


def test_a_place_knows_what_came_before_and_nothing_else() -> None:
    """By the Jacobian of the logits in the embeddings: its zeros are exactly those on and above the diagonal."""
    net = network()
    row = torch.randint(5, (1, 6))
    embedded = net.symbol(row).detach()

    def logits(embedded: torch.Tensor) -> torch.Tensor:
        h = torch.cat([net.start.expand(1, 1, -1), embedded[:, :-1]], 1) + net.place.weight
        for block in net.blocks:
            h = block(h)
        return net.out(h)[0]

    assert_close(logits(embedded), net(row)[0])
    reach = torch.autograd.functional.jacobian(logits, embedded)[:, :, 0].abs().sum((1, 3))
    assert torch.equal(reach > 0, torch.ones(6, 6, dtype=torch.bool).tril(-1))


def test_one_place_at_a_time_gives_the_same_logits() -> None:
    net, rows = network(), torch.randint(5, (4, 6))
    whole, last, kept = net(rows), None, []
    for place in range(6):
        logits, kept = net.next(last, kept, 4)
        assert_close(logits, whole[:, place], within=1e-10)
        last = rows[:, place]
    assert kept[0][0].shape == (4, 2, 6, 32)


def test_attention_is_what_torch_calls_by_that_name() -> None:
    q, k, v = torch.randn(3, 2, 4, 7, 8).unbind()
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)
    torchs = torch.nn.functional.scaled_dot_product_attention
    assert_close(attended(q, k, v), torchs(q, k, v))
    assert_close(attended(q, k, v, later), torchs(q, k, v, is_causal=True))


def test_rows_are_apart_and_leading_dimensions_free() -> None:
    net, rows = network(), torch.randint(5, (2, 3, 6))
    assert_close(net(rows)[1, 2], net(rows[1, 2]), within=1e-10)


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match="choose a multiple of 32"):
        CausalTransformer(5, 6, 100, 1)


def test_it_starts_near_the_uniform() -> None:
    logits = CausalTransformer(512, 8, 64, 2)(torch.randint(512, (4, 8)))
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(512, (32,)))
    assert (nats - math.log(512)).abs() < 0.5
