"""Action chunking: padding counts for nothing, shorter chunks are the first steps, and the scale is that of errors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowerbound
from agree import assert_close, refused
from lowerbound.core import AnalyticELBO, Batch, Rate, total
from lowerbound.data.lerobot import Episode, write_episodes
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.fitted import Fitted
from lowerbound.nets.act import ChunkDecoder, ChunkEncoder, Shape
from lowerbound.nets.attention import Attention
from lowerbound.recipes import Setup, get

TOTAL, ACTIONS, STATE = 10, 3, 4
SMALL: dict[str, Any] = {"latent": 2, "width": 8, "heads": 2}
ACTION = Variable("action", "real", (TOTAL, ACTIONS), -9, 9, mean=(1.0, -2.0, 0.0), std=(0.5, 2.0, 1.0), missing=True)
SEEN = Variable("condition", "real", (STATE,), -3, 3, mean=(0.0,) * STATE, std=(1.0,) * STATE)


def built(action: Variable = ACTION, **arguments: Any) -> Setup:
    torch.manual_seed(0)
    spec = DataSpec("toy", (action,), SEEN, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)
    setup = get("act").build(spec, **{**SMALL, **arguments})
    for module in (setup.model, setup.objective):
        module.eval()
    return setup


def padded(lengths: tuple[int, ...], total: int = TOTAL) -> Batch:
    """Chunks of these lengths, as the loader gives them."""
    there = torch.arange(total) < torch.tensor(lengths)[:, None]
    x = torch.where(there[..., None], torch.randn(len(lengths), total, ACTIONS), 0)
    mask = there[..., None].expand(x.shape)
    return Batch({"action": x}, torch.randn(len(lengths), STATE), torch.arange(len(lengths)), {"action": mask})


def terms(setup: Setup, seen: Batch) -> dict[str, Tensor]:
    torch.manual_seed(1)
    found: dict[str, Tensor] = setup.objective(setup.model.trace(seen, 1, setup.estimator))
    return found


def by_hand(setup: Setup, x: Tensor, c: Tensor, noise: Tensor, kl_weight: float) -> Tensor:
    """The loss of one chunk that has no padding: its own steps through q, the same steps of what is said of them."""
    encoder, likelihood = setup.model.posterior.net, setup.model.likelihood["action"]
    mean, log_variance = encoder(x[None], c[None]).unbind(-1)
    z = mean + (log_variance / 2).exp() * noise
    said = likelihood.net(z, c[None])[0, : len(x)]
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return (x - said).abs().mean() + math.log(2) + kl_weight * kl


@pytest.mark.usefixtures("double")
def test_padding_law() -> None:
    """A padded batch costs what its chunks cost one by one without padding: each its mean absolute error, and KL."""
    setup, lengths = built(kl_weight=3.0), (10, 7, 1, 4)
    seen = setup.see(padded(lengths))
    found = sum(terms(setup, seen).values())
    torch.manual_seed(1)
    noise = setup.estimator.draw(setup.model.infer(seen), 1)[0]
    q = setup.model.infer(seen)
    noise = (noise - q.mean) / q.stddev
    each = [by_hand(setup, seen.x["action"][i, :n], seen.c[i], noise[i], 3.0) for i, n in enumerate(lengths)]
    assert_close(found, torch.stack(each), within=1e-9)
    assert_close(total(terms(setup, seen)), torch.stack(each).mean(), within=1e-9)


def test_padding_law_in_single_precision() -> None:
    setup, lengths = built(), (10, 3, 8)
    seen = setup.see(padded(lengths))
    q = setup.model.infer(seen)
    torch.manual_seed(1)
    noise = (setup.estimator.draw(q, 1)[0] - q.mean) / q.stddev
    each = [by_hand(setup, seen.x["action"][i, :n], seen.c[i], noise[i], 10.0) for i, n in enumerate(lengths)]
    found = sum(terms(setup, seen).values())
    assert ((found - torch.stack(each)) / found).abs().max() < 1e-6


@pytest.mark.usefixtures("double")
def test_whatever_lies_under_padding_changes_nothing() -> None:
    setup, seen = built(), built().see(padded((10, 6, 2)))
    x = torch.where(seen.mask["action"], seen.x["action"], math.nan)
    for name, value in terms(setup, replace(seen, x={"action": x})).items():
        assert_close(value, terms(setup, seen)[name])


@pytest.mark.usefixtures("double")
def test_what_is_minimised_is_a_bound_of_another_beta() -> None:
    """n times a datum's terms is the negative ELBO whose rate counts kl_weight · n times."""
    setup = built(kl_weight=0.5)
    seen = setup.see(padded((10, 4)))
    torch.manual_seed(1)
    trace = setup.model.trace(seen, 1, setup.estimator)
    elbo, rate = sum(AnalyticELBO()(trace).values()), Rate()(trace)["rate"]
    n = torch.tensor([30.0, 12.0])
    assert_close(n * sum(terms(setup, seen).values()), elbo + (0.5 * n - 1) * rate, within=1e-9)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("chunk", [1, 4])
