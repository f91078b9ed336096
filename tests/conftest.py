"""Every test starts from the same seed; a test that uses `double` computes in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from lowerbound.cli.command import run

# The tensors here are tiny: threads would only get in each other's way.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process; its exit code, stdout and stderr."""

    def asked(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return asked
