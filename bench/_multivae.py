"""MultiVae's models of the same names, with the same networks and steps as ours, for `crossmodal.py`.

It is of an environment of its own, which need hold of MultiVae's requirements only what these models use:

    pip install --no-deps multivae==1.0.3; pip install pythae pydantic

What else the package imports as a whole (torchvision, torchmetrics, nltk: for data sets and metrics that are not used
here) is replaced by empty stand-ins where it is not installed.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.core import Batch
from lowerbound.core.experts import observed_at_all
from lowerbound.data.dataset import Dataset
from lowerbound.data.views import Binarise
from lowerbound.nets import decoder, encoder
from lowerbound.precision import products

Array = np.ndarray

NAMES = ("MVAE", "MMVAE", "MoPoE", "MMVAE+")
SHAPE = (28, 28)
ROWS_AT_ONCE = 1000


@final
class Nothing(types.ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@final
class StandIns(MetaPathFinder, Loader):
    """Finds an empty module for whatever is in these packages."""

    def __init__(self, *packages: str) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in self.packages else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return Nothing(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


sys.meta_path.append(StandIns(*(each for each in ("torchvision", "torchmetrics", "nltk") if find_spec(each) is None)))

from multivae import models  # noqa: E402  (what stands in has to be there first)
from multivae.data.datasets.base import IncompleteDataset, MultimodalBaseDataset  # noqa: E402
from multivae.models.nn.base_architectures import BaseMultilatentEncoder  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn import BaseDecoder  # noqa: E402


@final
class Encoder(BaseMultilatentEncoder):
    """Our encoder, as MultiVae calls one."""

    def __init__(self, latent: int, own: int, common: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = encoder(common["net"], SHAPE, 2 * (latent + own), common["hidden"], "silu")
        self.latent_dim, self.style_dim = latent, own

    def forward(self, x: Tensor) -> ModelOutput:
        # Copies, because MultiVae writes into them where a modality is missing.
        loc, log_variance = (half.clone() for half in self.net(x).chunk(2, -1))
        found = {"embedding": loc[:, : self.latent_dim], "log_covariance": log_variance[:, : self.latent_dim]}
        style = {
            "style_embedding": loc[:, self.latent_dim :],
            "style_log_covariance": log_variance[:, self.latent_dim :],
        }
        return ModelOutput(**found, **(style if self.style_dim else {}))


@final
class Decoder(BaseDecoder):
    """Our decoder, as MultiVae calls one; it gives logits."""

    def __init__(self, latent: int, common: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = decoder(common["net"], latent, SHAPE, 1, common["hidden"], "silu")
        self.latent_dim = latent

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z))


@final
class Peer:
    """A trained model of MultiVae's, asked as ours are."""

    def __init__(self, model: Any, sides: tuple[str, ...]) -> None:
        self.model, self.sides = model.eval(), sides

    @torch.no_grad()
    def translate(self, x: Mapping[str, Array], given: list[str], to: str) -> Array:
        torch.manual_seed(0)
        whole = {side: (torch.from_numpy(x[side]).float() / 255).split(ROWS_AT_ONCE) for side in self.sides}
        parts = [self._told(dict(zip(self.sides, both)), given[0], to) for both in zip(*whole.values())]
        return np.concatenate(parts)

    @torch.no_grad()
    def sample(self, n: int) -> Mapping[str, Array]:
        torch.manual_seed(0)
        parts = [self.model.decode(self.model.generate_from_prior(ROWS_AT_ONCE)) for _ in range(n // ROWS_AT_ONCE)]
        return {side: np.concatenate([_grey(part[side]) for part in parts]) for side in self.sides}

    def _told(self, x: Mapping[str, Tensor], given: str, to: str) -> Array:
        """MoPoE encodes both and uses what it is to be conditioned on."""
        data = MultimodalBaseDataset(dict(x))
        return _grey(self.model.predict(data, cond_mod=given, gen_mod=to)[to])


def trained_peer(
    name: str,
    sides: tuple[str, ...],
    latent: int,
    common: Mapping[str, Any],
    training: Mapping[str, Any],
    data: Dataset,
) -> tuple[Peer, float]:
    """A model by name, and the processor's seconds that it took."""
    torch.manual_seed(0)
    start = time.process_time()
    with products("bf16"):  # as ours are trained where there are units for it
        model = _fitted(_built(name, sides, latent, common), sides, training, data)
    return Peer(model, sides), time.process_time() - start


def _fitted(model: Any, sides: tuple[str, ...], training: Mapping[str, Any], data: Dataset) -> Any:
    rows = data.split("train").resident("cpu")
    for side in sides:  # as ours, whose decoders begin at the mean
        mean = np.nanmean(data.split("train").array(side), 0) / 255
        model.decoders[side].net.start_at(torch.logit(torch.from_numpy(mean).float(), eps=1e-3))
    views = {side: Binarise(256) for side in sides}
    optimiser = torch.optim.Adam(model.parameters(), training["lr"])
    steps = training["epochs"] * (rows.count // training["batch_size"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(training["epochs"]):
        for index in torch.randperm(rows.count).split(training["batch_size"])[: rows.count // training["batch_size"]]:
            loss = model(_shown(rows.batch(index), views)).loss / len(index)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model


def _built(name: str, sides: tuple[str, ...], latent: int, common: Mapping[str, Any]) -> Any:
    own = latent // 2 if name == "MMVAE+" else 0
    shared = latent - own
    encoders = {side: Encoder(shared, own, common) for side in sides}
    decoders = {side: Decoder(latent, common) for side in sides}
    form = {
        "n_modalities": len(sides),
        "latent_dim": shared,
        "input_dims": dict.fromkeys(sides, SHAPE),
        "decoders_dist": dict.fromkeys(sides, "bernoulli"),
    }
    return _MODELS[name](form, own, {"encoders": encoders, "decoders": decoders})


def _shown(batch: Batch, views: Mapping[str, nn.Module]) -> Any:
    """Binarised pictures, and which there are; rows without any are left out, of which MultiVae's losses are NaN."""
    there = observed_at_all(batch, list(views))
    some = there.any(0)
    x = {side: view(batch.x[side])[some] for side, view in views.items()}
    if batch.mask is None:
        return MultimodalBaseDataset(x)
    return IncompleteDataset(x, {side: seen[some] for side, seen in zip(views, there)})


def _grey(logits: Tensor) -> Array:
    found: Array = (255 * logits.sigmoid()).reshape(-1, *SHAPE).numpy()
    return found


_NORMAL = {"K": 1, "prior_and_posterior_dist": "normal", "loss": "iwae_looser"}

_MODELS: dict[str, Callable[[dict[str, Any], int, dict[str, Any]], Any]] = {
    "MVAE": lambda form, own, nets: models.MVAE(models.MVAEConfig(**form, warmup=0), **nets),
    "MMVAE": lambda form, own, nets: models.MMVAE(models.MMVAEConfig(**form, **_NORMAL, learn_prior=False), **nets),
    "MoPoE": lambda form, own, nets: models.MoPoE(models.MoPoEConfig(**form), **nets),
    "MMVAE+": lambda form, own, nets: models.MMVAEPlus(
        models.MMVAEPlusConfig(**form, **_NORMAL, modalities_specific_dim=own), **nets
    ),
}