def test_a_shorter_chunk_is_the_first_steps(chunk: int) -> None:
    """Terms, log w, codes and volumes are those of a model of data that never had more steps."""
    short = replace(ACTION, shape=(chunk, ACTIONS))
    whole, other = built(chunk=chunk), built(short)
    other.model.load_state_dict({name.replace(".part.", "."): v for name, v in whole.model.state_dict().items()})
    raw = padded((10, 3, 1))
    cut = replace(raw, x={"action": raw.x["action"][:, :chunk]}, mask={"action": raw.mask["action"][:, :chunk]})
    for name, value in terms(other, other.see(cut)).items():
        assert_close(value, terms(whole, whole.see(raw))[name])
    assert_close(whole.volumes(whole.see(raw)), other.volumes(other.see(cut)), within=1e-6)
    assert whole.log_volume == pytest.approx(other.log_volume)
    torch.manual_seed(2)
    log_w = whole.model.trace(whole.see(raw), 3).log_w
    torch.manual_seed(2)
    assert_close(log_w, other.model.trace(other.see(cut), 3).log_w)
    mean = whole.model.decode(torch.zeros(3, 2), raw.c)["action"].mean
    assert mean.shape == (3, TOTAL, ACTIONS)
    assert (mean[:, chunk:] == 0).all()


@pytest.mark.usefixtures("double")
def test_without_z_there_is_nothing_to_encode() -> None:
    setup = built(latent=0)
    seen = setup.see(padded((10, 5)))
    trace = setup.model.trace(seen, 3)
    assert trace.z.shape == (3, 2, 0)
    assert (trace.log_p == trace.log_q).all()
    assert set(terms(setup, seen)) == {"distortion_per_value"}
    assert not any("posterior" in name for name, _ in setup.model.named_parameters())


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("layers", [1, 3])
def test_the_last_block_reads_for_one_token_what_it_would_for_all(layers: int) -> None:
    net = ChunkEncoder(6, 3, 4, 5, Shape(8, 2, layers)).eval()
    x, c = torch.randn(2, 6, 3), torch.randn(2, 4)
    h = torch.cat([net.own.expand(2, 1, -1), net.tell(c).unsqueeze(1), net.embed(x) + net.places], 1)
    for block in net.blocks:
        h = block(h, h)
    assert_close(net(x, c), net.out(net.norm(h[:, 0])))


@pytest.mark.usefixtures("double")
def test_attention_is_torchs_own() -> None:
    """With the same weights the layer adds what `nn.MultiheadAttention` finds in the normalised inputs."""
    ours, theirs = Attention(8, 2).eval(), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x, seen, there = torch.randn(3, 5, 8), torch.randn(3, 7, 8), torch.arange(7) < torch.tensor([[7], [2], [5]])
    told = ours.norm(seen)
    found, _ = theirs(ours.norm(x), told, told, key_padding_mask=~there)
    assert_close(ours(x, seen, there), x + found)


@pytest.mark.usefixtures("double")
def test_the_decoder_asks_the_same_of_all_rows() -> None:
    """What all rows share is worked out once; each row alone is as among others."""
    net = ChunkDecoder(5, 3, 2, 4, Shape(8, 2, 2)).eval()
    z, c = torch.randn(7, 2), torch.randn(7, 4)
    assert_close(net(z, c), torch.stack([net(z[i], c[i]) for i in range(7)]))


