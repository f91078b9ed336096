"""What a fit leaves behind: a model, and the run's folder in memory, from which it can be had again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, final

import safetensors.torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.spec import Variable
from lowerbound.distributed import World, choose_device
from lowerbound.errors import InputError
from lowerbound.fitted import Fitted
from lowerbound.run.folder import Record, Run, modules_of
from lowerbound.run.settings import Settings
from lowerbound.run.tensors import outline_of
from lowerbound.training.loop import train
from lowerbound.training.progress import Progress
from lowerbound.training.start import Start

FILES = ("recipe.json", "weights.safetensors", "metrics.jsonl", "timing.jsonl")
"""What the folder of a run holds once its training is over."""


@final
class Trained:
    """A trained model with the files of its run, and where its training may go on.

    It is pickled as those files, JSON and safetensors, and unpickling opens them as `lowerbound.load` would: each is
    checked, and none is ever run.

    moments: the optimiser's, empty where a later training is to begin them anew. steps: how many were taken.
    """

    def __init__(self, files: Mapping[str, bytes], moments: Mapping[str, Tensor], steps: int) -> None:
        self._files, self._moments, self.steps = files, moments, steps
        with TemporaryDirectory(prefix="lowerbound-") as folder:
            run = Run.open(_laid(files, Path(folder) / "run"))
            device = choose_device("cpu" if run.settings.device == "cpu" else "auto", World())
            self.record, self.epochs = run.record, len(run.metrics())
            self.fitted = Fitted(run.setup().to(device), run.record.data)

    @classmethod
    def by(
        cls, new: Record, data: Dataset, progress: Progress, start: Start | None, keep_moments: bool = False
    ) -> Self:
        """Train a run such as `new` describes, from `start` or from drawn weights."""
        with TemporaryDirectory(prefix="lowerbound-") as folder:
            path = Path(folder) / "run"
            run = Run.create(path, new.recipe, new.arguments, data.spec, new.settings)
            end = train(run, data, progress=progress, start=start)
            assert end is not None  # the run is new
            return cls(_read(path), end.moments if keep_moments else {}, end.steps)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Open the folder of a run, whoever trained it."""
        return cls(_read(Run.open(path).path), {}, 0)

    def fits(self, new: Record) -> bool:
        """Whether a run such as `new` can begin at these weights: what they are named and how large they are."""
        outlines = [outline_of(modules_of(Run(Path(), each).outline()).state_dict()) for each in (self.record, new)]
        return outlines[0] == outlines[1]

    @property
    def variable(self) -> Variable:
        """What the rows hold."""
        return self.record.data.variables[0]

    @property
    def condition(self) -> Variable | None:
        """What the rows are told."""
        return self.record.data.condition

    @property
    def start(self) -> Start:
        """Where a later training may begin."""
        return Start(modules_of(self.fitted.setup).state_dict(), self._moments, self.steps)

    def write(self, path: str | Path) -> None:
        """Keep the run at `path`, a new folder, where `lowerbound.load` and `read` find it; whole or not at all."""
        target = Path(path)
        if target.exists():
            raise InputError(f"{target} is there already; choose another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as scratch:
            os.replace(_laid(self._files, Path(scratch) / "run"), target)

    def __getstate__(self) -> dict[str, Any]:
        moments = safetensors.torch.save({name: value.cpu().contiguous() for name, value in self._moments.items()})
        return {"files": dict(self._files), "moments": moments, "steps": self.steps}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["files"], safetensors.torch.load(state["moments"]), state["steps"])


def record(recipe: str, arguments: Mapping[str, Any], data: Dataset, settings: Settings) -> Record:
    """What is to be trained."""
    return Record(recipe, arguments, data.spec, None, settings, {})


def _read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


def _laid(files: Mapping[str, bytes], folder: Path) -> Path:
    """The folder, made and filled."""
    folder.mkdir()
    for name in FILES:
        if name in files:
            (folder / name).write_bytes(files[name])
    return folder
