"""Sparse codes and their sums: the largest, their gradients against autograd on dense ones, and what dies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional as F

from agree import assert_close
from lowerbound.nets import dictionary, topk
from lowerbound.nets.dictionary import Dictionary, SparseEncoder, combine, respond
from lowerbound.nets.topk import BatchTopK, JumpReLU, TopK, largest, strongest, used

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 7), (100, 1), (1000, 3), (1003, 40), (16_384, 32)])
def test_the_largest_are_the_largest(n: int, k: int) -> None:
    scores = torch.randn(5, n)
    values, positions = largest(scores, k)
    assert_close(values.sort().values, scores.topk(k).values.sort().values)
    assert torch.equal(scores.gather(1, positions), values)
    assert all(len(row.unique()) == k for row in positions)


def test_equal_scores_are_taken_once() -> None:
    _, positions = largest(torch.zeros(2, 1000), 5)
    assert all(len(row.unique()) == 5 for row in positions)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_the_strongest_are_the_same_however_many_are_computed_at_once(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weight, bias = torch.randn(4, 6), torch.randn(90, 6), torch.randn(90)
    monkeypatch.setattr(topk, "BLOCK", block)
    assert torch.equal(
        strongest(x, weight, bias, 5).sort().values, F.linear(x, weight, bias).topk(5).indices.sort().values
    )


INDEX = torch.tensor([[0, 3, 6], [6, 3, 2], [1, 1, 6], [5, 2, 0]])


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
def test_sparse_gradients_are_those_of_finite_differences(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dictionary,
        "parts",
        lambda index, weight: (slice(s, s + rows_at_once) for s in range(0, len(index), rows_at_once)),
    )
    x, weight, bias = leaf(4, 5), leaf(7, 5), leaf(7)
    assert gradcheck(lambda x, w, b: respond(x, w, b, INDEX), (x, weight, bias))
    assert gradcheck(lambda w, v: combine(w, v, INDEX), (weight, leaf(4, 3)))


@pytest.mark.parametrize("width", [7, 1000])
def test_a_sparse_code_is_decoded_as_its_dense_form(width: int) -> None:
    """Both ways of finding the norms: of all rows, and of the used."""
    net, value = Dictionary(width, (2, 3)), leaf(5, 4, 3)
    index = torch.stack([torch.randperm(width)[:3] for _ in range(20)]).reshape(5, 4, 3)
    sparse = net({"value": value, "index": index})
    full = net(torch.zeros(5, 4, width).scatter(-1, index, value))
    assert sparse.shape == (5, 4, 2, 3)
    assert_close(sparse, full)
    ours, theirs = (torch.autograd.grad(out.square().sum(), [net.weight, net.bias, value]) for out in (sparse, full))
    for one, other in zip(ours, theirs):
        assert_close(one, other)


def test_directions_have_unit_norm_whatever_the_weights() -> None:
    net = Dictionary(4, (3,))
    net.weight.data.mul_(torch.tensor([[1e-3], [1.0], [7.0], [1e3]]))
    alone = net({"value": torch.ones(4, 1), "index": torch.arange(4)[:, None]}) - net.bias
    assert_close(alone.norm(dim=-1), torch.ones(4))


def test_exactly_k_are_kept_and_they_alone_learn() -> None:
    encoder = SparseEncoder((4,), 50, TopK(3), dead_after=100).eval()
    code, spare, count = encoder(torch.randn(6, 4))
    assert spare is None
    assert torch.equal(count, torch.full((6,), 3.0))
    code["value"].sum().backward()
    touched = encoder.weight.grad.abs().sum(1).nonzero().flatten()
    assert torch.equal(touched, code["index"].unique())
    assert torch.equal(encoder.bias.grad, torch.bincount(code["index"].flatten(), minlength=50).double())


def test_batch_topk_keeps_k_a_datum_on_average() -> None:
    kept = BatchTopK(4, slots=16)
    response = torch.randn(30, 16) * torch.rand(30, 1)
    value, count = kept(response, torch.arange(16).expand(30, -1))
    assert_close(value.flatten().sort().values[-120:], response.flatten().topk(120).values.sort().values)
    assert count.sum() == 120
    assert count.std() > 1


def test_batch_topk_in_evaluation_looks_at_one_datum() -> None:
    kept, index = BatchTopK(4, slots=16), torch.arange(16).expand(30, -1)
    for _ in range(50):
        kept(torch.rand(30, 16), index)
    response = torch.rand(30, 16)
    value, _ = kept.eval()(response, index)
    assert kept.least.item() == pytest.approx(1 - 4 / 16, abs=0.01)
    assert_close(value, torch.where(response >= kept.least, response, 0))
    assert torch.equal(kept(response[:1], index[:1])[0], value[:1])


def test_jump_relu_starts_at_k_and_passes_what_exceeds_its_threshold() -> None:
    jump, index = JumpReLU(10, k=2, slots=10), torch.arange(10).expand(500, -1)
    response = torch.rand(500, 10)
    value, count = jump(response, index)
    assert count.mean().item() == pytest.approx(2, abs=0.3)
    assert_close(value, torch.where(response > jump.scale, response, 0))
    before = jump.scale.clone()
    jump(10 * response, index)
    assert jump.scale == before


def test_a_threshold_learns_the_slope_of_the_mean() -> None:
    """For h uniform on [0, 1]: E 1[h > θ] = 1 − θ and E h·1[h > θ] = (1 − θ²)/2, with slopes −1 and −θ."""
    jump, index = JumpReLU(1, k=1, slots=1), torch.zeros(400_000, 1, dtype=torch.int64)
    jump.scale.fill_(1.0)
    theta = 0.6
    jump.log_threshold.data.fill_(torch.tensor(theta).log())
    value, count = jump(torch.rand(400_000, 1), index)
    for mean, slope in ((count.mean(), -1.0), (value.mean(), -theta)):
        (found,) = torch.autograd.grad(mean, jump.log_threshold, retain_graph=True)
        assert found.item() / theta == pytest.approx(slope, rel=0.03)


def test_responses_learn_only_through_what_is_kept() -> None:
    jump, index = JumpReLU(4, k=2, slots=4), torch.arange(4)[None]
    jump.scale.fill_(1.0)
    response = torch.tensor([[2.0, 1.001, 0.999, -1.0]], requires_grad=True)
    value, _ = jump(response, index)
    (found,) = torch.autograd.grad(value.sum(), response)
    assert found.tolist() == [[1.0, 1.0, 0.0, 0.0]]


def test_dead_units_are_those_not_used_for_so_many_data() -> None:
    encoder = SparseEncoder((2,), 4, TopK(1), dead_after=6)
    encoder.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.1, 0.1]])
    one, other = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[0.0, 1.0]] * 3)
    for x in (one, other, one):
        encoder(x)
    assert encoder.idle.tolist() == [0, 3, 9, 9]
    _, spare, _ = encoder(one)
    assert set(spare["index"].flatten().tolist()) == {2}
    assert (spare["value"] == 0.5).all()
    for x in (other, other):
        _, spare, _ = encoder(x)
    assert (encoder.eval().idle == torch.tensor([6, 0, 18, 18])).all()


def test_none_are_revived_where_none_is_dead() -> None:
    encoder = SparseEncoder((2,), 4, TopK(2), dead_after=6)
    _, spare, _ = encoder(torch.randn(5, 2))
    assert (spare["value"] == 0).all()


def test_used_counts_what_is_not_zero() -> None:
    assert used(torch.tensor([[0.0, -1.0, 2.0], [0.0, 0.0, 0.0]])).tolist() == [2.0, 0.0]


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)
