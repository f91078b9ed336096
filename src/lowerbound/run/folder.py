"""The run folder: what was trained, on what, how, and its weights. JSON and safetensors, never a pickle.

recipe.json           everything but numbers of the network; written whole or not at all
weights.safetensors   the weights kept, of the digest that recipe.json records
metrics.jsonl         a line an epoch; the same for the same seed
timing.jsonl          a line an epoch: what depends on the machine and the hour
checkpoints/          the state of a training that is not over
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self, final, get_args

import torch
from torch import Tensor, nn

from lowerbound.data.reading import Reading
from lowerbound.data.spec import DataSpec
from lowerbound.distributed import World
from lowerbound.errors import InputError
from lowerbound.files import write_json
from lowerbound.recipes import registry
from lowerbound.recipes.registry import Setup
from lowerbound.run.checkpoint import Checkpoints
from lowerbound.run.settings import Settings
from lowerbound.run.tensors import file_digest, json_digest, load_tensors, outline_of, outline_of_file, save_tensors

FORMAT = "lowerbound-run"
SCHEMA = 1
LARGEST_RECORD = 1 << 24
"""Bytes; a recipe.json is a few thousand, so a longer file is not one."""

LONGEST_WAIT = 60.0
"""Seconds for which the other processes wait for the first to make a run."""

Outcome = Literal["trained", "diverged"]
State = Literal["created", "training", Outcome]


@final
@dataclass(frozen=True)
class Record:
    """What recipe.json says.

    `weights` is the SHA-256 of weights.safetensors once it is there; `result` is what training came to.
    """

    recipe: str
    arguments: Mapping[str, Any]
    data: DataSpec
    reading: Reading | None
    settings: Settings
    versions: Mapping[str, str]
    state: State = "created"
    weights: str | None = None
    result: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object that carries its own digest."""
        content = {
            "format": FORMAT,
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in _FIELDS},
            "arguments": dict(self.arguments),
            "data": self.data.to_json(),
            "reading": self.reading and self.reading.to_json(),
            "settings": self.settings.to_json(),
        }
        return {**content, "digest": json_digest(content)}

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Read what `to_json` wrote; `InputError` says what is foreign, newer, changed or ill-typed."""
        fields = _checked(content)
        fields["data"] = DataSpec.from_json(fields["data"])
        fields["reading"] = fields["reading"] and Reading.from_json(fields["reading"])
        fields["settings"] = Settings.from_json(fields["settings"])
        fields["arguments"] = registry.get(fields["recipe"]).check(fields["arguments"])
        return cls(**fields)

    @property
    def identity(self) -> str:
        """A digest of all that decides the course of training."""
        return json_digest([self.recipe, dict(self.arguments), self.data.to_json(), self.settings.to_json()])


_FIELDS: dict[str, tuple[type, ...]] = {
    "recipe": (str,),
    "arguments": (dict,),
    "data": (dict,),
    "reading": (dict, type(None)),
    "settings": (dict,),
    "versions": (dict,),
    "state": (str,),
    "weights": (str, type(None)),
    "result": (dict, type(None)),
}


@final
class Run:
    """A folder that a training leaves behind, and that opens again on another machine.

    Use `Run.create` for a new one and `Run.open` for one that is there.
    """

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.record = record

    @classmethod
    def create(
        cls,
        path: str | Path,
        recipe: str,
        arguments: Mapping[str, Any],
        spec: DataSpec,
        settings: Settings,
        reading: Reading | None = None,
    ) -> Self:
        """Make the folder of a run that is still to be trained.

        Of several processes under torchrun the first makes it, and the others wait for it and open it.
        Raises `InputError` if the arguments do not suit the recipe, or if there is anything at `path` already.
        """
        path = Path(path)
        if not World.from_environment().leads:
            _await(path / "recipe.json")
            return cls.open(path)
        _require_vacant(path)
        complete = registry.get(recipe).check(arguments)
        run = cls(path, Record(recipe, complete, spec, reading, settings, installed()))
        require_room(run.outline())
        run._write(run.record)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run's folder, after checking all of it; nothing that is in it is ever run.

        Raises `InputError`, in one sentence, if it is foreign, truncated, tampered with or of a newer version.
        """
        path = Path(path)
        run = cls(path, _read_record(path))
        if run.record.weights is not None:
            run._check_weights(run.record.weights)
        return run

    @property
    def settings(self) -> Settings:
        """How the run is trained."""
        return self.record.settings

    @property
    def finished(self) -> bool:
        """Whether its training is over."""
        return self.record.state in ("trained", "diverged")

    @property
    def checkpoints(self) -> Checkpoints:
        """The states from which an unfinished training can go on."""
        return Checkpoints(self.path / "checkpoints", self.record.identity)

    def outline(self) -> Setup:
        """Build the setup without memory for its numbers (on torch's meta device)."""
        try:
            with torch.device("meta"):
                return self._build()
        except InputError:
            raise
        except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
            recipe = self.record.recipe
            raise InputError(f"{self.path}: recipe {recipe} cannot be built as asked: {error}") from error

    def draw(self) -> Setup:
        """Build the setup with first weights, drawn from the run's seed; the caller's random state is left alone."""
        require_room(self.outline())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.settings.seed)
            return self._build()

    def setup(self) -> Setup:
        """Build the setup with its trained weights, ready for use (in evaluation mode)."""
        if self.record.weights is None:
            raise InputError(
                f"{self.path} has not been trained to the end; go on with: lowerbound train --resume {self.path}"
            )
        setup = self.draw()
        modules = modules_of(setup)
        modules.load_state_dict(load_tensors(require_file(self.path, "weights.safetensors")))
        modules.eval()
        return setup

    def metrics(self) -> list[dict[str, Any]]:
        """Return the figures of each epoch; a last line that was cut short is left out."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def require_data(self, spec: DataSpec) -> None:
        """Raise `InputError` unless these are the data, in the splits, that the run was made for."""
        asked, given = _describe(self.record.data), _describe(spec)
        if asked != given:
            raise InputError(f"{self.path} was made for other data: it needs {asked}, but was given {given}")

    def begin(self) -> None:
        """Note that training has begun."""
        if self.record.state == "created":
            self._write(replace(self.record, state="training"))

    def tidy(self) -> None:
        """Clear away what a killed process was writing."""
        for leftover in self.path.glob(".*.tmp*"):
            leftover.unlink()

    def finish(self, weights: Mapping[str, Tensor], outcome: Outcome, result: Mapping[str, Any]) -> None:
        """Write the weights, and then that training is over, what it came to and the weights' digest."""
        digest = save_tensors(self.path / "weights.safetensors", weights)
        self._write(replace(self.record, state=outcome, weights=digest, result=result))

    def _build(self) -> Setup:
        return registry.get(self.record.recipe).build(self.record.data, **self.record.arguments)

    def _write(self, record: Record) -> None:
        write_json(self.path / "recipe.json", record.to_json())
        self.record = record

    def _check_weights(self, digest: str) -> None:
        path = require_file(self.path, "weights.safetensors")
        if file_digest(path) != digest:
            raise InputError(f"{path} is not the file that this run wrote, by its SHA-256; copy the run again")
        held, needed = outline_of_file(path), outline_of(modules_of(self.outline()).state_dict())
        for name in sorted(held.keys() | needed.keys()):
            if held.get(name) != needed.get(name):
                raise InputError(
                    f"{path} does not fit the recipe: {name} is {held.get(name, 'missing')} in the file "
                    f"and {needed.get(name, 'missing')} in the model"
                )


