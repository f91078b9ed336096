"""When bfloat16 and torch.compile pay. The rules look at the machine and the model, never at a clock: a rule that
timed itself would choose differently from run to run, and the same seed would no longer give the same run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lowerbound.core.batch import Batch
from lowerbound.errors import InputError
from lowerbound.precision import has_bf16_units, products
from lowerbound.recipes.registry import Setup
from lowerbound.run.settings import Settings
from lowerbound.training.average import assign, copies

ROUGH_PRODUCTS_PAY_FROM, AUTOCAST_PAYS_FROM = 6e7, 3e8
"""Floating-point operations in the matrix products of one forward pass.

Below the first, overheads outweigh the products. From there a CPU rounds the operands of single products to bfloat16;
from the second (for a perceptron some 200 rows a step) the copies that autocast makes of all weights are won back, too.
"""

Mode = Literal["fp32", "rough products", "autocast"]


def mode(settings: Settings, device: torch.device, flops: Callable[[], int]) -> Mode:
    """Return how a step's numbers are multiplied; `flops` counts a forward pass, if need be.

    Example:
        >>> mode(Settings(), torch.device("cpu"), flops=lambda: 1000)
        'fp32'
    """
    if settings.precision == "auto":
        return _mode_that_pays(device, settings.compile != "on", flops) if has_bf16_units(device) else "fp32"
    return "autocast" if settings.precision == "bf16" else "fp32"


def _mode_that_pays(device: torch.device, eager: bool, flops: Callable[[], int]) -> Mode:
    count = flops()
    if count >= AUTOCAST_PAYS_FROM:
        return "autocast"
    # A compiled step could not make the exceptions of `exact_products`.
    rough = device.type == "cpu" and eager and count >= ROUGH_PRODUCTS_PAY_FROM
    return "rough products" if rough else "fp32"


def forward_context(mode: Mode, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the forward pass runs."""
    return torch.autocast(device.type, torch.bfloat16) if mode == "autocast" else nullcontext()


def step_context(mode: Mode) -> AbstractContextManager[object]:
    """Return the context in which whole steps run, backward passes included."""
    return products("bf16" if mode == "rough products" else "fp32")


@torch.no_grad()
def forward_flops(setup: Setup, seen: Batch) -> int:
    """Count the floating-point operations in the matrix products and convolutions of one pass through the model.

    The pass is one of training, which may differ from others, but what follows the data in it is put back as it was.
    The objective's own products are left out: torch's counter cannot follow the derivatives that some of them take.
    """
    before = copies(setup.model.buffers())
    with FlopCounterMode(display=False) as counter:
        _ = setup.model.trace(seen, setup.particles, setup.estimator).log_px
    assign(setup.model.buffers(), before)
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
