"""Weights of a first stage in the form of diffusers' `AutoencoderKL`: a folder with config.json and a safetensors file.

Neither way needs diffusers to be installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from lowerbound.arguments import Count, conformed
from lowerbound.data.dataset import Dataset
from lowerbound.data.reading import Reading
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.files import write_json
from lowerbound.nets.kl_autoencoder import KLDecoder, KLEncoder, ResnetBlock
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.recipes import registry
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import Run, modules_of
from lowerbound.run.settings import Settings
from lowerbound.run.tensors import load_tensors, outline_of, save_tensors

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
CLASS, VERSION = "AutoencoderKL", "0.36.0"
"""What the folder says it holds, and the version of diffusers whose names of parameters are written."""

LARGEST_CONFIG = 1 << 16
"""Bytes; a config.json is about a thousand."""

ROWS_LOOKED_AT = 1024
"""Training rows by which the likelihood of an imported network is fitted."""

DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
FIXED = {"act_fn": "silu", "use_quant_conv": True, "use_post_quant_conv": True, "mid_block_add_attention": True}
"""What the network has no choice in, and a config may leave out."""

FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What the layers of the attention were called before diffusers 0.15."""


@final
@dataclass(frozen=True)
class Layout:
    """What a config.json says of the network, as far as there is a choice.

    widths: channels of each grid. scale: what diffusion multiplies latents by, 1 over their standard deviation.
    """

    channels: int
    latent: int
    widths: tuple[int, ...]
    blocks: int
    groups: int
    side: int
    scale: float
    out: int

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the recipe first-stage that make this network."""
        return {"latent": self.latent, "hidden": self.widths, "blocks": self.blocks, "groups": self.groups}

    def to_json(self) -> dict[str, Any]:
        """The config, as diffusers writes it."""
        return {
            "_class_name": CLASS,
            "_diffusers_version": VERSION,
            **{name: getattr(self, field) for name, (field, _, _) in _FIELDS.items()},
            "block_out_channels": list(self.widths),
            "down_block_types": [DOWN] * len(self.widths),
            "up_block_types": [UP] * len(self.widths),
            **FIXED,
        }

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Read a config; one of another class or of layers that the network lacks is refused with an `InputError`."""
        if not isinstance(content, dict) or content.get("_class_name") != CLASS:
            raise InputError(f"it does not describe an {CLASS}")
        found = {
            field: conformed(f"its {name}", content.get(name, usual), hint)
            for name, (field, hint, usual) in _FIELDS.items()
        }
        wanted = {**FIXED, "down_block_types": [DOWN] * len(found["widths"])}
        wanted["up_block_types"] = [UP] * len(found["widths"])
        for name, value in wanted.items():
            if content.get(name, value) != value:
                raise InputError(f"its {name} is {content[name]!r}, and the network of first-stage has {value!r}")
        return cls(**found)


_FIELDS: dict[str, tuple[str, Any, Any]] = {
    "in_channels": ("channels", Count, 3),
    "out_channels": ("out", Count, 3),
    "latent_channels": ("latent", Count, 4),
    "block_out_channels": ("widths", tuple[Count, ...], [64]),
    "layers_per_block": ("blocks", Count, 1),
    "norm_num_groups": ("groups", Count, 32),
    "sample_size": ("side", Count, 32),
    "scaling_factor": ("scale", float, 0.18215),
}
"""Name in a config -> name in a `Layout`, its type, and what diffusers takes where it is not said."""


def written(setup: Setup, folder: Path, side: int, scale: float) -> Layout:
    """Write a first stage's weights into a new folder that `diffusers.AutoencoderKL.from_pretrained` reads.

    side: of the pictures, kept as "sample_size". scale: what latents are to be multiplied by, kept as "scaling_factor".
    Pictures go in and come out on [−1, 1], channels first.

    Raises:
        InputError: a model of another kind, or one whose decoder gives more than one number a value.
    """
    inward, outward = halves(setup.model)
    layout = layout_of(inward, outward, side, scale)
    if layout.out != layout.channels:
        raise InputError(
            f"the decoder gives {layout.out} numbers for each place of {layout.channels}, and diffusers' one for each; "
            "train with the likelihood laplace-learned, gaussian-learned or mse"
        )
    require_vacant(folder)
    save_tensors(folder / WEIGHTS, weights_of(setup.model))
    write_json(folder / CONFIG, layout.to_json())
    return layout


