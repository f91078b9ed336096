"""Several processes train one model: their weights stay equal, and equal in kind to those of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lowerbound.core import Table
from lowerbound.data.dataset import Dataset
from lowerbound.distributed import World, choose_device, parallel
from lowerbound.errors import InputError
from lowerbound.run.folder import Run
from lowerbound.run.tensors import load_tensors
from lowerbound.training.loop import fitting_batch, train

SCRIPT = """
import sys, torch
from pathlib import Path
from lowerbound.data.dataset import load_data
from lowerbound.data.reading import Reading
from lowerbound.run.folder import Run
from lowerbound.run.tensors import save_tensors
from lowerbound.distributed import World, joined
from lowerbound.training.interrupts import Request
from lowerbound.training.loop import Trainer
from lowerbound.training.progress import Silent
from lowerbound.run.settings import Settings

path, data, world = Path(sys.argv[1]), load_data("digits"), World.from_environment()
settings = Settings(epochs=6, batch_size=64, lr=5e-3, ema=0.9, patience=3, precision="fp32")
run = Run.create(path, sys.argv[2], {"latent": 2, "hidden": [16]}, data.spec, settings, Reading("digits"))
device = torch.device("cpu")
with joined(device, world):
    trainer = Trainer(run, data, world, device, Silent(), Request())
    trainer.fit()
save_tensors(path.parent / f"rank{world.rank}.safetensors", trainer.state.modules.state_dict())
Run.open(path).setup()
"""


def test_without_torchrun_there_is_one_process() -> None:
    assert World.from_environment({}) == World(0, 1, 0)


def test_shares_of_a_batch_are_disjoint_equal_and_complete() -> None:
    rows = torch.randperm(12)
    shares = [World(rank, 3, rank).share(rows) for rank in range(3)]
    assert {len(share) for share in shares} == {4}
    assert sorted(torch.cat(shares).tolist()) == list(range(12))


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(InputError, match="7 rows cannot be shared equally by 2 processes"):
        fitting_batch(7, 100, World(0, 2, 0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("auto", World()).type == "cpu"
    with pytest.raises(InputError, match="no CUDA device"):
        choose_device("cuda", World())


def test_a_table_cannot_be_shared_by_gpus() -> None:
    with pytest.raises(InputError, match="several GPUs cannot share the sparse gradient"):
        parallel(Table(3, 2).to("meta"), World(0, 2, 0))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["vae", "svi"])
def test_two_processes_keep_equal_weights_and_learn_as_one_does(
    recipe: str, tmp_path: Path, new_run: Callable[..., Run], digits: Dataset
) -> None:
    script, path = tmp_path / "script.py", tmp_path / "together"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([*launch, str(script), str(path), recipe], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    first, second = (load_tensors(tmp_path / f"rank{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    alone = new_run("alone", recipe=recipe, epochs=6, batch_size=64, lr=5e-3, ema=0.9)
    train(alone, digits)
    bounds = [run.metrics()[-1]["validation"]["objective"] for run in (Run.open(path), alone)]
    assert bounds[0] == pytest.approx(bounds[1], abs=1.0)
    assert len(Run.open(path).metrics()) == 6
