"""One or many processes: what torchrun tells each of them, and the few things that they say to each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lowerbound.errors import InputError


@final
@dataclass(frozen=True)
class World:
    """Which process this is, out of how many.

    Example:
        >>> World.from_environment({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}).leads
        False
        >>> World.from_environment({})
        World(rank=0, size=1, local_rank=0)
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read what torchrun sets; without it there is one process."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        return cls(*(int(environment.get(name, default)) for name, default in zip(names, "010")))

    @classmethod
    def joined(cls) -> Self:
        """Read which process of the group that is formed now this is; without a group there is one process."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Return this process's part of a batch's row numbers; the parts are disjoint and equally long."""
        return rows[self.rank :: self.size] if self.size > 1 else rows

    def sum(self, values: Tensor) -> Tensor:
        """Add up `values` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Go on once all processes have come this far."""
        if self.size > 1:
            dist.barrier()


def choose_device(name: str, world: World) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` means for this process."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("there is no CUDA device that torch can use; set device to cpu or auto")
    if name == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", world.local_rank)


@contextmanager
def joined(device: torch.device, world: World) -> Iterator[None]:
    """Let the processes reach each other while the block runs; one process needs nothing.

    A group that the caller has already formed is used and left standing.
    """
    if world.size == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def parallel(module: nn.Module, world: World) -> nn.Module:
    """Return a module whose gradients are the mean over all processes."""
    if world.size == 1:
        return module
    _require_shareable(module)
    return DistributedDataParallel(module)


def _require_shareable(module: nn.Module) -> None:
    """NCCL adds up dense gradients only."""
    sparse = any(isinstance(part, nn.Embedding) and part.sparse for part in module.modules())
    if sparse and next(module.parameters()).device.type != "cpu":
        raise InputError(
            "several GPUs cannot share the sparse gradient of a table of posteriors; train it in one process, or with "
            "device cpu"
        )