def require_vacant(folder: Path) -> None:
    """Refuse a folder that there is something in."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; choose another folder")


def imported(folder: Path, out: Path, data: Dataset, reading: Reading | None) -> Run:
    """Make a run of the recipe first-stage, for these data, of a folder that diffusers or `written` left.

    diffusers has no likelihood: the price b of absolute errors is measured on training rows, as after a training.

    Raises:
        InputError: a folder that cannot be read, or data that are no pictures of as many channels.
    """
    layout, tensors = read(folder)
    recipe, arguments = registry.get("first-stage"), {**layout.arguments, "likelihood": "laplace-learned"}
    _require_same(outline_of(tensors), _needed(layout, data.spec, arguments, most=len(tensors)))
    run = Run.create(out, recipe.name, arguments, data.spec, Settings(), reading)
    setup = run.draw()
    for half in halves(setup.model):
        half.load_state_dict({name: tensors[name] for name in half.state_dict()})
    _settle(setup, data)
    run.finish(modules_of(setup).state_dict(), "trained", {"steps": 0, "epoch_kept": 0, "validation_objective": None})
    return run


@torch.no_grad()
def _settle(setup: Setup, data: Dataset) -> None:
    """Fit to the first training rows what the recipe fits at the end of a training."""
    modules_of(setup).eval()
    device = torch.device("cpu")
    rows = data.split("train").resident(device)
    with isolated(device):
        reseed(device, derive(0, "settle"))
        setup.settle(lambda: map(setup.steady, rows.batches([torch.arange(min(rows.count, ROWS_LOOKED_AT))])))


def _needed(layout: Layout, spec: DataSpec, arguments: Mapping[str, Any], most: int) -> dict[str, str]:
    """The outline of the network's weights, at most so many, without memory for their numbers."""
    if layout.blocks * len(layout.widths) > most:
        raise InputError(f"the config asks for more layers than the {most} tensors of the file are of")
    try:
        with torch.device("meta"):
            return outline_of(weights_of(registry.get("first-stage").build(spec, **arguments).model))
    except InputError:
        raise
    except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"the config asks for a network that cannot be built: {error}") from error


def read(folder: Path) -> tuple[Layout, dict[str, Tensor]]:
    """What a folder of diffusers' says of the network, and its weights in float32 by their present names.

    Raises:
        InputError: in one sentence, if files are missing, cut short or of another kind of network.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no folder of diffusers' {CLASS}: it has no file {name}")
    tensors = load_tensors(folder / WEIGHTS)
    return _layout_in(folder / CONFIG), {present(name): _linear(name, value) for name, value in tensors.items()}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights of both halves, by their names in diffusers."""
    return {name: value for half in halves(model) for name, value in half.state_dict().items()}


def halves(model: nn.Module) -> tuple[KLEncoder, KLDecoder]:
    """The two networks of a first stage, found among a model's modules; other models are refused."""
    inward = [part for part in model.modules() if isinstance(part, KLEncoder)]
    outward = [part for part in model.modules() if isinstance(part, KLDecoder)]
    if len(inward) != 1 or len(outward) != 1:
        raise InputError("the model has no autoencoder of diffusers' form; train the recipe first-stage")
    return inward[0], outward[0]


def layout_of(inward: KLEncoder, outward: KLDecoder, side: int, scale: float) -> Layout:
    """What a config is to say of these networks."""
    encoder, decoder = inward.encoder, outward.decoder
    grids = [_resnets(block) for block in encoder.down_blocks]
    return Layout(
        channels=encoder.conv_in.in_channels,
        latent=outward.post_quant_conv.in_channels,
        widths=tuple(resnets[0].conv2.out_channels for resnets in grids),
        blocks=len(grids[0]),
        groups=encoder.conv_norm_out.num_groups,
        side=side,
        scale=scale,
        out=decoder.conv_out.out_channels,
    )


def _resnets(block: nn.Module) -> list[ResnetBlock]:
    """The residual blocks of a grid."""
    return [part for part in block.modules() if isinstance(part, ResnetBlock)]


def present(name: str) -> str:
    """The name that a parameter has today.

    >>> present("decoder.mid_block.attentions.0.query.weight")
    'decoder.mid_block.attentions.0.to_q.weight'
    """
    former = re.search(r"\.attentions\.\d+\.(\w+)\.(weight|bias)$", name)
    return name if not former else name.replace(f".{former[1]}.", f".{FORMER.get(former[1], former[1])}.")


def _linear(name: str, value: Tensor) -> Tensor:
    """A weight in float32; of attention that was kept as a 1x1 convolution, without its two sides."""
    flat = value[..., 0, 0] if ".attentions." in name and value.dim() == 4 else value
    return flat.to(torch.float32)


def _layout_in(path: Path) -> Layout:
    if path.stat().st_size > LARGEST_CONFIG:
        raise InputError(f"{path} is too long to be a config of diffusers'")
    try:
        return Layout.from_json(json.loads(path.read_text(encoding="utf-8")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is cut short or is not JSON: {error}") from error


def _require_same(given: Mapping[str, str], needed: Mapping[str, str]) -> None:
    for name in sorted(given.keys() | needed.keys()):
        if given.get(name) != needed.get(name):
            raise InputError(
                f"the weights do not fit the config: {name} is {given.get(name, 'missing')} in the file and "
                f"{needed.get(name, 'missing')} in the network"
            )
