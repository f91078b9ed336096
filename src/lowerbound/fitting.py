"""From data to a trained model, and from a run's folder back to it."""

from __future__ import annotations

import dataclasses
import difflib
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.reading import read_alike, reading_of
from lowerbound.data.spec import Said
from lowerbound.distributed import World, choose_device
from lowerbound.errors import InputError
from lowerbound.fitted import Fitted
from lowerbound.recipes import registry
from lowerbound.recipes.registry import Recipe
from lowerbound.run.folder import Run
from lowerbound.run.mixtures import MixtureRun, is_mixture
from lowerbound.run.settings import Settings
from lowerbound.training.loop import train as fit
from lowerbound.training.progress import Progress, shown_on


def train(
    recipe: str,
    data: Any,
    out: str | Path | None = None,
    *,
    kind: Said | None = None,
    labels: Any = None,
    missing: bool = False,
    text: str | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> Fitted:
    """Train a recipe's model on data and return it.

    recipe: a name of `lowerbound.recipes.names()`. data: anything that `load_data` takes, or what it returned. out: a
    new folder for the run; without one the run is kept for as long as the result lives (see `Fitted.save`). kind,
    labels, missing, text: see `load_data`. progress: who is told; by default stderr is. arguments: those of the recipe
    and the fields of `Settings`, by name.

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
    said: dict[str, Any] = {"kind": kind, "labels": labels, "missing": missing, "text": text}
    dataset = data if isinstance(data, Dataset) else load_data(data, **said)
    folder = Path(tempfile.mkdtemp(prefix="lowerbound-")) if out is None else Path(out)
    run = Run.create(folder, recipe, given, dataset.spec, settings, reading_of(data, **said))
    shown = progress or shown_on(sys.stderr)
    if dataset.captions and dataset.captions.unknown.captions:
        shown.say(str(dataset.captions.unknown))
    fitted = _trained(run, dataset, shown)
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
    if is_mixture(Path(path)):
        return _mixture(Path(path))
    run = Run.open(path)
    return Fitted(run.setup().to(choose_device(device, World())), run.record.data, run)


def _mixture(path: Path) -> Fitted:
    """A mixture that the verb mixture fitted; it stays on the host, where it is quick enough."""
    kept = MixtureRun.open(path)
    return Fitted(kept.setup(), kept.data, kept.as_run(path))


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
