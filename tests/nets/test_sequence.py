"""Networks of sequences: what their convolutions compute, what the encoder is told by, and where the decoder starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from agree import assert_close, refused
from lowerbound.errors import InputError
from lowerbound.nets.sequence import DILATIONS, GatedConvolution, ParallelDecoder, SequenceEncoder, Sizes
from lowerbound.nets.sequence_causal import GRUWriter, TransformerWriter

pytestmark = pytest.mark.usefixtures("double")

SIZES = Sizes(symbols=6, places=7, width=8, layers=4, embedding=4)


@pytest.mark.parametrize("dilation", DILATIONS)
def test_a_gated_convolution_is_torchs(dilation: int) -> None:
    net, x = GatedConvolution(5, dilation), torch.randn(3, 9, 5)
    torchs = nn.Conv1d(5, 10, 3, padding=dilation, dilation=dilation)
    torchs.weight.data.copy_(net.taps.weight.reshape(10, 3, 5).transpose(1, 2))
    torchs.bias.data.copy_(net.taps.bias)
    expected = x + F.glu(torchs(net.norm(x).transpose(1, 2)), 1).transpose(1, 2)
    assert_close(net(x).detach(), expected.detach())


def test_the_encoder_tells_order_and_what_is_missing() -> None:
    net = SequenceEncoder(SIZES, out=3)
    rows = torch.tensor([[1, 2, 3, 4.0], [2, 1, 3, 4.0], [1, 2, -1, 4.0], [1, 2, 0, 4.0]])
    found = net(rows)
    assert torch.pdist(found).min() > 1e-4
    assert_close(net(F.pad(rows, (0, 3), value=-1.0)).detach(), found.detach())
    assert_close(net(rows.reshape(2, 2, 4)).flatten(0, 1).detach(), found.detach())


def test_the_encoder_sees_no_symbol_where_there_is_none() -> None:
    """The gradient of what it gives in the table of symbols is that of the symbols there, and of no other."""
    net = SequenceEncoder(SIZES, out=3)
    net(torch.tensor([[5.0, 2.0, -1.0, -1.0]])).square().sum().backward()
    assert net.symbol.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [2, 5]
    assert net.place.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [0, 1]


@pytest.mark.parametrize("writer", [GRUWriter, TransformerWriter])
def test_the_table_is_of_what_is_read_and_of_what_is_written(writer: type[nn.Module]) -> None:
    net = writer(SIZES, 2)
    tables = [name for name, p in net.named_parameters() if p.shape == (SIZES.symbols, SIZES.embedding)]
    assert tables == ["out.table.weight"]


@pytest.mark.parametrize("lead", [(), (3,), (5, 3)])
def test_the_decoder_takes_any_leading_shape(lead: tuple[int, ...]) -> None:
    net = ParallelDecoder(SIZES, inputs=2, condition=3)
    z, c = torch.randn(*lead, 2), torch.randn(*lead[-1:], 3)
    assert net(z, c).shape == (*lead, 7, 6)
    flat = net(z.reshape(-1, 2), c.expand(*lead, 3).reshape(-1, 3))
    assert_close(net(z, c).reshape(-1, 7, 6).detach(), flat.detach())


def test_a_condition_is_as_wide_as_it_was_built_for() -> None:
    for net, given in (
        (ParallelDecoder(SIZES, 2, 3), torch.zeros(1, 2)),
        (SequenceEncoder(SIZES, 2, 3), torch.zeros(1, 7)),
    ):
        with pytest.raises(InputError, match="built for a condition of 3 numbers and was given 0"):
            net(given)


def test_a_row_longer_than_the_network() -> None:
    sentence = "a row of 8 symbols was given to a network of 7 places; cut it, or train anew"
    with refused(sentence, InputError):
        SequenceEncoder(SIZES, 2)(torch.zeros(1, 8))
    for writer in (GRUWriter, TransformerWriter):
        with refused(sentence, InputError):
            writer(SIZES, 2)(torch.zeros(1, 8, dtype=torch.int64), torch.zeros(1, 2))


def test_dropout_is_of_training_alone() -> None:
    sizes = Sizes(symbols=6, places=7, width=8, layers=2, embedding=4, dropout=0.5)
    x, given = torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 2)
    for net, inputs in (
        (SequenceEncoder(sizes, 2), (x.double(),)),
        (ParallelDecoder(sizes, 2), (given,)),
        (GRUWriter(sizes, 2), (x, given)),
        (TransformerWriter(sizes, 2), (x, given)),
    ):
        assert not torch.equal(net.train()(*inputs), net(*inputs))
        assert torch.equal(net.eval()(*inputs), net(*inputs))
