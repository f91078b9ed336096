"""Which arithmetic a step runs in, and that what must be exact stays exact."""

from __future__ import annotations

import pytest
import torch

from lowerbound.precision import exact_products, products
from lowerbound.run.settings import Settings
from lowerbound.training import acceleration

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("settings", "flops", "wanted"),
    [
        (Settings(), 1e6, "fp32"),
        (Settings(), 2e8, "rough products"),
        (Settings(), 1e9, "autocast"),
        (Settings(compile="on"), 2e8, "fp32"),
        (Settings(precision="fp32"), 1e9, "fp32"),
        (Settings(precision="bf16"), 1e6, "autocast"),
    ],
)
def test_the_size_of_a_step_chooses_its_arithmetic(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, flops: float, wanted: str
) -> None:
    monkeypatch.setattr(acceleration, "has_bf16_units", lambda device: True)
    assert acceleration.mode(settings, CPU, lambda: int(flops)) == wanted


def test_without_units_auto_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "has_bf16_units", lambda device: False)
    assert acceleration.mode(Settings(), CPU, lambda: 10**12) == "fp32"


def test_exact_products_hold_within_rough_ones_and_both_are_put_back() -> None:
    a, b = torch.randn(64, 128), torch.randn(128, 64)
    before, plain = torch.get_float32_matmul_precision(), a @ b
    with products("bf16"):
        rough = a @ b
        with exact_products():
            assert torch.equal(a @ b, plain)
        assert torch.equal(a @ b, rough)
    torch.testing.assert_close(rough, plain, rtol=0.02, atol=0.3)
    assert torch.get_float32_matmul_precision() == before
