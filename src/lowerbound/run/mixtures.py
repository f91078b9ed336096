"""The folder of a fitted mixture: what it was fitted to, how and why, and its tensors. JSON and safetensors, no pickle.

mixture.json          the mixture's form, the data, what was asked for and found; written last
mixture.safetensors   its tensors, of the digest that mixture.json records
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, final

from lowerbound.arguments import conformed
from lowerbound.core import ELBO, Enumerate
from lowerbound.data.reading import Reading
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import Flat, Identity, Standardise, View
from lowerbound.errors import InputError
from lowerbound.files import write_json
from lowerbound.mixtures.kept import Parts, apart, checked, together
from lowerbound.mixtures.latent import as_latent
from lowerbound.mixtures.mixture import Mixture
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import LARGEST_RECORD, Record, Run, installed, require_file
from lowerbound.run.settings import Settings
from lowerbound.run.tensors import file_digest, json_digest, load_tensors, save_tensors

FORMAT, SCHEMA = "lowerbound-mixture-run", 1
RECORD, TENSORS = "mixture.json", "mixture.safetensors"

_FIELDS: dict[str, tuple[type, ...]] = {
    "data": (dict,),
    "reading": (dict, type(None)),
    "asked": (dict,),
    "found": (dict,),
    "form": (dict,),
    "tensors": (str,),
    "versions": (dict,),
}


@final
@dataclass(frozen=True, eq=False)
class MixtureRun:
    """A mixture of the rows of one variable as `view_of` shows them, and what is known of how it came about.

    asked: what was asked of the fit; found: what it came to, both as JSON has it.
    """

    mixture: Mixture
    data: DataSpec
    reading: Reading | None
    asked: Mapping[str, Any]
    found: Mapping[str, Any]

    def keep(self, path: Path, beside: Mapping[str, bytes] | None = None) -> None:
        """Write the folder at `path`, which is not there yet, whole or not at all; `beside`: further files by name.

        Raises:
            InputError: something is there already.
        """
        require_absent(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as scratch:
            folder = Path(scratch) / "run"
            folder.mkdir()
            for name, content in (beside or {}).items():
                (folder / name).write_bytes(content)
            self._write(folder)
            os.replace(folder, path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read such a folder, after checking all of it; nothing that is in it is ever run.

        Raises:
            InputError: in one sentence, if it is foreign, cut short, changed or of a newer version.
        """
        content = _content(require_file(path, RECORD))
        file = require_file(path, TENSORS)
        if file_digest(file) != content["tensors"]:
            raise InputError(f"{file} is not the file that this run wrote, by its SHA-256; copy the run again")
        try:
            mixture = checked(together(Parts(content["form"], load_tensors(file)), Mixture))
            reading = content["reading"] and Reading.from_json(content["reading"])
            return cls(mixture, DataSpec.from_json(content["data"]), reading, content["asked"], content["found"])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def setup(self) -> Setup:
        """The mixture as a model of the library, which sees the data as it was shown them; it stays on the host."""
        (variable,) = self.data.variables
        return Setup(as_latent(self.mixture), {variable.name: view_of(variable)}, ELBO(), Enumerate())

    def as_run(self, path: Path) -> Run:
        """What the verbs ask of a trained run: where its data are, and what they were."""
        result = {"family": self.found.get("family"), "components": self.found.get("components")}
        record = Record(
            "mixture", self.asked, self.data, self.reading, Settings(), installed(), "trained", None, result
        )
        return Run(path, record)

    def _write(self, folder: Path) -> None:
        form, tensors = apart(self.mixture)
        digest = save_tensors(folder / TENSORS, tensors)
        content = {
            "format": FORMAT,
            "schema": SCHEMA,
            "data": self.data.to_json(),
            "reading": self.reading and self.reading.to_json(),
            "asked": dict(self.asked),
            "found": dict(self.found),
            "form": form,
            "tensors": digest,
            "versions": installed(),
        }
        write_json(folder / RECORD, {**content, "digest": json_digest(content)})


def is_mixture(path: Path) -> bool:
    """Whether a folder is one that `MixtureRun.keep` wrote, or looks like one."""
    return (path / RECORD).is_file()


def require_absent(path: Path) -> None:
    """Refuse a path at which there is something.

    Raises:
        InputError: there is.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already; choose another folder")


def view_of(variable: Variable) -> View:
    """How a mixture is shown the values of a datum: in a row; see `of_rows`."""
    return Flat(of_rows(variable), variable.shape) if len(variable.shape) > 1 else of_rows(variable)


def of_rows(variable: Variable) -> View:
    """The same of data that are laid out in rows: values as they are, real ones measured from their mean.

    So that single precision serves them, and log p(x) is of the data as given.
    """
    if variable.kind != "real" or variable.mean is None:
        return Identity(variable.low, variable.high)
    return Standardise(variable.mean, (1.0,) * len(variable.mean), variable.size)


def _content(path: Path) -> dict[str, Any]:
    """The fields of a mixture.json, each of the right type."""
    if path.stat().st_size > LARGEST_RECORD:
        raise InputError(f"{path} is too long to be a mixture's record")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is cut short or is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not the record of a mixture that the verb mixture fitted")
    schema = conformed(f"{path}: schema", content.get("schema"), int)
    if schema > SCHEMA:
        raise InputError(
            f"{path} was written by a newer lowerbound (schema {schema}, here {SCHEMA}): upgrade lowerbound"
        )
    return _fields(path, content)


def _fields(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    if set(content) != {"format", "schema", "digest", *_FIELDS}:
        raise InputError(f"{path} lacks fields, or has others than lowerbound writes")
    wrong = next((name for name, kinds in _FIELDS.items() if not isinstance(content[name], kinds)), None)
    if wrong is not None:
        raise InputError(f"{path}: the field {wrong} is of the wrong type ({type(content[wrong]).__name__})")
    if content["digest"] != json_digest({name: value for name, value in content.items() if name != "digest"}):
        raise InputError(f"{path} was changed after lowerbound wrote it; copy the run again, or fit another")
    return content