def test_what_does_not_fit_is_refused() -> None:
    with refused("width 8 cannot be shared by 3 heads; give a multiple of them"):
        built(heads=3)
    with pytest.raises(lowerbound.errors.InputError, match="has nothing to condition on"):
        get("act").build(DataSpec("toy", (ACTION,), None, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A model of twelve episodes whose first action follows from the state, and whose second does not."""
    draw, folder = np.random.default_rng(0), tmp_path_factory.mktemp("act") / "demos"
    states = [draw.normal(size=(30, 2)).cumsum(0).astype(np.float32) for _ in range(12)]
    noise = [draw.normal(size=(30, 1)).astype(np.float32) for _ in range(12)]
    episodes = [Episode(s, np.concatenate([s[:, :1], e], 1), "go") for s, e in zip(states, noise)]
    write_episodes(folder, episodes, fps=10, robot="toy")
    small = {**SMALL, "width": 16, "chunk": 2, "dropout": 0.0, "lr": 6e-3, "batch_size": 16, "kl_weight": 0.01}
    return lowerbound.train("act", folder, epochs=12, **small)


def test_the_scale_is_that_of_the_errors(fitted: Fitted) -> None:
    """b is the mean absolute error at draws of q, and no other b gives the training rows a better likelihood."""
    rows = fitted.rows(split="train")
    with torch.no_grad():
        seen = fitted.setup.steady(rows.resident("cpu").batch(torch.arange(rows.count)))
        torch.manual_seed(0)
        px = fitted.setup.model.trace(seen, 1).px["action"]
        counted = seen.mask["action"] & (torch.arange(100) < 2)[:, None]
        errors = (px.mean[0] - seen.x["action"]).abs()[counted]
    b = fitted.setup.model.likelihood["action"].part.log_scale.exp()
    assert 0.1 < b < 0.9
    assert abs(errors.mean() / b - 1) < 0.1  # other draws of z


def test_a_trained_policy_follows_the_state(fitted: Fitted) -> None:
    x = fitted.rows(split="test")
    said = fitted.given(x.condition).decode(np.zeros((x.count, 2)))[:, 0]
    done = x.array("action")[:, 0]
    assert np.corrcoef(said[:, 0], done[:, 0])[0, 1] > 0.95
    assert abs(np.corrcoef(said[:, 1], done[:, 1])[0, 1]) < 0.6


def test_figures_are_nats_of_the_steps_that_are_modelled(fitted: Fitted) -> None:
    figures = fitted.evaluate(particles=20)
    assert figures["elbo"]["value"] <= figures["log_p"]["value"] + 3 * figures["elbo"]["stderr"]
    assert abs(figures["log_p"]["value"]) < 4 * 4  # four values, each some nats


def test_a_run_of_demonstrations_is_kept_and_opened(fitted: Fitted, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    opened = lowerbound.load(tmp_path / "run", device="cpu")
    z, c = np.zeros((3, 2)), np.ones((3, 2), np.float32)
    assert np.array_equal(opened.given(c).decode(z), fitted.given(c).decode(z))


@pytest.mark.usefixtures("double")
def test_pixels_reach_the_decoder_and_not_the_encoder() -> None:
    """Every parameter learns; what is seen moves what is said, and q is of the numbers beside the picture."""
    count = STATE + 9 * 8 * 3
    about = Variable("condition", "real", (count,), -3, 3, form=f"picture:{STATE},9x8x3")
    torch.manual_seed(0)
    spec = DataSpec("toy", (ACTION,), about, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)
    setup = get("act").build(spec, **SMALL)
    raw = padded((10, 4))
    one, other = (replace(raw, c=torch.cat([raw.c, torch.rand(2, 216)], 1)) for _ in range(2))
    total(terms(setup, setup.see(one))).backward()
    assert all(p.grad.abs().sum() > 0 for p in setup.model.parameters())
    setup.model.eval()
    a, b = setup.see(one), setup.see(other)
    assert_close(setup.model.infer(a).mean, setup.model.infer(b).mean)
    said = [setup.model.decode(torch.zeros(2, 2), each.c)["action"].mean for each in (a, b)]
    assert (said[0] - said[1]).abs().max() > 1e-3
    alone = setup.model.decode(torch.zeros(2, 2)[:1], a.c[:1])["action"].mean
    assert_close(alone, said[0][:1], within=1e-9)


def test_a_report_takes_chunks_for_no_pictures(fitted: Fitted) -> None:
    from lowerbound.cli.report import drawings

    captions = [caption for caption, _ in drawings(fitted, fitted.rows())]
    assert captions == ["Training, by epoch", "Posterior means of the split"]
