"""When bfloat16 and torch.compile pay. The rules look at the machine and the model, never at a clock: a rule that
timed itself would choose differently from run to run, and the same seed would no longer give the same run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lowerbound.core.batch import Batch
from lowerbound.errors import InputError
from lowerbound.recipes.registry import Setup
from lowerbound.run.settings import Settings

BF16_PAYS_FROM = 3e8
"""Floating-point operations in the matrix products of one forward pass; below, casting weights costs what it saves."""


def autocast(settings: Settings, device: torch.device, flops: Callable[[], int]) -> AbstractContextManager[object]:
    """Return the context in which the forward pass runs; `flops` counts that pass, if need be."""
    wanted = settings.precision == "bf16" or (settings.precision == "auto" and bf16_pays(device, flops))
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def bf16_pays(device: torch.device, flops: Callable[[], int]) -> bool:
    """Tell whether the device has bfloat16 matrix units and a forward pass keeps them busy.

    Example:
        >>> bf16_pays(torch.device("cpu"), flops=lambda: 1000)
        False
    """
    return _has_bf16_units(device) and flops() >= BF16_PAYS_FROM


def _has_bf16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_amx_tile_supported()


@torch.no_grad()
def forward_flops(setup: Setup, seen: Batch) -> int:
    """Count the floating-point operations in the matrix products and convolutions of one pass through the model.

    The objective's own products are left out: torch's counter cannot follow the derivatives that some of them take.
    """
    training = setup.model.training
    with FlopCounterMode(display=False) as counter:
        _ = setup.model.eval().trace(seen, setup.particles, setup.estimator).log_px
    setup.model.train(training)
    return counter.get_total_flops()


def compiled(loss: nn.Module, settings: Settings, device: torch.device) -> nn.Module:
    """Return the module as torch.compile builds it, where that is asked for or pays."""
    if settings.compile == "off" or (settings.compile == "auto" and not compile_pays(device)):
        return loss
    _require_compiler()
    built: nn.Module = torch.compile(loss, dynamic=False)  # type: ignore[assignment]
    return built


def compile_pays(device: torch.device) -> bool:
    """Tell whether compiling the step wins back the minute it takes: not on a CPU, whose time is in the products.

    Example:
        >>> compile_pays(torch.device("cpu"))
        False
    """
    return device.type == "cuda" and _compiler() is not None


def _require_compiler() -> None:
    if _compiler() is None:
        raise InputError("torch.compile needs a C++ compiler and none was found; install g++ or set compile to off")


def _compiler() -> str | None:
    names = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    return next((path for name in names if name and (path := shutil.which(name))), None)
