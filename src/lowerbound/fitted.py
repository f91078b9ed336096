"""A trained model and what can be asked of it: arrays in, arrays out."""

from __future__ import annotations

import dataclasses
import difflib
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.arguments import Count, conformed
from lowerbound.core import Batch, log_marginal
from lowerbound.data.arrays import as_array
from lowerbound.data.checks import checked_array
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.reading import Reading, reading_of
from lowerbound.data.rows import Rows
from lowerbound.data.spec import DataSpec, Kind, Variable
from lowerbound.distributed import World, choose_device
from lowerbound.errors import InputError
from lowerbound.evaluation import metrics, rawdata
from lowerbound.evaluation.paths import path as path_between
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, Array
from lowerbound.evaluation.watching import Watch, watched
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.recipes import registry
from lowerbound.recipes.registry import Recipe, Setup
from lowerbound.run.folder import Run
from lowerbound.run.settings import Settings
from lowerbound.training.loop import train as fit
from lowerbound.training.progress import Progress, shown_on

Values = Array | Mapping[str, Array]
"""An array with a row a datum; for a model of several variables, an array for each by name."""


@final
class Fitted:
    """A model with its trained weights, and the verbs.

    Arrays go in and come out on the data's own scale; rows that go in are checked against the description of the data
    that the model was made for. The same call gives the same numbers: what is random is drawn from the `seed` given,
    and torch's own generator is left as it was.

    setup: what a recipe makes, or one of your own parts. spec: the data's description. run: the folder it came from.
    data: what `evaluate` looks at when it is given nothing else.

    >>> model = train("vae", "digits", epochs=1, latent=2, hidden=[8])
    >>> model.sample(3).shape
    (3, 8, 8)
    """

    def __init__(self, setup: Setup, spec: DataSpec, run: Run | None = None, data: Dataset | None = None) -> None:
        if setup.conditional:
            raise InputError("a model that is shown a condition cannot be asked without one; use its setup directly")
        setup.model.eval()
        self.setup, self.spec, self.run, self._data = setup, spec, run, data

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return rawdata.device_of(self.setup)

    def sample(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n new data: z ~ p(z), then E[x|z], or with mean=False a draw of p(x|z)."""
        show = rawdata.means if mean else rawdata.draws
        counts = [min(ROWS_AT_ONCE, n - done) for done in range(0, _positive("the number of samples", n), ROWS_AT_ONCE)]
        with self._drawing(seed, "sample"):
            px = (self.setup.model.generate(count) for count in counts)
            return rawdata.joined([show(self.setup, self.spec, part) for part in px])

    def encode(self, x: Values) -> Array:
        """E[z|x], (N, D); no chance is in it, and a row's code does not depend on the rows beside it.

        A model of binarised pictures is shown the grey values themselves, the mean of what it was trained on.
        """
        with torch.no_grad():
            codes = [self._posterior_mean(batch) for batch in rawdata.batches(self.spec, x)]
        return np.concatenate(codes)

    def decode(self, z: Array) -> Values:
        """E[x|z] of codes (N, D)."""
        codes = self._codes(z).split(ROWS_AT_ONCE)
        with torch.no_grad():
            px = (self.setup.model.decode(part) for part in codes)
            return rawdata.joined([rawdata.means(self.setup, self.spec, part) for part in px])

    def reconstruct(self, x: Values) -> Values:
        """E[x|z] at z = E[z|x]."""
        return self.decode(self.encode(x))

    def interpolate(
        self, a: Values, b: Values, steps: int = 10, kind: Literal["linear", "spherical"] = "spherical"
    ) -> Values:
        """Data along a path between the codes of two data, each without a dimension of rows; (steps, ...)."""
        start, end = (torch.from_numpy(self.encode(_one_row(datum))[0]) for datum in (a, b))
        return self.decode(path_between(start, end, steps, kind).numpy())

    def log_prob(self, x: Values, particles: int = 1000, seed: int = 0, watch: Watch | None = None) -> Array:
        """log p(x) of each row by importance sampling, (N,) nats of the data as given; see `log_marginal`."""
        particles = _positive("particles", particles)
        batches = rawdata.batches(self.spec, x)
        with self._drawing(seed, "log_prob"):
            seen = (self.setup.see(batch.to(self.device)) for batch in watched(batches, watch))
            parts = [log_marginal(self.setup.model, batch, particles).log_p for batch in seen]
        return rawdata.to_array(torch.cat(parts) + self.setup.log_volume)

    def evaluate(
        self,
        data: Any = None,
        split: str = "test",
        particles: int = 5000,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> dict[str, Any]:
        """All figures on a split, as JSON values; see `evaluation.metrics.evaluate`.

        data: anything that `load_data` takes; by default what the model was trained on.
        """
        rows = self.rows(data, split)
        figures = metrics.evaluate(self.setup, rows, _positive("particles", particles), seed, watch)
        return {"data": rows.spec.name, "fingerprint": rows.spec.fingerprint, "split": split, **figures}

    def rows(self, data: Any = None, split: str = "test") -> Rows:
        """The train, validation or test split of data for this model, or all of them; see `dataset`."""
        found = self.dataset(data)
        if split == "all":
            return Rows(found.spec, found.arrays, found.condition, np.arange(found.spec.count))
        return found.split(split)

    def dataset(self, source: Any = None) -> Dataset:
        """Data for this model: `source`, which must be of its kind; by default what it was trained on.

        Raises:
            InputError: data of another kind or shape; or no source, and the data are not at hand or have changed.
        """
        if source is None:
            self._data = self._data or self._recorded_data()
            return self._data
        data = read_alike(self.spec, self.run and self.run.record.reading, source)
        for variable in self.spec.variables:
            _require_alike(data.spec.variable(variable.name), variable)
        return data

    def save(self, path: str | Path) -> None:
        """Keep the run's folder at `path`, where `load` finds it.

        Raises:
            InputError: something is there already, or the model did not come from a recipe.
        """
        if self.run is None:
            raise InputError("a model of your own parts has no recipe to load it by; save its state_dict instead")
        _copy_folder(self.run.path, Path(path))

    def _recorded_data(self) -> Dataset:
        if self.run is None or self.run.record.reading is None:
            raise InputError("the model was trained on arrays in memory; say which data to use")
        data = read_alike(self.spec, self.run.record.reading)
        self.run.require_data(data.spec)
        return data

    @contextmanager
    def _drawing(self, seed: int, purpose: str) -> Iterator[None]:
        with isolated(self.device), torch.no_grad():
            reseed(self.device, derive(seed, purpose))
            yield

    def _posterior_mean(self, batch: Batch) -> Array:
        q = self.setup.model.infer(self.setup.steady(batch.to(self.device)))
        if isinstance(q, Mapping):
            raise InputError("this model has several latents, which have no one code; use its setup directly")
        return rawdata.to_array(q.mean)

    def _codes(self, z: object) -> Tensor:
        codes = checked_array("the codes", "z", as_array(z, "the codes")).astype(np.float64)
        lowest = {variable.name: np.full((1, *variable.shape), variable.low) for variable in self.spec.variables}
        shape = self.encode(lowest).shape[1:]
        if codes.shape[1:] != shape:
            raise InputError(f"the codes have rows of shape {codes.shape[1:]}, but the model's codes are {shape}")
        if not np.isfinite(codes).all():
            raise InputError("the codes hold NaN or infinite values; give finite ones")
        return torch.from_numpy(codes).to(self.device, torch.get_default_dtype())


def train(
    recipe: str,
    data: Any,
    out: str | Path | None = None,
    *,
    kind: Kind | None = None,
    labels: Any = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> Fitted:
    """Train a recipe's model on data and return it.

    recipe: a name of `lowerbound.recipes.names()`. data: anything that `load_data` takes, or what it returned. out: a
    new folder for the run; without one the run is kept for as long as the result lives (see `Fitted.save`). kind,
    labels: see `load_data`. progress: who is told; by default stderr is. arguments: those of the recipe and the fields
    of `Settings`, by name.

    Raises:
        InputError: an unknown or ill-typed argument, data that cannot be used, or a folder that is not empty.

    >>> train("vae", "digits", epoch=1)
    Traceback (most recent call last):
    ...
    lowerbound.errors.InputError: neither the recipe vae nor training has an argument 'epoch'; did you mean 'epochs'?
    """
    given, settings = sorted_arguments(registry.get(recipe), arguments)
    if out is None and World.from_environment().size > 1:
        raise InputError("several processes need one folder for their run; say which (out)")
    dataset = data if isinstance(data, Dataset) else load_data(data, kind=kind, labels=labels)
    folder = Path(tempfile.mkdtemp(prefix="lowerbound-")) if out is None else Path(out)
    run = Run.create(folder, recipe, given, dataset.spec, settings, reading_of(data, kind, labels))
    fitted = _trained(run, dataset, progress)
    if out is None:
        weakref.finalize(fitted, shutil.rmtree, folder, ignore_errors=True)
    return fitted


def resume(path: str | Path, data: Any = None, *, progress: Progress | None = None) -> Fitted:
    """Go on with a training that was interrupted, to the same numbers as if it had not been.

    data: what the run was made for; by default it is read from where it was read then.

    Raises:
        InputError: no run at `path`, or other data.
    """
    run = Run.open(path)
    if data is None and run.record.reading is None:
        raise InputError(f"{path} was trained on arrays in memory; go on in Python with lowerbound.resume(path, data)")
    return _trained(run, read_alike(run.record.data, run.record.reading, data), progress)


def load(path: str | Path, device: str = "auto") -> Fitted:
    """Open a trained run again, on any machine; nothing in the folder is ever run.

    device: auto takes a GPU if there is one, else cpu or cuda.

    Raises:
        InputError: in one sentence, if it is not a whole, unchanged run that this version knows, or not trained yet.
    """
    run = Run.open(path)
    return Fitted(run.setup().to(choose_device(device, World())), run.record.data, run)


def read_alike(spec: DataSpec, reading: Reading | None, source: Any = None) -> Dataset:
    """Read data as those of the description were, and split them alike: `source`, or the very same."""
    if isinstance(source, Dataset):
        return source
    if source is None and reading is not None:
        return reading.load(spec.split_seed)
    kinds: set[Kind] = {variable.kind for variable in spec.variables}
    labels = reading.labels if reading and isinstance(source, str | Path) else None
    return load_data(source, seed=spec.split_seed, kind=kinds.pop() if len(kinds) == 1 else None, labels=labels)


def sorted_arguments(recipe: Recipe, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], Settings]:
    """Arguments by name, sorted into the recipe's and the settings of training; unknown ones are refused."""
    settings = [field.name for field in dataclasses.fields(Settings)]
    known = [*recipe.parameters, *settings]
    for name in arguments:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(known)}"
            raise InputError(f"neither the recipe {recipe.name} nor training has an argument {name!r}; {remedy}")
    given = {name: value for name, value in arguments.items() if name in recipe.parameters}
    chosen = {name: value for name, value in arguments.items() if name in settings}
    return recipe.check(given), Settings(**chosen)


def _trained(run: Run, data: Dataset, progress: Progress | None) -> Fitted:
    fit(run, data, progress=progress or shown_on(sys.stderr))
    trained = Run.open(run.path)
    device = choose_device(run.settings.device, World())
    return Fitted(trained.setup().to(device), trained.record.data, trained, data)


def _positive(what: str, value: int) -> int:
    count: int = conformed(what, value, Count)
    return count


def _one_row(datum: Values) -> Values:
    if isinstance(datum, Mapping):
        return {name: np.asarray(values)[None] for name, values in datum.items()}
    return as_array(datum, "the datum")[None]


def _require_alike(given: Variable, wanted: Variable) -> None:
    for what in ("kind", "shape", "levels"):
        if getattr(given, what) != getattr(wanted, what):
            raise InputError(
                f"the model was made for data of {what} {getattr(wanted, what)}, but these have {getattr(given, what)}"
            )


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a run's files, whole or not at all."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is there already; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as scratch:
        shutil.copytree(source, Path(scratch) / "run", ignore=shutil.ignore_patterns("checkpoints"))
        os.replace(Path(scratch) / "run", target)