def modules_of(setup: Setup) -> nn.ModuleDict:
    """Return what a setup learns or remembers, under the names that its weights are saved by.

    Views are not among it: they follow from the description of the data. So do the numbers by which a condition is
    standardised; what withholds it in training is here to be told when training is over.
    """
    parts = {
        "model": setup.model,
        "objective": setup.objective,
        "estimator": setup.estimator,
        "condition": setup.condition,
    }
    return nn.ModuleDict({name: part for name, part in parts.items() if isinstance(part, nn.Module)})


def require_room(outline: Setup) -> None:
    """Raise `InputError` if the weights of a setup, built without memory, are more than the machine can hold."""
    needed = sum(value.nbytes for value in modules_of(outline).state_dict().values())
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > present:
        raise InputError(
            f"the model's weights alone take {needed / 1e9:,.0f} GB and this machine has {present / 1e9:,.0f} GB; "
            "make the model smaller"
        )


def require_file(folder: Path, name: str) -> Path:
    """Return the path of an ordinary file in a folder; `InputError` if it is missing, a link or anything else."""
    path = folder / name
    if path.is_symlink():
        raise InputError(f"{path} is a link, and a run holds files only; copy the file itself there")
    if not path.is_file():
        raise InputError(f"{folder} is not a whole run: it has no file {name}")
    return path


