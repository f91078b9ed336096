"""The autoencoder of latent diffusion is diffusers' own, to rounding; canvases and features are what they say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from agree import assert_close, refused
from lowerbound.nets.canvas import Canvas
from lowerbound.nets.kl_autoencoder import KLDecoder, KLEncoder, LatentDecoder, LatentEncoder, groups_of
from lowerbound.nets.looking import Differences, PatchJudge, RandomFeatures
from lowerbound.nets.velocity import Velocity, waves

WIDTHS = (8, 16, 24)


@pytest.mark.filterwarnings("ignore")
def test_it_is_diffusers_network_weight_for_weight() -> None:
    """The same names and shapes, and from the same weights the same latents and pictures."""
    peer = pytest.importorskip("diffusers").AutoencoderKL(
        block_out_channels=WIDTHS,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=groups_of(WIDTHS),
    )
    inward, outward = KLEncoder(3, 4, WIDTHS, 2, groups_of(WIDTHS)), KLDecoder(4, 3, WIDTHS, 2, groups_of(WIDTHS))
    peer.load_state_dict({**inward.state_dict(), **outward.state_dict()})
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        found = peer.encode(x).latent_dist
        assert_close(inward(x), torch.cat([found.mean, found.logvar], 1), within=1e-5)
        assert_close(outward(found.mean), peer.decode(found.mean).sample, within=1e-5)


@pytest.mark.parametrize("shape", [(5,), (8, 8), (7, 9), (6, 10, 3), (4, 4, 3, 2), ()])
def test_any_shape_lies_on_a_canvas_and_comes_back(shape: tuple[int, ...]) -> None:
    canvas, x = Canvas.of(shape, 2), torch.randn(3, *shape)
    picture = canvas.enter()(x)
    assert picture.shape[2:] == (4 * canvas.grid[0], 4 * canvas.grid[1])
    assert torch.equal(canvas.leave()(picture), x)
    assert picture.square().sum().isclose(x.square().sum())  # what was added is nothing


def test_a_latent_is_laid_out_as_its_channels_say() -> None:
    """(..., h, w, c, 2) holds the means in the first half of diffusers' channels, and log variances in the second."""
    net, x = LatentEncoder((8, 12, 3), 2, (4, 8), 1), torch.randn(2, 5, 8, 12, 3)
    moments = net.body.net[1](x[1].permute(0, 3, 1, 2))
    assert net(x).shape == (2, 5, 4, 6, 2, 2)
    assert_close(net(x)[1, ..., 0], moments[:, :2].permute(0, 2, 3, 1), within=1e-5)
    assert_close(net(x)[1, ..., 1], moments[:, 2:].permute(0, 2, 3, 1), within=1e-5)


def test_a_decoder_starts_where_it_is_told() -> None:
    net = LatentDecoder((8, 8, 3), 2, 2, (4, 8), 1)
    with torch.no_grad():
        net.body.net[1].decoder.conv_out.weight.zero_()
    start = torch.randn(3, 2).expand(8, 8, 3, 2)
    net.start_at(start)
    assert_close(net(torch.randn(5, 4, 4, 2)), start.expand(5, -1, -1, -1, -1), within=1e-6)


def test_what_cannot_be_built_is_refused() -> None:
    with refused("5 groups do not divide all of the widths (8, 16); choose a number that does"):
        LatentEncoder((8, 8), 2, (8, 16), 1, groups=5)
    with refused("the autoencoder needs a positive width for each grid, and was given ()"):
        LatentEncoder((8, 8), 2, (), 1)


def test_differences_are_those_of_neighbours() -> None:
    x = torch.randn(2, 8, 8, 3)
    (finest, *_), picture = Differences((8, 8, 3))(x), x.permute(0, 3, 1, 2)
    assert_close(finest[:, :3, :, 1:], picture[..., 1:] - picture[..., :-1], within=1e-6)
    assert_close(finest[:, 3:, 1:], picture[..., 1:, :] - picture[..., :-1, :], within=1e-6)


def test_maps_of_features_halve_and_a_judge_sees_patches_alone() -> None:
    maps = RandomFeatures((8, 8, 3), (4, 6))(torch.randn(2, 8, 8, 3))
    assert [tuple(each.shape) for each in maps] == [(2, 4, 8, 8), (2, 6, 4, 4)]
    judge, x = PatchJudge((32, 32), (4, 4)), torch.randn(1, 32, 32)
    other = x.clone()
    other[:, 16:] = 0
    moved = (judge(x) - judge(other)).abs()
    assert moved[..., 0, :].max() == 0
    assert moved[..., -1, :].max() > 0


def test_a_patch_costs_what_a_place_costs_and_keeps_the_shape() -> None:
    z, t = torch.randn(2, 8, 8, 3), torch.rand(2)
    assert Velocity((8, 8, 3), (4, 8), 1, patch=2)(z, t).shape == z.shape
    coarse, fine = Velocity((8, 8, 3), (4, 8), 1, patch=4), Velocity((2, 2, 3), (4, 8), 1)
    assert coarse.enter(z).shape == fine.enter(z[:, :2, :2]).shape


def test_times_are_told_apart() -> None:
    t = torch.linspace(0, 1, 1001)
    found = waves(t)
    assert F.pdist(found).min() > 0.01
    assert_close(found.square().sum(1), 32.0, within=1e-3)
