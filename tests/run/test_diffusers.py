"""Weights go over to diffusers and come back, to rounding where it is installed; what does not fit is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import lowerbound
from agree import refused
from lowerbound.cli.command import run
from lowerbound.core import Batch
from lowerbound.data.dataset import load_data
from lowerbound.recipes import get
from lowerbound.run import diffusers

TINY = ["--hidden", "4", "8", "--latent", "3", "--epochs", "1", "--quiet"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pictures.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "stage"
    assert run(["train", "first-stage", "--data", str(pictures), "--out", str(path), *TINY]) == 0
    return path


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "kl"
    assert run(["export", str(trained), "--out", str(path), "--quiet"]) == 0
    return path


def test_a_run_goes_out_and_comes_back(trained: Path, exported: Path, pictures: Path, tmp_path: Path) -> None:
    """Without diffusers: the same codes and reconstructions, and the most likely width of the likelihood."""
    args = ["import", exported, "--data", pictures, "--out", tmp_path / "back", "--quiet"]
    assert run([str(each) for each in args]) == 0
    x = np.load(pictures)
    before, after = lowerbound.load(trained, "cpu"), lowerbound.load(tmp_path / "back", "cpu")
    assert np.array_equal(before.encode(x), after.encode(x))
    assert np.array_equal(before.reconstruct(x), after.reconstruct(x))
    rows = after.setup.see(Batch({"x": torch.from_numpy(load_data(pictures).split("train").array("x"))}))
    with torch.no_grad():
        errors = (after.setup.model.trace(rows, 50).px["x"].mean - rows.x["x"]).abs().mean()
    assert after.setup.model.likelihood["x"].log_scale.exp().item() == pytest.approx(errors.item(), rel=0.01)
    assert "elbo" in after.evaluate(pictures, particles=2)


@pytest.mark.filterwarnings("ignore")
def test_diffusers_sees_the_same_latents_and_pictures(
    trained: Path, exported: Path, pictures: Path, tmp_path: Path
) -> None:
    kind = pytest.importorskip("diffusers").AutoencoderKL
    peer, ours, x = kind.from_pretrained(exported), lowerbound.load(trained, "cpu"), np.load(pictures)
    with torch.no_grad():
        z = peer.encode(torch.from_numpy(x).float().permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mode()
        seen = (peer.decode(z).sample.permute(0, 2, 3, 1).numpy() + 1) / 2
    codes = z.permute(0, 2, 3, 1).reshape(len(x), -1).numpy()
    assert np.abs(ours.encode(x) - codes).max() < 1e-5
    assert np.abs(ours.decode(codes) / 255 - seen.clip(0, 1)).max() < 1e-5
    assert peer.config.scaling_factor == json.loads((exported / "config.json").read_text())["scaling_factor"]
    peer.save_pretrained(tmp_path / "theirs")
    args = ["import", tmp_path / "theirs", "--data", pictures, "--out", tmp_path / "back", "--quiet"]
    assert run([str(each) for each in args]) == 0
    assert np.array_equal(lowerbound.load(tmp_path / "back", "cpu").encode(x), ours.encode(x))


def test_latents_keep_their_shape_and_say_their_scale(
    trained: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["latents", str(trained), "--out", str(tmp_path / "z.npy"), "--json"]) == 0
    found, z = json.loads(capsys.readouterr().out), np.load(tmp_path / "z.npy")
    assert z.shape == (40, 4, 4, 3)
    assert found["scale"] == pytest.approx(1 / z.std(), rel=1e-4)
    assert found["mean"] == pytest.approx(z.mean(), abs=1e-5)
    ours = lowerbound.load(trained, "cpu")
    assert np.array_equal(z.reshape(40, -1), ours.encode(np.load(pictures)))
    assert np.array_equal(ours.decode(z), ours.decode(z.reshape(40, -1)))
    assert run(["latents", str(trained), "--draw", "--out", str(tmp_path / "draws.npy"), "--quiet"]) == 0
    assert np.load(tmp_path / "draws.npy").std() > 2 * z.std()  # an untrained posterior is about as wide as the prior


def test_a_flow_over_latents_draws_pictures(trained: Path, tmp_path: Path) -> None:
    """Latent diffusion by four verbs."""
    flow = ["--hidden", "4", "--blocks", "1", "--steps", "2", "--epochs", "1", "--quiet"]
    z, drawn = tmp_path / "z.npy", tmp_path / "drawn.npy"
    for words in (
        ["latents", trained, "--out", z, "--quiet"],
        ["train", "flow-matching", "--data", z, "--out", tmp_path / "flow", *flow],
        ["sample", tmp_path / "flow", "--count", 9, "--out", drawn, "--quiet"],
        ["decode", trained, drawn, "--out", tmp_path / "x.npy", "--quiet"],
    ):
        assert run([str(word) for word in words]) == 0
    assert np.load(drawn).shape == (9, 4, 4, 3)
    assert np.load(tmp_path / "x.npy").shape == (9, 8, 8, 3)


def test_attention_of_former_days_is_read(exported: Path, tmp_path: Path) -> None:
    """Before 0.15 its layers had other names, and some files have them as convolutions."""
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, value in load_file(exported / diffusers.WEIGHTS).items():
        new = next((n for n in former if f".attentions.0.{n}." in name), None)
        as_convolution = value[..., None, None] if new == "to_q" and value.dim() == 2 else value
        old[name.replace(f".{new}.", f".{former.get(new, '')}.")] = as_convolution.half()
    save_file(old, tmp_path / diffusers.WEIGHTS)
    (tmp_path / "config.json").write_bytes((exported / "config.json").read_bytes())
    _, found = diffusers.read(tmp_path)
    wanted = load_file(exported / diffusers.WEIGHTS)
    assert {name: value.shape for name, value in found.items()} == {n: v.shape for n, v in wanted.items()}
    assert all((found[name] - wanted[name]).abs().max() < 1e-3 for name in wanted)


def changed(field: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, field: value}))

    return change


def lacking(folder: Path) -> None:
    tensors = load_file(folder / diffusers.WEIGHTS)
    save_file({n: v for n, v in tensors.items() if n != "quant_conv.bias"}, folder / diffusers.WEIGHTS)


def cut(folder: Path) -> None:
    whole = (folder / diffusers.WEIGHTS).read_bytes()
    (folder / diffusers.WEIGHTS).write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (changed("_class_name", "VQModel"), "it does not describe an AutoencoderKL"),
        (changed("act_fn", "relu"), "its act_fn is 'relu', and the network of first-stage has 'silu'"),
        (changed("latent_channels", 0), "its latent_channels must be a whole number of at least 1"),
        (changed("block_out_channels", "8"), "its block_out_channels must be a list"),
        (changed("down_block_types", ["AttnDownEncoderBlock2D"]), "its down_block_types is"),
        (changed("layers_per_block", 10**9), "the config asks for more layers than the"),
        (changed("layers_per_block", 2), "the weights do not fit the config: "),
        (changed("block_out_channels", [4, 1 << 40]), "the config asks for a network that cannot be built"),
        (lacking, "the weights do not fit the config: quant_conv.bias is missing in the file"),
        (cut, "is not a whole safetensors file"),
        (lambda folder: (folder / "config.json").write_text("{"), "is cut short or is not JSON"),
        (lambda folder: (folder / "config.json").unlink(), "it has no file config.json"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], complaint: str, exported: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    spoil(folder)
    with pytest.raises(lowerbound.errors.InputError, match=complaint):
        diffusers.imported(folder, tmp_path / "out", load_data(pictures), None)
    assert not (tmp_path / "out").exists()


def test_what_has_no_such_form_is_refused(pictures: Path, tmp_path: Path) -> None:
    spec = load_data(pictures).spec
    with refused("the model has no autoencoder of diffusers' form; train the recipe first-stage"):
        diffusers.written(get("vae").build(spec, latent=2, hidden=(4,)), tmp_path / "out", 8, 1.0)
    two = get("first-stage").build(spec, hidden=(4, 8), likelihood="discretized-logistic")
    with pytest.raises(lowerbound.errors.InputError, match="the decoder gives 6 numbers for each place of 3"):
        diffusers.written(two, tmp_path / "out", 8, 1.0)
    (tmp_path / "file").touch()
    one = get("first-stage").build(spec, hidden=(4, 8))
    with pytest.raises(lowerbound.errors.InputError, match="is there already; choose another folder"):
        diffusers.written(one, tmp_path, 8, 1.0)