def _await(path: Path) -> None:
    """Wait for a file that another process writes whole or not at all."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not path.is_file():
        if time.monotonic() > deadline:
            raise InputError(f"the first process made no run at {path.parent}; name one folder that all of them see")
        time.sleep(0.05)


def _require_vacant(path: Path) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if (path / "recipe.json").is_file():
        raise InputError(
            f"{path} holds a run; go on with it (lowerbound train --resume {path}) or choose another folder"
        )
    raise InputError(f"{path} is there already and holds something else; choose another folder")


def _read_record(folder: Path) -> Record:
    if not folder.is_dir():
        raise InputError(f"there is no run at {folder}: a run is a folder with a recipe.json in it")
    path = require_file(folder, "recipe.json")
    _refuse_links(folder)
    if path.stat().st_size > LARGEST_RECORD:
        raise InputError(f"{path} is too long to be a run's recipe")
    try:
        return Record.from_json(json.loads(path.read_text(encoding="utf-8")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is cut short or is not JSON: {error}") from error
    except OverflowError as error:
        raise InputError(f"{path} holds a number beyond all range: {error}") from error


def _refuse_links(folder: Path) -> None:
    """Writing through a link would change a file elsewhere."""
    for path in folder.iterdir():
        if path.is_symlink():
            raise InputError(f"{path} is a link, and a run holds files only; copy the file itself there")


def _checked(content: object) -> dict[str, Any]:
    """Return the fields of a recipe.json, each of the right type."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("this is not the recipe of a lowerbound run")
    schema = content.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise InputError(
            f"this run was made by a newer lowerbound (schema {schema}, here {SCHEMA}): upgrade lowerbound"
        )
    if schema != SCHEMA or set(content) != {"format", "schema", "digest", *_FIELDS}:
        raise InputError("this run's recipe lacks fields, or has others than lowerbound writes")
    wrong = next((name for name, kinds in _FIELDS.items() if not isinstance(content[name], kinds)), None)
    if wrong is not None:
        raise InputError(f"the field {wrong} is of the wrong type ({type(content[wrong]).__name__})")
    _check_digest(content)
    return {name: content[name] for name in _FIELDS}


def _check_digest(content: Mapping[str, Any]) -> None:
    if content["state"] not in get_args(State):
        raise InputError(f"the field state must be one of {', '.join(get_args(State))}, not {content['state']!r}")
    rest = {name: value for name, value in content.items() if name != "digest"}
    if content["digest"] != json_digest(rest):
        raise InputError("it was changed after lowerbound wrote it; copy the run again, or train another")


def _describe(spec: DataSpec) -> str:
    rows = ", ".join(f"{count} {name}" for name, count in spec.splits.items())
    return f"fingerprint {spec.fingerprint[:12]} with {rows} rows (split seed {spec.split_seed})"


def installed() -> dict[str, str]:
    """Return what a run is made with, by version."""
    packages = {name: version(name) for name in ("lowerbound", "torch", "numpy", "safetensors")}
    return {**packages, "python": platform.python_version()}
