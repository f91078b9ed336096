"""Matrix products in bfloat16: which processors reward them, and how float32 numbers are put through them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, get_args

import torch

from lowerbound.errors import InputError

Precision = Literal["fp32", "bf16"]


def has_bf16_units(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_amx_tile_supported()


def products(precision: Precision) -> AbstractContextManager[None]:
    """Return the context in which float32 matrices are multiplied so: in bf16, operands are rounded to bfloat16 (on a
    GPU to TF32) and sums stay float32. Unlike under autocast no weight and no result is kept in bfloat16.

    Example:
        >>> with products("bf16"):
        ...     print(torch.get_float32_matmul_precision())
        medium
    """
    if precision not in get_args(Precision):
        raise InputError(f"there is no precision {precision!r}; choose one of {', '.join(get_args(Precision))}")
    return multiplied("medium") if precision == "bf16" else nullcontext()


def exact_products() -> AbstractContextManager[None]:
    """Return the context in which float32 matrices are multiplied as such, whatever holds around it.

    For products that decide, such as which code of a book is the nearest. Autocast is to be left as well.
    """
    return nullcontext() if torch.compiler.is_compiling() else multiplied("highest")


@contextmanager
def multiplied(how: str) -> Iterator[None]:
    """Put another of torch's precisions of float32 products in the place of the present one, for as long as needed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(how)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
